"""Comparisons: rows, break-even and advice from rounds whose times are known."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scoopsci.harness.comparison import BARE, TIMES, Comparison
from scoopsci.harness.summary import summarise

Round = dict[str, dict[str, Any]]


def report(
    elapsed_s: float, computing_s: float, n_workers: int, digest: str = "a"
) -> dict[str, Any]:
    """Return the report of a run that took 0.2 s around its call, and 0.1 s to send."""
    times = dict.fromkeys(TIMES, 0.0)
    times |= {"computing_s": computing_s, "start_up_s": 0.05, "serialising_s": 0.1}
    return {
        "elapsed_s": elapsed_s,
        "call_s": elapsed_s - 0.2,
        "times": times,
        "n_workers": n_workers,
        "digest": digest,
    }


def taken(
    serial_s: float, bare_s: float, digest: str = "a", **engines_s: float | tuple[float, str]
) -> Round:
    """Return a round: serial computes for 0.4 s less than it takes, and so do bare processes."""
    found: Round = {"serial": report(serial_s, serial_s - 0.4, 1, digest)}
    for name, value in engines_s.items():
        elapsed_s, other = value if isinstance(value, tuple) else (value, digest)
        found[name] = report(elapsed_s, 0.5, 2, other)
    found[BARE] = {"elapsed_s": bare_s, "times": {"computing_s": bare_s - 0.4}}
    return found


def compared(*rounds: Round, unit: str = "task", n_parts: int = 100) -> Comparison:
    return summarise(
        rounds,
        workload="mapreduce",
        n_parts=n_parts,
        unit=unit,
        n_bare=2,
        facts={"options": {"n_tasks": n_parts}},
    )


FAST = [
    taken(4.0, 2.0, processes=2.5, scoop=2.0),
    taken(8.0, 4.0, processes=5.0, scoop=3.2),
    taken(4.0, 2.2, processes=2.0, scoop=2.5),
]


def test_figures_are_medians_of_ratios_within_rounds() -> None:
    found = compared(*FAST)
    serial, processes, scoop = found.rows
    assert [row.engine for row in found.rows] == ["serial", "processes", "scoop"]
    assert (serial.speedup, serial.speedup_interval) == (1.0, (1.0, 1.0))
    assert (processes.speedup, processes.speedup_interval) == (1.6, (1.6, 2.0))
    assert (scoop.speedup, scoop.speedup_interval) == (2.0, (1.6, 2.5))
    assert (processes.efficiency, scoop.efficiency) == (0.8, 1.0)
    assert (processes.elapsed_s, scoop.elapsed_s) == (2.5, 2.5)
    assert processes.share_of_limit == 0.8
    assert (found.ceiling, found.n_bare) == (2.0, 2)
    assert found.ceiling_interval == (4.0 / 2.2, 2.0)
    assert found.task_s == pytest.approx(0.036)
    assert found.rounds == FAST


def test_times_are_those_of_the_median_round_including_process_start() -> None:
    row = compared(*FAST).rows[1]
    assert row.elapsed_s == 2.5
    assert row.start_up_s == pytest.approx(0.05 + 0.2)
    assert (row.serialising_s, row.waiting_s, row.computing_s) == (0.1, 0.0, 0.5)


def test_break_even_counts_only_time_in_tasks() -> None:
    # 100 tasks of 10 ms, of which bare processes do two at a time: 1.4 s and 0.9 s. An engine of
    # 1.5 s wastes 0.6 s, 6 ms a task: it pays from 12 ms, and 12 ms would take 1.6 s everywhere.
    row = compared(taken(1.4, 0.9, processes=1.5)).rows[1]
    assert row.break_even_task_s == pytest.approx(0.012)


def test_the_fastest_engine_is_advised() -> None:
    assert compared(*FAST).advice == (
        "use scoop: 2.00 times as fast as serial (1.60 to 2.50 in 3 rounds), 1.00 of what 2 bare "
        "processes reach"
    )


def test_serial_is_advised_where_an_engine_is_slower() -> None:
    advice = compared(taken(1.4, 0.9, processes=2.0)).advice
    assert advice == (
        "run it serially: processes is 0.70 times as fast as serial (0.70 to 0.70 in 1 round); it "
        "pays where each task takes more than 22 ms, and here it takes 10 ms"
    )


def test_serial_is_advised_where_the_lower_end_is_not_above_one() -> None:
    found = compared(taken(4.0, 2.0, processes=2.5), taken(4.0, 2.0, processes=4.2))
    assert found.rows[1].speedup > 1.0
    assert found.advice.startswith("run it serially: processes is 1.28 times as fast as serial")
    assert found.advice.endswith("which more rounds may tell apart")


def test_advice_for_points_says_how_many_would_pay() -> None:
    found = compared(taken(1.4, 0.9, processes=2.0), unit="point")
    assert found.advice.endswith("; it pays from about 2.2 times as many points")


def test_nothing_pays_where_bare_processes_gain_nothing() -> None:
    found = compared(taken(1.4, 1.5, processes=2.0))
    assert found.rows[1].break_even_task_s is None
    assert found.advice.endswith(", and bare processes gain nothing either")


def test_engines_with_wrong_results_are_named_first_and_never_advised() -> None:
    found = compared(taken(4.0, 2.0, processes=2.5, scoop=(1.0, "b")))
    assert [row.equal for row in found.rows] == [True, True, False]
    assert found.advice.startswith(
        "do not use scoop: the results differ from serial's; use processes: 1.60 times"
    )


def test_serial_is_advised_where_every_engine_has_wrong_results() -> None:
    found = compared(taken(4.0, 2.0, processes=(2.0, "c"), scoop=(1.0, "b")))
    assert found.advice == (
        "do not use processes, scoop: the results differ from serial's; run it serially: "
        "no other engine gives the same results"
    )


def test_one_round_with_a_wrong_result_makes_an_engine_unequal() -> None:
    found = compared(taken(4.0, 2.0, processes=2.0), taken(4.0, 2.0, processes=(2.0, "b")))
    assert not found.rows[1].equal


def test_serial_that_differs_from_itself_is_no_reference() -> None:
    found = compared(taken(4.0, 2.0, processes=2.0), taken(4.0, 2.0, "b", processes=2.0))
    assert not found.rows[0].equal
    assert found.advice.startswith("compare no engines: serial's own runs differ")


def test_serial_alone() -> None:
    assert compared(taken(4.0, 2.0)).advice.startswith("run it serially: no other engine")


def test_plain_values_for_json() -> None:
    found = json.loads(json.dumps(compared(*FAST).as_dict(), allow_nan=False))
    assert {"rows", "advice", "ceiling", "task_s", "rounds", "options"} <= set(found)
    promised = {"engine", "elapsed_s", "speedup", "efficiency", "equal"}
    assert all(promised <= set(row) for row in found["rows"])
    assert found["rows"][0]["break_even_task_s"] is None


def test_text_has_both_tables_and_ends_with_the_advice() -> None:
    found = compared(taken(4.0, 2.0, processes=2.5, scoop=(1.0, "b")))
    lines = str(found).splitlines()
    words = [" ".join(line.split()) for line in lines]
    assert words[0].startswith("engine workers seconds speed-up")
    assert words[2] == "processes 2 2.50 1.60 1.60 to 1.60 0.80 0.80 yes"
    assert words[3].endswith("NO")
    assert words[4] == "bare processes 2 2.00 2.00 2.00 to 2.00 1.00"
    assert words[6] == "seconds of start-up serialising waiting computing returning"
    assert lines[-1] == found.advice
    assert "fewer than 6 rounds" in str(found)
    assert "fewer than 6 rounds" not in str(compared(*FAST, *FAST))
