"""What a comparison of engines found: rows, the limit, and one piece of advice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Literal

from scoopsci.basics.wording import plural
from scoopsci.harness.rounds import Figure, find_break_even, format_seconds, paired_ratio
from scoopsci.reporting.markup import as_notes, as_table
from scoopsci.reporting.plots import plot_speedup, plot_times

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["BARE", "Comparison", "Row", "advise", "summarise"]

#: The way of the bare processes among the ways of a round.
BARE = "bare processes"

TIMES = ("start_up_s", "serialising_s", "waiting_s", "computing_s", "returning_s")

Report = Mapping[str, Any]

#: Of less time in tasks, the ratio to that of bare processes is noise.
LEAST_COMPUTING_S = 0.02


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One engine, beside serial.

    Attributes
    ----------
    engine : str
        Its name.
    n_workers : int
        Number of its workers.
    elapsed_s : float
        Median time of the whole process, from its start to its end.
    speedup : float
        Median of the ratios of serial's time to this one, paired within the rounds.
    speedup_interval : tuple of float
        Its 95 % interval; see `scoopsci.compare.median_interval`.
    efficiency : float
        Speed-up for each worker.
    share_of_limit : float
        Median of the ratios of the bare processes' time to this one.
    equal : bool
        Whether all its results had the bits of serial's.
    start_up_s, serialising_s, waiting_s, computing_s, returning_s : float
        Where the time of the median round went, as a mean worker saw it; the start of the process
        and of the engine included.
    break_even_task_s : float or None
        Length of a task from which the engine is faster than serial; None for serial, and where
        the bare processes gain nothing. See `scoopsci.compare.find_break_even`.
    """

    engine: str
    n_workers: int
    elapsed_s: float
    speedup: float
    speedup_interval: tuple[float, float]
    efficiency: float
    share_of_limit: float
    equal: bool
    start_up_s: float
    serialising_s: float
    waiting_s: float
    computing_s: float
    returning_s: float
    break_even_task_s: float | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One workload on several engines. Its text is a table for terminals.

    Attributes
    ----------
    workload : str
        What was run.
    rows : tuple of Row
        Serial first.
    ceiling : float
        Median speed-up of as many bare processes as there are workers, which talk to nobody.
    ceiling_interval : tuple of float
        Its 95 % interval.
    n_bare : int
        Number of the bare processes.
    task_s : float
        Seconds that serial takes for a task, a point or an item.
    unit : str
        Which of the three.
    advice : str
        What to do, in one sentence.
    facts : dict
        What is needed to repeat it: options, command lines, versions, number of processors.
    rounds : list of dict
        All that was measured.
    """

    workload: str
    rows: tuple[Row, ...]
    ceiling: float
    ceiling_interval: tuple[float, float]
    n_bare: int
    task_s: float
    unit: str
    advice: str
    facts: dict[str, Any] = field(repr=False)
    rounds: list[dict[str, Any]] = field(repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as plain values, ready for JSON."""
        plain = asdict(self)
        return {**plain.pop("facts"), **plain}

    def __str__(self) -> str:
        tables = [_align(SPEEDS, *self._speeds()), _align(SECONDS, *self._times())]
        return "\n\n".join([*tables, *self._notes()])

    def _repr_html_(self) -> str:
        tables = [as_table(SPEEDS, self._speeds()), as_table(SECONDS, self._times())]
        return "".join([*tables, as_notes(self._notes())])

    def _speeds(self) -> list[list[str]]:
        speeds = [
            _speed_line(r.engine, r.n_workers, r.elapsed_s, r.speedup, r.speedup_interval)
            for r in self.rows
        ]
        for line, row in zip(speeds, self.rows, strict=True):
            line += [f"{row.share_of_limit:.2f}", "yes" if row.equal else "NO"]
        bare_s = Figure.of([taken[BARE]["elapsed_s"] for taken in self.rounds]).median
        limit = _speed_line(BARE, self.n_bare, bare_s, self.ceiling, self.ceiling_interval)
        return [*speeds, limit]

    def _times(self) -> list[list[str]]:
        return [[r.engine, *(f"{getattr(r, name):.2f}" for name in TIMES)] for r in self.rows]

    def _notes(self) -> list[str]:
        n_rounds = len(self.rounds)
        if n_rounds >= 6:
            return [self.advice]
        return [
            f"Of fewer than 6 rounds, here {n_rounds}, an interval spans them all.",
            self.advice,
        ]

    def plot(
        self, kind: Literal["speedup", "times"] = "speedup", *, ax: Axes | None = None
    ) -> Axes:
        """Draw the speed-ups with the ideal line, or where the time of each engine went.

        Parameters
        ----------
        kind : str
            "speedup" or "times".
        ax : Axes, optional
            Where to draw; by default into a figure of its own.

        Returns
        -------
        Axes
            See `scoopsci.report.plot_speedup` and `scoopsci.report.plot_times`.

        Raises
        ------
        ValueError
            If there is no such plot.
        ExtraMissingError
            If Matplotlib is not installed.
        """
        if kind == "times":
            return plot_times(
                {r.engine: {n: getattr(r, n) for n in TIMES} for r in self.rows}, ax=ax
            )
        if kind != "speedup":
            raise ValueError(f"kind must be 'speedup' or 'times', got {kind!r}")
        return plot_speedup(
            [row.engine for row in self.rows],
            [row.speedup for row in self.rows],
            [row.speedup_interval for row in self.rows],
            ideal=max(row.n_workers for row in self.rows),
            limit=self.ceiling,
            ax=ax,
        )


SPEEDS = ["engine", "workers", "seconds", "speed-up", "95 % interval", "efficiency"]
SPEEDS += ["of the limit", "equal"]
SECONDS = ["seconds of", "start-up", "serialising", "waiting", "computing", "returning"]


def _speed_line(
    name: str, n_workers: int, elapsed_s: float, speedup: float, interval: tuple[float, float]
) -> list[str]:
    low, high = interval
    return [
        *(name, str(n_workers), f"{elapsed_s:.2f}", f"{speedup:.2f}"),
        *(f"{low:.2f} to {high:.2f}", f"{speedup / n_workers:.2f}"),
    ]


def _align(*lines: list[str]) -> str:
    widths = [max(map(len, column)) for column in zip_longest(*lines, fillvalue="")]
    return "\n".join(
        "  ".join([name.ljust(widths[0]), *map(str.rjust, cells, widths[1:])])
        for name, *cells in lines
    )


def summarise(
    rounds: Sequence[Mapping[str, Report]],
    *,
    workload: str,
    n_parts: int,
    unit: str,
    n_bare: int,
    facts: Mapping[str, Any],
) -> Comparison:
    """Make a comparison of what was measured.

    Parameters
    ----------
    rounds : sequence of mapping
        For each round, the report of each engine: ``elapsed_s`` of the whole process, ``call_s``
        of the call inside, its ``times``, ``n_workers`` and the ``digest`` of the result; and
        that of the bare processes: ``elapsed_s`` and ``times`` of the slowest ones.
    workload, unit : str
        What was run, and what to call a part of it.
    n_parts : int
        Number of its parts.
    n_bare : int
        Number of bare processes.
    facts : mapping
        What is needed to repeat it.

    Returns
    -------
    Comparison
        With serial's row first.
    """
    elapsed = [{way: report["elapsed_s"] for way, report in taken.items()} for taken in rounds]
    ceiling = paired_ratio(elapsed, "serial", BARE)
    task_s = Figure.of([_computing_s(taken["serial"]) for taken in rounds]).median / n_parts
    names = ["serial", *(name for name in rounds[0] if name not in ("serial", BARE))]
    rows = tuple(_summarise_engine(name, rounds, elapsed, n_parts, n_bare) for name in names)
    return Comparison(
        workload=workload,
        rows=rows,
        ceiling=ceiling.median,
        ceiling_interval=ceiling.interval,
        n_bare=n_bare,
        task_s=task_s,
        unit=unit,
        advice=advise(rows, task_s=task_s, unit=unit, n_bare=n_bare, n_rounds=len(rounds)),
        facts=dict(facts),
        rounds=[{way: dict(report) for way, report in taken.items()} for taken in rounds],
    )


def _summarise_engine(
    name: str,
    rounds: Sequence[Mapping[str, Report]],
    elapsed: Sequence[Mapping[str, float]],
    n_parts: int,
    n_bare: int,
) -> Row:
    reports = [taken[name] for taken in rounds]
    reference = rounds[0]["serial"]["digest"]
    speedup = paired_ratio(elapsed, "serial", name)
    middle = sorted(reports, key=lambda report: report["elapsed_s"])[(len(reports) - 1) // 2]
    times = {key: middle["times"][key] for key in TIMES}
    times["start_up_s"] += middle["elapsed_s"] - middle["call_s"]
    n_workers = middle["n_workers"]
    return Row(
        engine=name,
        n_workers=n_workers,
        elapsed_s=Figure.of([report["elapsed_s"] for report in reports]).median,
        speedup=speedup.median,
        speedup_interval=speedup.interval,
        efficiency=speedup.median / n_workers,
        share_of_limit=paired_ratio(elapsed, BARE, name).median,
        equal={report["digest"] for report in reports} == {reference},
        break_even_task_s=None if name == "serial" else _break_even(name, rounds, n_parts, n_bare),
        **times,
    )


def _break_even(
    name: str, rounds: Sequence[Mapping[str, Report]], n_parts: int, n_bare: int
) -> float | None:
    """Find it from the time in tasks: the rest of serial's time is in every way."""
    if n_bare < 2:  # one task cannot be shared
        return None
    computing = [{way: _computing_s(taken[way]) for way in ("serial", BARE)} for taken in rounds]
    ceiling = paired_ratio(computing, "serial", BARE).median
    if max(taken["serial"] for taken in computing) < LEAST_COMPUTING_S:
        ceiling = float(n_bare)
    engine = [
        taken[name]["elapsed_s"] - taken["serial"]["elapsed_s"] + times["serial"]
        for taken, times in zip(rounds, computing, strict=True)
    ]
    serial = [times["serial"] for times in computing]
    return find_break_even(Figure.of(engine).median, Figure.of(serial).median, ceiling, n_parts)


def _computing_s(report: Report) -> float:
    return max(1e-9, float(report["times"]["computing_s"]))


def advise(rows: Sequence[Row], *, task_s: float, unit: str, n_bare: int, n_rounds: int) -> str:
    """Say in one sentence what to do.

    Parameters
    ----------
    rows : sequence of Row
        Serial first.
    task_s : float
        Seconds that serial takes for a task.
    unit : str
        What to call a task.
    n_bare : int
        Number of bare processes.
    n_rounds : int
        Number of rounds.

    Returns
    -------
    str
        Distribute only if the lower end of the interval of the fastest engine with serial's bits
        is above 1.
    """
    serial, *others = rows
    if not serial.equal:
        return "compare no engines: serial's own runs differ, so nothing can be equal to them"
    wrong = [row.engine for row in others if not row.equal]
    warning = f"do not use {', '.join(wrong)}: the results differ from serial's; " if wrong else ""
    best = max((row for row in others if row.equal), key=lambda row: row.speedup, default=None)
    if best is None:
        return f"{warning}run it serially: there is no other engine with the same results"
    low, high = best.speedup_interval
    span = f"95 % {low:.2f} to {high:.2f}" if n_rounds >= 6 else f"{low:.2f} to {high:.2f}"
    rounds = plural(n_rounds, "round")
    found = f"{best.speedup:.2f} times as fast as serial ({span} in {rounds})"
    if low > 1.0:
        return (
            f"{warning}use {best.engine}: {found}, {best.share_of_limit:.2f} of what {n_bare} bare "
            f"processes reach"
        )
    return f"{warning}run it serially: {best.engine} is {found}{_explain(best, task_s, unit)}"


def _explain(best: Row, task_s: float, unit: str) -> str:
    if best.break_even_task_s is None:
        return ", and bare processes gain nothing either"
    if best.break_even_task_s <= task_s:
        return ", which more rounds may tell apart"
    if unit == "point":  # all of the same length: only more of them can pay
        times = float(f"{best.break_even_task_s / task_s:.2g}")
        return f"; it pays from about {times:,g} times as many points"
    return (
        f"; it pays where each {unit} takes more than {format_seconds(best.break_even_task_s)}, "
        f"and here it takes {format_seconds(task_s)}"
    )
