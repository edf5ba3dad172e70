"""Fixtures of all tests: leaks are failures, and so is a missing part where CI says so."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

REPOSITORY = Path(__file__).parent.parent

#: They live as long as the process: the first by design of the standard library, the worker that
#: stands in for the origin and its driver as long as the program that SCOOP runs.
KEPT_PROCESSES = ("resource_tracker", "pool/worker.py")
KEPT_THREADS = ("scoop-driver",)


def _children() -> set[str]:
    children = set()
    for child in psutil.Process().children(recursive=True):
        try:
            command = " ".join(child.cmdline())
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
        if not any(kept in command for kept in KEPT_PROCESSES):
            children.add(f"{child.pid} {command}")
    return children


def _threads() -> set[str]:
    return {
        f"{thread.ident} {thread.name}"
        for thread in threading.enumerate()
        if thread.name not in KEPT_THREADS
    }


def _descriptors() -> set[str]:
    opened = set()
    for link in Path("/proc/self/fd").iterdir():
        try:
            opened.add(f"{link.name} {link.readlink()}")
        except OSError:
            continue
    return opened


@pytest.fixture(autouse=True)
def no_leaks() -> Iterator[None]:
    """Fail a test that leaves a thread, a descriptor or a child process behind."""
    looks = (_threads, _descriptors, _children)
    before = [look() for look in looks]
    yield
    deadline = time.monotonic() + 10
    while True:
        gc.collect()  # loky's executors are cycles, with their pipes in them
        now = [look() for look in looks]
        # By number: an engine that outlives the test may have replaced what a dead worker broke.
        left = [n - b for n, b in zip(now, before, strict=True) if len(n) > len(b)]
        if not left:
            return
        if time.monotonic() > deadline:
            pytest.fail(f"left behind: {left}")
        time.sleep(0.02)


RunScoop = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run_scoop() -> Iterator[RunScoop]:
    """Run a program under plain ``python -m scoop``; whatever it started ends with the test."""
    started: list[subprocess.Popen[str]] = []

    def run(
        *program: str | Path, n: int | None = None, cwd: Path = REPOSITORY, timeout: float = 100
    ) -> subprocess.CompletedProcess[str]:
        number = [] if n is None else ["-n", str(n)]
        command = [sys.executable, "-m", "scoop", *number, *map(str, program)]
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        out, err = process.communicate(timeout=timeout)
        wait_for_end(process.pid)
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    yield run
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def wait_for_end(session: int) -> None:
    """Fail if processes of a session are left, once they had time to end."""
    deadline = time.monotonic() + 15
    while left := _session_members(session):
        if time.monotonic() > deadline:
            pytest.fail(f"still running: {left}")
        time.sleep(0.05)


def _session_members(session: int) -> list[str]:
    members = []
    for process in psutil.process_iter(["cmdline", "status"]):
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(process.pid) == session and process.info["status"] != "zombie":
                members.append(f"{process.pid} {' '.join(process.info['cmdline'] or [])}")
    return members


def require(missing: list[str]) -> None:
    """Skip where parts are missing, or fail where SCOOPSCI_REQUIRE_ALL is set."""
    if not missing:
        return
    reason = f"missing: {', '.join(missing)}"
    if os.environ.get("SCOOPSCI_REQUIRE_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
