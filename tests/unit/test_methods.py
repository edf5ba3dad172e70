"""Methods of doing the same tasks, side by side: serially, and by the map family."""

from __future__ import annotations

import dataclasses
import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from scoopsci import EngineError, EngineUnavailableError, open_engine
from scoopsci.harness.methods import MapComparison, MethodRow, compare_methods, sum_list
from scoopsci.reporting.progress import Progress
from scoopsci.reporting.receipts import as_plain

SERIAL: Any = {"engine": "serial"}
PROCESSES: Any = {"engine": "processes", "n_workers": 2}
both = pytest.mark.parametrize("run", [SERIAL, PROCESSES], ids=["serial", "processes"])

METHODS = ["serial: sum of map", "scoopsci: map", "scoopsci: map_as_completed",
           "scoopsci: map_reduce"]  # fmt: skip


def make_row(**changes: Any) -> MethodRow:
    row = MethodRow(method="by hand", elapsed_s=2.5, speedup=4.0, efficiency=0.5, equal=True)
    return dataclasses.replace(row, **changes)


@pytest.mark.parametrize("length", [0, 1, 2, 1_000])
def test_a_task_squares_its_number(length: int) -> None:
    assert sum_list(0.0, length) == length**2


@both
@pytest.mark.parametrize("n_tasks", [1, 2, 200])
def test_all_methods_give_equal_results(run: Any, n_tasks: int) -> None:
    found = compare_methods(n_tasks, 0.0001, **run)
    assert [row.method for row in found.rows] == METHODS
    assert all(row.equal for row in found.rows)
    assert found.result == sum(a * a for a in range(n_tasks))
    assert (found.n_tasks, found.task_s) == (n_tasks, 0.0001)
    assert (found.engine, found.n_workers) == (run["engine"], run.get("n_workers", 1))
    assert found.start_up_s > 0.0


@both
def test_figures_are_consistent(run: Any) -> None:
    found = compare_methods(50, 0.001, **run)
    serial, *others = found.rows
    assert serial.elapsed_s >= 50 * 0.001
    assert (serial.speedup, serial.efficiency) == (1.0, 1.0)
    for row in others:
        assert row.elapsed_s >= 50 * 0.001 / found.n_workers
        assert row.speedup == serial.elapsed_s / row.elapsed_s
        assert row.efficiency == row.speedup / found.n_workers


def test_tasks_without_a_sleep() -> None:
    assert compare_methods(30, 0, **SERIAL).result == compare_methods(30, 0.0, **SERIAL).result


def test_an_open_engine_can_be_used() -> None:
    with open_engine("processes", n_workers=2) as engine:
        found = compare_methods(20, 0.001, engine=engine)
        assert (found.engine, found.n_workers, found.result) == ("processes", 2, 2470)
        assert engine.submit(pow, 2, 5).result(60) == 32
    with ThreadPoolExecutor(3) as threads:
        found = compare_methods(20, 0.001, engine=threads)
        assert (found.engine, found.n_workers, found.result) == ("ThreadPoolExecutor", 3, 2470)


def test_progress_is_reported_for_each_method() -> None:
    told: list[Progress] = []
    compare_methods(100, 0.0, progress=told.append, **PROCESSES)
    assert [state.n_done for state in told if state.ended] == [100] * 3
    n_done = [state.n_done for state in told]
    assert sum(later < earlier for earlier, later in itertools.pairwise(n_done)) == 2


def test_as_json() -> None:
    found = compare_methods(10, 0.0, **SERIAL)
    plain = json.loads(json.dumps(as_plain(dataclasses.asdict(found))))
    assert set(plain) == {
        "result", "rows", "n_tasks", "task_s", "engine", "n_workers", "start_up_s",
        "receipt",
    }  # fmt: skip
    assert set(plain["rows"][0]) == {"method", "elapsed_s", "speedup", "efficiency", "equal"}


def test_the_table() -> None:
    found = MapComparison(
        result=14,
        rows=(make_row(), make_row(method="another way", elapsed_s=10.0, equal=False)),
        n_tasks=4_000,
        task_s=0.0125,
        engine="processes",
        n_workers=8,
        start_up_s=0.5,
    )
    heading, first, second, last = str(found).splitlines()
    assert heading.split() == ["method", "seconds", "speed-up", "efficiency", "equal"]
    assert first.split() == ["by", "hand", "2.50", "4.00", "0.50", "yes"]
    assert second.split() == ["another", "way", "10.00", "4.00", "0.50", "NO"]
    assert last == (
        "result 14; 4,000 tasks of 12.5 ms; engine processes, 8 workers, started in 0.50 s"
    )
    assert "8 workers" in str(found)
    assert "1 worker," in str(dataclasses.replace(found, n_workers=1))


@pytest.mark.parametrize(
    ("wrong", "kind", "told"),
    [
        ({"n_tasks": 0}, ValueError, "n_tasks must be at least 1, got 0"),
        ({"n_tasks": 2.0}, TypeError, "n_tasks must be an integer, got 2.0"),
        ({"task_s": -1}, ValueError, "task_s must be a positive number of seconds, or 0, got -1"),
        ({"task_s": float("nan")}, ValueError, "task_s must be a positive number of seconds"),
        ({"task_s": "1"}, TypeError, "task_s must be a real number, got '1'"),
        ({"task_s": None}, TypeError, "task_s must be a real number, got None"),
        ({"retries": -1}, ValueError, "retries must be at least 0, got -1"),
        ({"speed": 1}, TypeError, "speed"),
        ({"engine": "warp"}, EngineUnavailableError, "engine must be one of auto"),
        ({"engine": 5}, TypeError, "engine must be a name"),
        ({"n_workers": 2}, ValueError, "exactly 1 worker, got n_workers=2"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_wrong_arguments(wrong: dict[str, Any], kind: type[Exception], told: str) -> None:
    arguments = {"n_tasks": 2, "task_s": 0.0, **SERIAL, **wrong}
    with pytest.raises(kind, match=told):
        compare_methods(**arguments)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "wrong", [{"retries": -1}, {"speed": 1}, {"engine": "warp"}, {"n_workers": 2}], ids=str
)
def test_wrong_options_are_refused_before_an_hour_of_serial_tasks(wrong: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError, EngineError)):
        compare_methods(2, 1800.0, **{**SERIAL, **wrong})


def test_a_ledger_is_refused(tmp_path: Any) -> None:
    """The second way would find its tasks done, and the third one another run's."""
    with pytest.raises((ValueError, TypeError), match="ledger"):
        compare_methods(4, 0.0, ledger=tmp_path / "ledger", **SERIAL)
