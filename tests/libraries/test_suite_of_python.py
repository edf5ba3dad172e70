"""CPython's own tests of process pools, from where they are installed, on our engines."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import require
from tests.libraries.suite_of_python import GROUPS, PACKAGE

RUNNER = Path(__file__).parent / "suite_of_python.py"
GENEROUS_S = 600.0

#: Debian has the tests of the same minor version in a package of its own, libpython3.N-testsuite.
DEBIANS = Path(f"/usr/lib/python3.{sys.version_info.minor}/test")
WORDS = (
    f"{PACKAGE}, which is in the interpreter's test package or in Debian's libpython3.N-testsuite"
)


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A path on which the tests are found; only a link leads to those of another interpreter."""
    if importlib.util.find_spec("test") and importlib.util.find_spec(PACKAGE):
        return ""
    has_debians = any(DEBIANS.glob("test_concurrent_futures*"))
    require([] if has_debians else [WORDS])
    (tmp_path / "test").symlink_to(DEBIANS)
    return str(tmp_path)


#: The others wait for seconds by design, or start many pools.
QUICK = ("initializer",)


@pytest.mark.timeout(GENEROUS_S + 20)
@pytest.mark.parametrize(
    "group",
    [pytest.param(group, marks=[] if group in QUICK else [pytest.mark.slow]) for group in GROUPS],
)
@pytest.mark.parametrize("engine", ["pool", "processes"])
def test_suite(engine: str, group: str, path: str) -> None:
    command = [sys.executable, str(RUNNER), engine, group]
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=GENEROUS_S
    )
    assert done.returncode == 0, done.stderr[-8000:]
    assert "\nOK" in done.stderr


#: What the tests do that start a program of their own, by our names.
ENDS = """
import atexit, sys, time

@atexit.register
def submit_late():
    try:
        executor.submit(abs, 1)
    except RuntimeError:
        print("refused")

from scoopsci import Pool, open_engine

def work():
    time.sleep(1)
    return "apple"

if __name__ == "__main__":
    executor = Pool(1) if sys.argv[1] == "pool" else open_engine(sys.argv[1], n_workers=1)
    for _ in range(3):
        executor.submit(work).add_done_callback(lambda future: print(future.result()))
    print("the end")
"""


@pytest.mark.parametrize("engine", ["pool", "processes"])
def test_ends(engine: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(ENDS)
    command = [sys.executable, str(program), engine]
    done = subprocess.run(command, capture_output=True, text=True, timeout=GENEROUS_S)
    assert done.stdout.split("\n") == ["the end", *3 * ["apple"], "refused", ""], done.stderr
    assert not done.stderr


FAILS = """
import time
from scoopsci import Pool

if __name__ == "__main__":
    Pool(1).submit(time.sleep, 1_000)
    raise ValueError("the program's own")
"""


def test_a_program_that_fails_waits_for_nothing(tmp_path: Path) -> None:
    """Other than with the standard library, where it would seem to hang."""
    program = tmp_path / "program.py"
    program.write_text(FAILS)
    command = [sys.executable, str(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=GENEROUS_S)
    assert done.returncode == 1
    assert done.stderr.endswith("ValueError: the program's own\n")
