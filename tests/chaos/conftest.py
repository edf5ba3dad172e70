"""Shared by the tests of failures: folders, conditions to wait for, marks on disk."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import psutil
import pytest

from scoopsci import Pool

# Like functions of a notebook or a script, those of this file are pickled by value.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

GENEROUS_S = 60.0


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Put temporary folders into one of the test's own, and fail if any is left there."""
    # Addresses of sockets are short, and the folders of pytest, which exist by now, are not.
    folder = Path(tempfile.mkdtemp(prefix="chaos-", dir="/tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    try:
        wait_until(lambda: not list(folder.iterdir()), "no folder is left")
    finally:
        shutil.rmtree(folder)


def wait_until(holds: Callable[[], object], what: str) -> None:
    """Wait for a condition, and fail if it does not become true."""
    deadline = time.monotonic() + GENEROUS_S
    while not holds():
        assert time.monotonic() < deadline, f"not within {GENEROUS_S:g} s: {what}"
        time.sleep(0.01)


def note(marks: Path, item: object) -> int:
    """Record an execution on disk, and return how many there have been."""
    with (marks / str(item)).open("ab") as mark:
        mark.write(b".")
        return mark.tell()


def count(marks: Path, items: Iterable[object]) -> list[int]:
    """Return how often each item has been recorded."""
    files = [marks / str(item) for item in items]
    return [file.stat().st_size if file.exists() else 0 for file in files]


def workers_of(pool: Pool) -> list[int]:
    """Return the processes of the workers that are ready."""
    return [pid for host in pool.hosts for pid in host["workers"]]


def wait_for_workers(pool: Pool, n_workers: int, *, without: Iterable[int] = ()) -> None:
    """Wait until so many workers are ready, and some have been replaced."""
    gone = set(without)
    wait_until(
        lambda: len(workers_of(pool)) == n_workers and not gone & set(workers_of(pool)),
        f"{n_workers} workers without {gone}",
    )


def find_broker() -> psutil.Process:
    """Return the broker of the one pool of this process."""
    (broker,) = [
        child for child in psutil.Process().children() if "scoopsci.pool.broker" in child.cmdline()
    ]
    return broker


def touch_and_wait(said: Path, awaited: Path) -> None:
    """Send a message to the test, and wait for its answer."""
    said.write_text(str(os.getpid()))
    while not awaited.exists():
        time.sleep(0.005)


def read_pid(path: Path) -> int:
    """Wait until a task has reported its process."""

    def reported() -> bool:
        with contextlib.suppress(FileNotFoundError):
            return bool(path.read_text())
        return False

    wait_until(reported, f"{path.name} is reported")
    return int(path.read_text())


def invert(item: int) -> float:
    """Compute for a moment a value whose bits can be compared."""
    time.sleep(0.005)
    return 1.0 / (item + 3)


def bits(values: Iterable[Any]) -> list[str]:
    """Return floats to the last bit."""
    return [value.hex() for value in values]
