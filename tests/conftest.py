"""Fixtures of all tests: leaks are failures, and so is a missing part where CI says so."""

from __future__ import annotations

import contextlib
import faulthandler
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import psutil
import pytest
import zmq

from scoopsci import open_engine
from scoopsci.harness.comparison import Comparison
from scoopsci.testing.leaks import no_leaks as no_leaks  # for every test
from tests.lan import Lan, missing_parts

REPOSITORY = Path(__file__).parent.parent

# A deadline of an example would assert a time.
hypothesis.settings.register_profile("scoopsci", deadline=None)
hypothesis.settings.load_profile("scoopsci")

# A shell that starts the tests in the background has them, and what they start, ignore Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_dump_of_a_slow_test(request: pytest.FixtureRequest) -> None:
    """Keep a slow test, which may take long, from the dump that a hang gets.

    It reads the frames of running threads without a lock, which has crashed the interpreter.
    """
    if request.node.get_closest_marker("slow"):
        faulthandler.cancel_dump_traceback_later()


@pytest.fixture(scope="session", autouse=True)
def once_for_each_process() -> None:
    """Let loky and pyzmq open what stays open for the life of a process that has used them."""
    with zmq.Context() as context, context.socket(zmq.PAIR) as one, context.socket(zmq.PAIR) as two:
        one.bind("inproc://once")
        two.connect("inproc://once")
        one.send(bytes(1 << 20), copy=False)  # it has a thread that frees such buffers
        two.recv()
    with contextlib.suppress(RuntimeError), open_engine("processes", n_workers=1) as engine:
        engine.submit(int).result(60)
        raise RuntimeError


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder for pictures of pages, which SCOOPSCI_ARTEFACTS keeps."""
    folder = Path(os.environ.get("SCOOPSCI_ARTEFACTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def fonts() -> None:
    """Let Matplotlib open the fonts that it keeps open."""
    from matplotlib.figure import Figure

    figure = Figure()
    figure.subplots().set(title="$π$ ± σ", xscale="log", xlim=(1, 1e9))
    for kind in ("png", "svg"):
        figure.savefig(io.BytesIO(), format=kind)


RunScoop = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run_scoop() -> Iterator[RunScoop]:
    """Run a program under plain ``python -m scoop``; whatever it started ends with the test."""
    started: list[subprocess.Popen[str]] = []

    def run(
        *program: str | Path, n: int | None = None, cwd: Path = REPOSITORY, timeout: float = 100
    ) -> subprocess.CompletedProcess[str]:
        process = start_scoop(*program, n=n, cwd=cwd)
        started.append(process)
        out, err = process.communicate(timeout=timeout)
        wait_for_end(process.pid)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    yield run
    for process in started:
        end_session(process)


def start_scoop(
    *program: str | Path, n: int | None = None, cwd: Path = REPOSITORY
) -> subprocess.Popen[str]:
    """Start a program under ``python -m scoop``, in a session of its own."""
    number = [] if n is None else ["-n", str(n)]
    return subprocess.Popen(
        [sys.executable, "-m", "scoop", *number, *map(str, program)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def end_session(process: subprocess.Popen[str]) -> None:
    """Kill what is left of a session that the test has started."""
    for member in _members(process.pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    process.communicate()


def wait_for_end(session: int) -> None:
    """Fail if processes of a session are left, once they had time to end."""
    deadline = time.monotonic() + 15
    while left := _members(session):
        if time.monotonic() > deadline:
            pytest.fail(f"still running: {left}")
        time.sleep(0.05)


def wait_for_ends(processes: Iterable[psutil.Process]) -> None:
    """Fail if any of the processes is left, once they had time to end."""
    deadline = time.monotonic() + 15
    while left := [process for process in processes if _runs(process)]:
        if time.monotonic() > deadline:
            pytest.fail(f"still running: {left}")
        time.sleep(0.05)


def becomes(state: Callable[[], object], within_s: float = 60.0) -> bool:
    """Wait until something holds, and tell whether it came to that."""
    deadline = time.monotonic() + within_s
    while not state():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def end_in_mid_run(
    driver: subprocess.Popen[Any],
    number: signal.Signals,
    find: Callable[[int], list[psutil.Process]],
    *,
    within_s: float = 60.0,
) -> None:
    """Signal a driver once its processes are found, and fail if they outlive it."""
    try:
        deadline = time.monotonic() + within_s
        while not (found := find(driver.pid)):
            assert time.monotonic() < deadline, "no run has started"
            time.sleep(0.02)
        driver.send_signal(number)
        driver.wait(timeout=30)
    finally:
        driver.kill()
        driver.wait()
    wait_for_ends(found)


def begin_of_advice(found: Comparison) -> str:
    """Return how the advice must begin, whatever this machine took for it."""
    fastest = max(found.rows[1:], key=lambda row: row.speedup)
    if fastest.speedup_interval[0] > 1.0:
        return f"use {fastest.engine}: "
    return f"run it serially: {fastest.engine} is "


def _members(session: int) -> list[psutil.Process]:
    members = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(process.pid) == session and _runs(process):
                members.append(process)
    return members


def _runs(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        # Nobody may reap an orphan that has ended: the first process of a container need not.
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def require(missing: list[str]) -> None:
    """Skip where parts are missing, or fail where SCOOPSCI_REQUIRE_ALL is set."""
    if not missing:
        return
    reason = f"missing: {', '.join(missing)}"
    if os.environ.get("SCOOPSCI_REQUIRE_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def lan() -> Iterator[Lan]:
    """Start three hosts with an sshd each, and end them whatever happens."""
    require(missing_parts())
    with Lan.start() as network:
        yield network


@pytest.fixture(scope="module")
def event_loop() -> Iterator[None]:
    """Open the loop that a notebook's client would keep for each thread."""
    from jupyter_core.utils import ensure_event_loop

    loop = ensure_event_loop()
    yield
    loop.close()
