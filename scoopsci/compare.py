"""One workload on several engines, measured side by side and in turn.

`compare` starts this file as a script for each run: one workload on one engine.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from scoopsci.basics.arguments import check_count, check_seconds
from scoopsci.basics.processors import count_processors
from scoopsci.engines.opening import ENTRY_POINTS
from scoopsci.errors import EngineError
from scoopsci.estimation.streams import check_seed
from scoopsci.harness.children import Child, run_children
from scoopsci.harness.comparison import BARE, Comparison, Row
from scoopsci.harness.methods import MapComparison, MethodRow, compare_methods
from scoopsci.harness.rounds import (
    describe_machine,
    find_break_even,
    interleave,
    median_interval,
)
from scoopsci.harness.sorts import SortComparison, measure_sort
from scoopsci.harness.summary import summarise
from scoopsci.harness.workloads import Workload, find_workload
from scoopsci.hosts import Host, read_hostfile, to_plain_scoop
from scoopsci.reporting.bars import open_progress
from scoopsci.reporting.progress import Progress, ProgressCallback, ProgressOption

__all__ = [
    "Comparison",
    "MapComparison",
    "MethodRow",
    "Row",
    "SortComparison",
    "compare",
    "compare_methods",
    "find_break_even",
    "measure_sort",
    "median_interval",
]

#: How a program is started for engines whose workers plain Python does not start.
LAUNCHERS = {"scoop": "{python} -m scoop -q -n {n_workers} {hosts}"}

#: Engines that use only this machine, and no hostfile.
LOCAL = ("serial", "processes")


def compare(
    workload: str,
    engines: Iterable[str] = ("serial", "processes"),
    *,
    n_workers: int | None = None,
    n_rounds: int = 3,
    n_points: int | None = None,
    n_tasks: int | None = None,
    task_seconds: float | None = None,
    n_items: int | None = None,
    seed: int | None = None,
    hostfile: str | os.PathLike[str] | None = None,
    timeout: float = 3600.0,
    progress: ProgressOption = None,
) -> Comparison:
    """Run a workload on several engines, and advise which one to use.

    Each run is a separate process, as a user would start it, and its time is that of the whole
    process. In each round every engine runs once, serial always among them, and so do bare
    processes: as many as there are workers, side by side, each with its share of the work and
    without communication. Their speed-up is the limit.

    Parameters
    ----------
    workload : str
        "pi"; "mapreduce", tasks that wait and square their index, whose sum is the result; "sort",
        of random integers; or ``MODULE:FUNCTION``, a function of one argument, called on 0 to
        `n_tasks` - 1.
    engines : iterable of str
        Names of engines.
    n_workers : int, optional
        Workers of each engine except serial; by default those of the hostfile, or the processors
        that this process may use.
    n_rounds : int
        Number of rounds. From nine on, the intervals have about their nominal coverage; see
        `scoopsci.compare.median_interval`.
    n_points : int, optional
        Points of "pi", 500 million by default.
    n_tasks : int, optional
        Tasks of "mapreduce" and of a function, 1000 by default.
    task_seconds : float, optional
        Time that a task of "mapreduce" waits, 0.01 s by default; 0 for none.
    n_items : int, optional
        Items of "sort", 10 million by default.
    seed : int, optional
        Seed of "pi" and "sort"; by default a fresh one, which the facts record.
    hostfile : path-like, optional
        The hosts, for engines that use other machines; the bare processes stay on this one. With
        SCOOP, the first host runs the program: this machine, or one that shares its folder for
        temporary files.
    timeout : float
        Seconds that a single run may take.
    progress : bool, callable or bar, optional
        See `scoopsci.RunOptions`; here, blocks are runs.

    Returns
    -------
    Comparison
        Its rows, the limit, and the advice.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, or does not apply to the workload.
    EngineError
        If a run leaves no report; its output is in the message.
    EngineTimeoutError
        If a run takes too long.

    Examples
    --------
    >>> found = compare("pi", ["processes"], n_workers=2, n_rounds=1, n_points=100_000)
    >>> [(row.engine, row.equal) for row in found.rows]
    [('serial', True), ('processes', True)]
    """
    kind = find_workload(workload)
    given = {
        "n_points": n_points,
        "n_tasks": n_tasks,
        "n_items": n_items,
        "task_seconds": task_seconds,
        "seed": seed,
    }
    options = _choose_options(workload, kind, given)
    names = _check_engines(engines)
    check_count("n_rounds", n_rounds)
    hosts = _read_hosts(hostfile, names)
    runs = _Runs(
        arguments=(workload, *_as_arguments(kind, options)),
        n_parts=options[kind.size],
        n_workers=_count_workers(n_workers, hosts),
        hostfile=None if hostfile is None else os.fspath(hostfile),
        plain_hosts=to_plain_scoop(hosts) if hosts and "scoop" in names else "",
        timeout=check_seconds("timeout", timeout),
    )
    calls: dict[str, Callable[[], dict[str, Any]]] = {
        name: partial(runs.run_engine, name) for name in names
    }
    calls[BARE] = runs.run_bare
    with open_progress(progress) as show:
        rounds = interleave(calls, n_rounds, tell=_make_teller(show, n_rounds * len(calls)))
    return summarise(
        rounds,
        workload=workload,
        n_parts=options[kind.size],
        unit=kind.unit,
        n_bare=runs.n_bare,
        facts={
            "options": options,
            "n_rounds": n_rounds,
            "hosts": [str(host) for host in hosts],
            "commands": runs.commands,
            **describe_machine(),
        },
    )


def _choose_options(workload: str, kind: Workload, given: Mapping[str, Any]) -> dict[str, Any]:
    for name, value in given.items():
        if value is not None and name not in (kind.size, *kind.options):
            raise ValueError(f"{name} does not apply to workload {workload!r}, got {value!r}")
    size = kind.default if given[kind.size] is None else given[kind.size]
    options: dict[str, Any] = {kind.size: check_count(kind.size, size)}
    if "seed" in kind.options:
        options["seed"] = check_seed(given["seed"])
    if "task_seconds" in kind.options:
        wait = 0.01 if given["task_seconds"] is None else given["task_seconds"]
        options["task_seconds"] = check_seconds("task_seconds", wait, or_zero=True)
    return options


def _as_arguments(kind: Workload, options: Mapping[str, Any]) -> Iterator[str]:
    for name, value in options.items():
        yield "--size" if name == kind.size else f"--{name.replace('_', '-')}"
        yield str(value)


def _check_engines(engines: Iterable[str]) -> list[str]:
    if isinstance(engines, str):
        raise TypeError(f"engines must be a sequence of names, got {engines!r}")
    known = sorted({entry.name for entry in entry_points(group=ENTRY_POINTS)})
    names = ["serial", *engines]
    for name in names:
        if name not in known:
            raise ValueError(f"each engine must be one of {', '.join(known)}; got {name!r}")
    return list(dict.fromkeys(names))


def _read_hosts(hostfile: str | os.PathLike[str] | None, names: Sequence[str]) -> list[Host]:
    if hostfile is None:
        return []
    if set(names) <= set(LOCAL):
        raise ValueError(
            f"hostfile needs an engine that uses other machines, such as scoop; got {names}"
        )
    return read_hostfile(hostfile)


def _count_workers(n_workers: int | None, hosts: Sequence[Host]) -> int:
    if n_workers is not None:
        return check_count("n_workers", n_workers)
    if uncounted := [host.name for host in hosts if host.n_workers is None]:
        raise ValueError(
            f"n_workers must be given where the hostfile has no counts, as for {uncounted[0]}"
        )
    return sum(host.n_workers or 0 for host in hosts) or count_processors()


def _make_teller(progress: ProgressCallback | None, n_runs: int) -> Callable[[int], None] | None:
    if progress is None:
        return None
    start_s = time.monotonic()

    def tell(n_done: int) -> None:
        elapsed_s = time.monotonic() - start_s
        in_flight = int(n_done < n_runs)
        progress(Progress(n_done, n_runs, in_flight, 0, elapsed_s, unit="runs"))

    return tell


@dataclass(frozen=True, kw_only=True)
class _Runs:
    """Runs of one workload, each in its own child process."""

    arguments: tuple[str, ...]
    n_parts: int
    n_workers: int
    hostfile: str | None
    plain_hosts: str
    timeout: float
    commands: dict[str, str] = field(default_factory=dict)

    @property
    def n_bare(self) -> int:
        return min(self.n_workers, self.n_parts)

    def run_engine(self, engine: str) -> dict[str, Any]:
        (report,) = self._run(engine, engine, [()])
        return report

    def run_bare(self) -> dict[str, Any]:
        """Share the work among plain processes, only for their times."""
        parts = [("--part", str(i), str(self.n_bare)) for i in range(self.n_bare)]
        reports = self._run(BARE, "serial", parts)
        return {
            "elapsed_s": max(report["elapsed_s"] for report in reports),
            "times": {"computing_s": max(report["times"]["computing_s"] for report in reports)},
        }

    def _run(
        self, name: str, engine: str, parts: Sequence[tuple[str, ...]]
    ) -> list[dict[str, Any]]:
        with tempfile.TemporaryDirectory(prefix="scoopsci-compare-") as folder:
            outputs = [Path(folder) / f"report-{i}.json" for i in range(len(parts))]
            command = self._command(engine, Path(folder))
            self.commands[name] = shlex.join([*command, *parts[0]])
            commands = [
                [*command, *part, "--output", str(output)]
                for part, output in zip(parts, outputs, strict=True)
            ]
            with run_children(commands, timeout=self.timeout) as children:
                return [
                    {"elapsed_s": child.elapsed_s, **_read_report(name, child, output)}
                    for child, output in zip(children, outputs, strict=True)
                ]

    def _command(self, engine: str, folder: Path) -> list[str]:
        work = [str(Path(__file__).resolve()), *self.arguments, "--engine", engine]
        if engine in LAUNCHERS:
            hosts = folder / "hostfile"
            hosts.write_text(self.plain_hosts, "utf-8")
            launch = LAUNCHERS[engine].format(
                python=shlex.quote(sys.executable),
                n_workers=self.n_workers,
                hosts=shlex.join(["--hostfile", str(hosts)]) if self.plain_hosts else "",
            )
            return [*shlex.split(launch), *work]
        if engine != "serial":
            work += ["--workers", str(self.n_workers)]
        if self.hostfile is not None and engine not in LOCAL:
            work += ["--hostfile", self.hostfile]
        return [sys.executable, *work]


def _read_report(name: str, child: Child, output: Path) -> dict[str, Any]:
    # The exit status is of no use: that of SCOOP's launcher is always 0.
    try:
        report: dict[str, Any] = json.loads(output.read_text("utf-8"))
    except FileNotFoundError:
        text = child.read_output().strip() or "nothing"
        raise EngineError(
            f"{name}: the run left no report and ended with status {child.status}; "
            + ("on other hosts it needs scoopsci under the same path; " * (name in LAUNCHERS))
            + f"the last line of its output: {text.splitlines()[-1]}\n"
            f"{child.command} wrote:\n{text}"
        ) from None
    return report


if __name__ == "__main__":
    from scoopsci.harness.workloads import run_child

    run_child()
