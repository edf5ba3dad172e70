"""The engine of a third party, in a package of its own, proven by its own tests of ten lines."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import read_blocks

#: A package as pip installs it: its module, and what says that it has an engine.
METADATA = "Metadata-Version: 2.1\nName: their-engine\nVersion: 1.0\n"
ENTRY_POINTS = "[scoopsci.engines]\ntheirs = their_engine:open_theirs\n"

THREADS = """
import pickle, subprocess, sys, threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager


class Threads(ThreadPoolExecutor):
    plain_frames = True


def open_executor(n_workers):
    return Threads(n_workers)


@contextmanager
def open_theirs(n_workers=None, hostfile=None):
    if hostfile is not None:
        raise ValueError(f"engine 'theirs' uses only this machine, got hostfile={hostfile!r}")
    with open_executor(n_workers or 2) as executor:
        yield executor, n_workers or 2
"""

LOSES_A_RESULT = """
class Loses(Threads):
    n_tasks = 0

    def submit(self, fn, frames):
        self.n_tasks += 1
        return Future() if self.n_tasks == 20 else super().submit(fn, frames)


def open_executor(n_workers):
    return Loses(n_workers)
"""

LEAVES_A_THREAD = """
def open_executor(n_workers):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    return Threads(n_workers)
"""

LEAVES_A_PROCESS = """
started = []


def open_executor(n_workers):
    command = [sys.executable, "-S", "-c", "import sys; sys.stdin.read()"]
    started.append(subprocess.Popen(command, stdin=subprocess.PIPE))  # it ends with this process
    return Threads(n_workers)
"""

SWALLOWS_EXCEPTIONS = """
def run_and_swallow(fn, frames):
    report, *body = fn(frames)
    told = pickle.loads(report)
    if told["failure"] is not None:
        told["failure"], body = None, [pickle.dumps(None)]
    return [pickle.dumps(told), *body]


class Swallows(Threads):
    def submit(self, fn, frames):
        return super().submit(run_and_swallow, fn, frames)


def open_executor(n_workers):
    return Swallows(n_workers)
"""

#: Their whole test of an engine whose tasks run in threads.
TEST_OF_THREADS = """
from scoopsci.testing.engines import EngineContract


class TestTheirs(EngineContract):
    name = "theirs"
    in_caller = True
"""

#: And of one with processes of its own, two of them, which it cannot replace.
TEST_OF_PROCESSES = """
import os

from scoopsci.testing.engines import WorkersContract

os.environ["IS_A_WORKER"] = "1"  # of whatever is started from now on


class TestTheirs(WorkersContract):
    name = "theirs"
    n_workers = 2
    workers_can_die = False
"""

#: Hosts have scoopsci; pytest is where the tests run.
NO_PYTEST_ON_WORKERS = """
import os, sys

if "IS_A_WORKER" in os.environ:
    sys.modules["pytest"] = sys.modules["_pytest"] = None
"""

RUN_PYTEST = """
import sys

if __name__ == "__main__":
    import pytest

    sys.exit(pytest.main(sys.argv[1:]))
"""

#: The number of tests of the contract may grow; nothing else may be counted before "in".
AT_LEAST_40_PASSED = r"^([4-9]\d|\d{3,}) passed"


def run_their_tests(
    folder: Path, engine: str, test: str, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run the tests of a package in a folder, which is far from this repository."""
    info = folder / "their_engine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(METADATA)
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    (folder / "their_engine.py").write_text(engine)
    (folder / "test_their_engine.py").write_text(test)
    (folder / "sitecustomize.py").write_text(NO_PYTEST_ON_WORKERS)
    (folder / "run.py").write_text(RUN_PYTEST)
    strict = ("-W", "error", "--strict-markers", "-p", "no:cacheprovider", "-q", "-ra")
    return subprocess.run(
        [sys.executable, "run.py", *strict, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_threads_pass(tmp_path: Path) -> None:
    done = run_their_tests(tmp_path, THREADS, TEST_OF_THREADS)
    assert done.returncode == 0, done.stdout
    assert re.search(AT_LEAST_40_PASSED + " in ", done.stdout, re.MULTILINE), done.stdout


@pytest.mark.timeout(300)
def test_processes_pass_without_pytest_on_workers(tmp_path: Path) -> None:
    (engine,) = [b.text for b in read_blocks("docs/add_engine.md") if "def open_standard" in b.text]
    done = run_their_tests(
        tmp_path, engine.replace("open_standard", "open_theirs"), TEST_OF_PROCESSES
    )
    assert done.returncode == 0, done.stdout
    assert re.search(AT_LEAST_40_PASSED + ", 5 skipped in ", done.stdout, re.MULTILINE), done.stdout
    skipped = re.findall(r"^SKIPPED \[(\d+)\] .*: (.*)$", done.stdout, re.MULTILINE)
    assert sum(int(n) for n, _ in skipped) == 5
    assert all("workers_can_die is False" in reason for _, reason in skipped)


@pytest.mark.parametrize(
    ("fault", "fails_by"),
    [
        (LOSES_A_RESULT, r"^E .*\bEngineTimeoutError: timeout of 10 s passed with 99 blocks done"),
        (LEAVES_A_THREAD, r"left behind: \[\{'\d+ Thread-\d+ \(wait\)'"),
        (LEAVES_A_PROCESS, r"left behind: \[.*import sys; sys\.stdin\.read\(\)"),
        (SWALLOWS_EXCEPTIONS, r"^E .*DID NOT RAISE TypeError"),
    ],
    ids=["loses a result", "leaves a thread", "leaves a process", "swallows exceptions"],
)
def test_a_wrong_engine_fails(fault: str, fails_by: str, tmp_path: Path) -> None:
    impatient = f"{TEST_OF_THREADS}    patience_s = 10.0\n"
    done = run_their_tests(tmp_path, THREADS + fault, impatient, "-x")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    assert re.search(fails_by, done.stdout, re.MULTILINE), done.stdout
