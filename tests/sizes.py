"""Work that suits the machine, and signs that it is under way.

A fast machine has done a fixed amount of work before a test looks, and a slow one has not begun
after a fixed time. So tests size their work by what is measured here, and strike at an event.
"""

from __future__ import annotations

import functools
import json
import math
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing, suppress
from pathlib import Path

import psutil

from scoopsci.compare import compare
from tests.conftest import becomes

__all__ = [
    "count_recorded",
    "has_worked",
    "points_taking",
    "start_up_s",
    "tasks_that_pay",
    "wait_for_records",
]

#: Measures in seconds of processor time, which other programs do not change. The first of many
#: points load the compiled form of the loop, where there is one.
PROGRAM = """
import json, time
import scoopsci

def count(n_points):
    start_s = time.process_time()
    scoopsci.pi(n_points, seed=1, engine="serial")
    return time.process_time() - start_s

count(1)
ready_s = time.process_time()
n_points = 1 << 27
count(n_points)
while (taken_s := count(n_points)) < 0.25:
    n_points *= 2
print(json.dumps([ready_s, n_points / taken_s]))
"""


@functools.cache
def _measure() -> tuple[float, float]:
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, capture_output=True, check=True, text=True, timeout=60)
    ready_s, rate = json.loads(done.stdout)
    return ready_s, rate


def start_up_s() -> float:
    """Return the processor time that a process takes here until it has counted its first point."""
    return _measure()[0]


def has_worked(pid: int) -> bool:
    """Tell whether a process has used twice the processor time that it takes to start."""
    with suppress(psutil.NoSuchProcess):
        return bool(sum(psutil.Process(pid).cpu_times()[:2]) >= 2 * start_up_s())
    return False


def points_taking(seconds: float) -> int:
    """Return how many points of π take one core of this machine so long.

    Two workers take half of it. What must not end before a test looks gets at least four times what
    the test needs: a core may run up to twice as fast as when it was measured.
    """
    return math.ceil(seconds * _measure()[1])


def tasks_that_pay(engine: str, task_s: float) -> int:
    """Return how many tasks that sleep gain three times what two workers of an engine cost here.

    The cost is the largest of three measurements.
    """

    def measure_s() -> float:
        found = compare("mapreduce", [engine], n_tasks=1, task_seconds=0, n_workers=2, n_rounds=1)
        return found.rows[1].elapsed_s

    return math.ceil(3 * max(measure_s() for _ in range(3)) / (task_s / 2))


def count_recorded(ledger: Path) -> int:
    """Return how many ranges a ledger holds, also while a run of another process writes it."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "ledger")
        for suffix in ("", "-wal"):  # the run keeps others from the file itself
            with suppress(FileNotFoundError):
                shutil.copyfile(f"{ledger}{suffix}", f"{copy}{suffix}")
        with closing(sqlite3.connect(copy)) as database:
            try:
                (n_ranges,) = database.execute("SELECT count(*) FROM ranges").fetchone()
            except sqlite3.DatabaseError:  # no tables yet, or copied in the middle of a change
                return 0
    return int(n_ranges)


def wait_for_records(ledger: Path, process: subprocess.Popen[str], *, at_least: int = 1) -> None:
    """Wait until a run has recorded ranges, so that its workers compute."""
    is_over = False

    def has_recorded() -> bool:
        nonlocal is_over
        is_over = process.poll() is not None
        return is_over or count_recorded(ledger) >= at_least

    assert becomes(has_recorded), "nothing is recorded"
    assert not is_over, process.communicate()
