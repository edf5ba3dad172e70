"""Measured rounds summarised: the rows of a comparison, its limit, and one piece of advice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scoopsci.basics.wording import plural
from scoopsci.harness.comparison import BARE, TIMES, Comparison, Row
from scoopsci.harness.rounds import Figure, find_break_even, format_seconds, paired_ratio

__all__ = ["summarise"]

Report = Mapping[str, Any]

#: If less time was spent in tasks, the ratio to that of bare processes is noise.
LEAST_COMPUTING_S = 0.02


def summarise(
    rounds: Sequence[Mapping[str, Report]],
    *,
    workload: str,
    n_parts: int,
    unit: str,
    n_bare: int,
    facts: Mapping[str, Any],
) -> Comparison:
    """Summarise measured rounds as a comparison.

    Parameters
    ----------
    rounds : sequence of mapping
        For each round, the report of each engine: ``elapsed_s`` of the whole process, ``call_s``
        of the call within it, its ``times``, ``n_workers`` and the ``digest`` of the result; and
        that of the bare processes: ``elapsed_s`` and ``times`` of the slowest ones.
    workload, unit : str
        Name of the workload, and of one part of it.
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
    elapsed = [{name: report["elapsed_s"] for name, report in taken.items()} for taken in rounds]
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
        advice=_advise(rows, task_s=task_s, unit=unit, n_bare=n_bare, n_rounds=len(rounds)),
        facts=dict(facts),
        rounds=[{name: dict(report) for name, report in taken.items()} for taken in rounds],
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
    """Compute it from the time in tasks: every engine has the rest of serial's time, too."""
    if n_bare < 2:  # one task cannot be shared
        return None
    computing = [{name: _computing_s(taken[name]) for name in ("serial", BARE)} for taken in rounds]
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


def _advise(rows: Sequence[Row], *, task_s: float, unit: str, n_bare: int, n_rounds: int) -> str:
    """Advise in one sentence what to do.

    To distribute only if, for the fastest engine whose results equal serial's, the lower end of the
    speed-up's interval is above 1.
    """
    serial, *others = rows
    if not serial.equal:
        return "compare no engines: serial's own runs differ, so there is no result to compare with"
    wrong = [row.engine for row in others if not row.equal]
    warning = f"do not use {', '.join(wrong)}: the results differ from serial's; " if wrong else ""
    best = max((row for row in others if row.equal), key=lambda row: row.speedup, default=None)
    if best is None:
        return f"{warning}run it serially: no other engine gives the same results"
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
    if unit == "point":  # all take the same time: only more of them can pay
        times = float(f"{best.break_even_task_s / task_s:.2g}")
        return f"; it pays from about {times:,g} times as many points"
    return (
        f"; it pays where each {unit} takes more than {format_seconds(best.break_even_task_s)}, "
        f"and here it takes {format_seconds(task_s)}"
    )
