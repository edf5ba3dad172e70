"""The map family under plain ``python -m scoop`` on this machine."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import map_program, resumed_program
from tests.cluster.resumed_program import CALLS, GO, N_FREE, N_ITEMS
from tests.conftest import REPOSITORY, RunScoop, end_session, start_scoop, wait_for_end

BITS = Path(map_program.__file__)
RESUMED = Path(resumed_program.__file__)
SCRIPT = Path("scoopsci") / "mapreduce.py"

#: The rows that the script shows within a SCOOP pool.
METHODS = (
    "serial: sum of map",
    "scoop: futures.map",
    "scoop: futures.map_as_completed",
    "scoop: futures.mapReduce",
    "scoopsci: map",
    "scoopsci: map_as_completed",
    "scoopsci: map_reduce",
)

N_LEAST = 60  # results in the ledger when the driver is killed


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("n", "n_items"),
    [
        (3, map_program.N_ITEMS),
        pytest.param(1, map_program.N_MORE, marks=pytest.mark.slow),
        pytest.param(3, map_program.N_MORE, marks=pytest.mark.slow),
    ],
)
def test_same_bits_under_scoop(run_scoop: RunScoop, tmp_path: Path, n: int, n_items: int) -> None:
    report = tmp_path / "report"
    done = run_scoop("-q", BITS, report, str(n_items), n=n, timeout=500)
    assert report.exists(), done.stdout + done.stderr
    told = json.loads(report.read_text())
    assert told["found"] == [map_program.find_serial_bits(n_items)] * 3
    assert (told["engine"], told["n_workers"], told["n_lost_tasks"]) == ("scoop", n, 0)
    assert 1 <= len(told["workers"]) <= n


class TestCommand:
    """``scoopsci/mapreduce.py``, with SCOOP's own methods beside ours."""

    @pytest.mark.parametrize("n", [1, 2])
    def test_all_methods_are_present_and_equal(self, run_scoop: RunScoop, n: int) -> None:
        done = run_scoop("-q", SCRIPT, "--tasks", "40", "--task-seconds", "0.001", "--json", n=n)
        found = json.loads(done.stdout)
        assert tuple(row["method"] for row in found["rows"]) == METHODS
        assert [row["equal"] for row in found["rows"]] == [True] * 7
        assert found["result"] == sum(a * a for a in range(40))
        assert (found["engine"], found["n_workers"]) == ("scoop", n)

    def test_stdout_is_one_json_object_with_scoop_s_messages_too(self, run_scoop: RunScoop) -> None:
        done = run_scoop("-v", SCRIPT, "--tasks", "10", "--task-seconds", "0", "--json", n=2)
        assert json.loads(done.stdout)["result"] == 285
        assert done.stdout.count("\n") == 1

    @pytest.mark.parametrize("n", [1, 2])
    @pytest.mark.parametrize("n_tasks", [1, 2])
    def test_few_tasks(self, run_scoop: RunScoop, n_tasks: int, n: int) -> None:
        """SCOOP's mapReduce of one item raises an IndexError; other methods are reported anyway."""
        arguments = ("--tasks", str(n_tasks), "--task-seconds", "0", "--json")
        done = run_scoop("-q", SCRIPT, *arguments, n=n)
        assert done.stdout, done.stderr
        found = json.loads(done.stdout)
        assert found["result"] == n_tasks - 1
        assert set(METHODS) - {row["method"] for row in found["rows"]} <= {METHODS[3]}
        assert all(row["equal"] for row in found["rows"])

    def test_text_and_output(self, run_scoop: RunScoop, tmp_path: Path) -> None:
        target = tmp_path / "figures.json"
        arguments = ("--tasks", "20", "--task-seconds", "0.001", "--output", target)
        done = run_scoop("-q", SCRIPT, *arguments, n=2)
        for method in METHODS:
            assert method in done.stdout
        assert "result 2470; 20 tasks of 1 ms; engine scoop, 2 workers" in done.stdout
        assert json.loads(target.read_text())["result"] == 2470

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (("--task-seconds", "-1"), "positive number of seconds, or 0, got -1.0"),
            (("--tasks", "0"), "at least 1, got 0"),
            (("--workers", "7"), "the SCOOP pool has 2 workers, got --workers=7"),
        ],
    )
    def test_wrong_use_is_one_line(
        self, run_scoop: RunScoop, arguments: tuple[str, ...], told: str
    ) -> None:
        done = run_scoop("-q", SCRIPT, "--tasks", "2", *arguments, n=2)
        assert done.stdout == ""
        assert done.stderr.count("\n") == 1
        assert told in done.stderr


def start(call: str, engine: str, folder: Path) -> subprocess.Popen[str]:
    """Start the program with a ledger, in a session of its own."""
    if engine == "scoop":
        return start_scoop("-q", RESUMED, call, engine, folder, n=2)
    return subprocess.Popen(
        [sys.executable, RESUMED, call, engine, folder],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@contextmanager
def running(call: str, engine: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    process = start(call, engine, folder)
    try:
        yield process
        wait_for_end(process.pid)
    finally:
        end_session(process)


def kill_in_mid_map(call: str, engine: str, folder: Path) -> None:
    """Kill the driver once so many results are in the ledger; no item from N_FREE on can end."""
    with running(call, engine, folder) as process:
        assert process.stdout is not None
        n_done = 0
        while n_done < N_LEAST:
            line = process.stdout.readline()
            assert line, process.communicate()
            n_done = int(line)
        if engine == "scoop":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()  # its workers are left to notice by themselves
        process.wait(30)


def resume(call: str, engine: str, folder: Path) -> dict[str, Any]:
    report = folder / "report"
    report.unlink(missing_ok=True)
    with running(call, engine, folder) as process:
        out, err = process.communicate(timeout=90)
    assert report.exists(), out + err
    told: dict[str, Any] = json.loads(report.read_text())
    return told


def recorded_items(ledger: Path) -> set[int]:
    with closing(sqlite3.connect(ledger)) as database:
        rows = database.execute("SELECT start, stop FROM ranges").fetchall()
    return {item for row in rows for item in range(*row)}


def count_executions(marks: Path) -> dict[int, int]:
    return {int(mark.name): mark.stat().st_size for mark in marks.iterdir() if mark.name != GO}


#: What CI runs: the call, the engine that is killed, and the one that resumes.
QUICK = {
    ("map_in_order", "scoop", "processes"),
    ("map_as_completed", "processes", "serial"),
    ("map_reduce", "serial", "scoop"),
}


@pytest.mark.parametrize(
    ("call", "killed", "resumed"),
    [
        pytest.param(*case, marks=[] if case in QUICK else [pytest.mark.slow])
        for case in (
            (call, *engines)
            for call in CALLS
            for engines in permutations(("serial", "processes", "scoop"), 2)
        )
    ],
)
def test_no_finished_item_runs_again_after_kill_9(
    tmp_path: Path, call: str, killed: str, resumed: str
) -> None:
    marks, reference = tmp_path / "marks", tmp_path / "reference"
    for folder in (marks, reference):
        folder.mkdir()
    (reference / GO).touch()
    kill_in_mid_map(call, killed, tmp_path)
    recorded = recorded_items(tmp_path / "ledger")
    assert N_LEAST <= len(recorded) <= N_FREE
    before = count_executions(marks)
    assert {before[item] for item in recorded} == {1}

    (marks / GO).touch()
    told = resume(call, resumed, tmp_path)
    assert (told["engine"], told["n_recalled_blocks"]) == (resumed, len(recorded))
    after = count_executions(marks)
    assert sorted(after) == list(range(N_ITEMS))
    assert {after[item] for item in recorded} == {1}
    assert {after[item] for item in range(N_ITEMS) if item not in before} == {1}
    expected = CALLS[call](str(reference), engine="serial")
    assert told["result"] == [float(number).hex() for number in expected]

    again = resume(call, "serial", tmp_path)  # all of it is recorded by now
    assert (again["n_recalled_blocks"], again["result"]) == (N_ITEMS, told["result"])
    assert count_executions(marks) == after
