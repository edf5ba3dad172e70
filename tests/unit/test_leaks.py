"""The checks of leaks see what is left, and wait for what ends by itself."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from scoopsci.testing.leaks import check_leaks

Ending = Callable[[], None]


def leave_thread() -> Ending:
    is_over = threading.Event()
    thread = threading.Thread(target=is_over.wait, name="left-here")
    thread.start()

    def end() -> None:
        is_over.set()
        thread.join()

    return end


def leave_descriptor() -> Ending:
    number = os.open("/dev/null", os.O_RDONLY)
    return lambda: os.close(number)


def leave_process() -> Ending:
    process = subprocess.Popen(["sleep", "60"])

    def end() -> None:
        process.kill()
        process.wait()

    return end


LEFT = [
    (leave_thread, r"\d+ left-here"),
    (leave_descriptor, r"\d+ /dev/null"),
    (leave_process, r"\d+ sleep 60"),
]


@contextmanager
def ended(end: Ending) -> Iterator[None]:
    try:
        yield
    finally:
        end()


@pytest.mark.parametrize(("leave", "named"), LEFT)
def test_what_is_left_is_named(leave: Callable[[], Ending], named: str) -> None:
    check = check_leaks(within_s=0.3)
    check.__enter__()
    with ended(leave()), pytest.raises(AssertionError, match=rf"left behind: .*{named}"):
        check.__exit__(None, None, None)


@pytest.mark.parametrize(("leave", "named"), LEFT)
def test_what_was_there_before_may_stay(leave: Callable[[], Ending], named: str) -> None:
    with ended(leave()), check_leaks(within_s=0.0):
        pass


@pytest.mark.parametrize(("leave", "named"), LEFT)
def test_what_ends_by_itself_is_waited_for(leave: Callable[[], Ending], named: str) -> None:
    with check_leaks():
        timer = threading.Timer(0.3, leave())
        timer.start()
    timer.join()


def test_an_error_in_the_block_is_not_hidden_by_a_leak() -> None:
    with ExitStack() as stack, pytest.raises(ZeroDivisionError), check_leaks(within_s=0.0):
        leave_and_fail(stack)


def leave_and_fail(stack: ExitStack) -> None:
    stack.callback(leave_descriptor())
    raise ZeroDivisionError


def test_the_fixture_serves_every_test_below_a_conftest(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("from scoopsci.testing.leaks import no_leaks\n")
    (tmp_path / "test_leaks.py").write_text(
        "import os\n\n"
        "def test_leaves_nothing():\n    os.close(os.open('/dev/null', 0))\n\n"
        "def test_leaves_a_descriptor():\n    os.open('/dev/null', 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "2 passed, 1 error" in done.stdout
    assert "/dev/null" in done.stdout
