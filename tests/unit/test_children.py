"""Child processes: times, outputs, and that none is left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import psutil
import pytest

from scoopsci.errors import EngineTimeoutError
from scoopsci.harness.children import run_children
from tests.conftest import end_in_mid_run, wait_for_end


def session_of(text: str) -> int:
    """Return the session that a child has printed."""
    return int(text.split()[0])


def test_output_of_both_streams_and_time_of_each() -> None:
    commands = [["sh", "-c", "echo out; echo err >&2"], ["sleep", "0.3"]]
    with run_children(commands, timeout=60) as (quick, slow):
        assert quick.read_output() == "out\nerr\n"
        assert slow.read_output() == ""
        assert 0.0 < quick.elapsed_s < slow.elapsed_s
        assert slow.command == "sleep 0.3"


def test_children_have_sessions_of_their_own() -> None:
    show = "import os; print(os.getsid(0), os.getpid())"
    with run_children([[sys.executable, "-c", show]] * 2, timeout=60) as children:
        pairs = [child.read_output().split() for child in children]
    assert all(session == pid for session, pid in pairs)
    assert pairs[0] != pairs[1]


def test_processes_left_by_a_child_end_with_it() -> None:
    with run_children([["sh", "-c", "echo $$; sleep 1000 & exit 0"]], timeout=60) as (child,):
        session = session_of(child.read_output())
    wait_for_end(session)


@pytest.mark.parametrize("trap", ["", "trap '' INT TERM HUP;"])
def test_time_out_ends_the_session_and_carries_its_output(trap: str) -> None:
    command = ["sh", "-c", f"{trap} echo $$; sleep 1000; sleep 1000"]
    start_s = time.monotonic()
    subprocess.run(["sh", "-c", "true"], check=True)
    timeout = 0.5 + 20 * round(time.monotonic() - start_s, 1)  # enough for its first line
    with (
        pytest.raises(
            EngineTimeoutError, match=f"timeout of {timeout:g} s passed before the end"
        ) as got,
        run_children([["true"], command], timeout=timeout),
    ):
        pass
    wait_for_end(session_of(str(got.value).splitlines()[-1]))


def test_a_program_that_cannot_start_ends_the_others() -> None:
    with pytest.raises(FileNotFoundError), run_children([["sleep", "1000"], ["/no"]], timeout=60):
        pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_children_end_with_the_driver_whatever_happens(number: signal.Signals) -> None:
    program = (
        "from scoopsci.harness.children import run_children\n"
        "with run_children([['sh', '-c', 'sleep 1000; true']] * 2, timeout=1000): pass\n"
    )
    driver = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    end_in_mid_run(driver, number, sleepers, within_s=30)


def sleepers(pid: int) -> list[psutil.Process]:
    """Return both of the sleeping processes, once they are there."""
    found = [p for p in psutil.Process(pid).children(recursive=True) if p.name() == "sleep"]
    return found if len(found) >= 2 else []


STRUCK = """
import os, subprocess, sys
from scoopsci.harness.children import run_children

start, pids = subprocess.Popen, []

def start_and_strike(*args, **options):
    process = start(*args, **options)
    pids.append(process.pid)
    print(process.pid, flush=True)
    if len(pids) == 1:
        os.kill(os.getpid(), int(sys.argv[1]))
    return process

subprocess.Popen = start_and_strike
try:
    with run_children([["sleep", "1000"]], timeout=1000):
        print("not interrupted")
except KeyboardInterrupt:
    print("interrupted")
"""


def strike_between_a_child_and_its_guard(number: signal.Signals) -> list[str]:
    """Return what a driver has printed: the processes it started, and how it ended."""
    command = [sys.executable, "-c", STRUCK, str(int(number))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout, done.stderr
    return done.stdout.split()


def test_ctrl_c_between_a_child_and_its_guard() -> None:
    child, guard, last = strike_between_a_child_and_its_guard(signal.SIGINT)
    assert last == "interrupted"
    assert not any(psutil.pid_exists(int(pid)) for pid in (child, guard))


def test_a_driver_killed_between_a_child_and_its_guard() -> None:
    (child,) = strike_between_a_child_and_its_guard(signal.SIGKILL)
    wait_for_end(int(child))
