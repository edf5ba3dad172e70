from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

import scoopsci
from scoopsci.basics.interrupts import Terminated, terminable, uninterrupted
from scoopsci.estimation.compiled import find_numba
from tests.conftest import require

#: SIGINT arrives while LLVM calls Python from C, where an exception is printed and lost.
STRUCK = """
import signal
from llvmlite.binding import ExecutionEngine
called = ExecutionEngine.set_object_cache

def set_object_cache(self, notify, find):
    def be_struck(module):
        signal.raise_signal(signal.SIGINT)
        return find(module)
    called(self, notify, be_struck)

ExecutionEngine.set_object_cache = set_object_cache
from scoopsci.estimation import kernels
try:
    kernels.compile_counter()
except KeyboardInterrupt:
    print("interrupted")
"""


@contextmanager
def struck_twice() -> Iterator[list[str]]:
    with uninterrupted():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        yield []


def test_an_interrupt_comes_at_the_end_of_the_block_once() -> None:
    with pytest.raises(KeyboardInterrupt), struck_twice() as steps:
        steps.append("whole")
    assert steps == ["whole"]
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_an_interrupt_comes_before_the_error_of_the_block() -> None:
    with pytest.raises(KeyboardInterrupt), struck_twice():
        raise ValueError


def test_an_interrupt_waits_for_the_outer_block() -> None:
    steps = []

    def nest() -> None:
        with uninterrupted():
            with struck_twice():
                steps.append("inner")
            steps.append("outer")

    with pytest.raises(KeyboardInterrupt):
        nest()
    assert steps == ["inner", "outer"]


def test_other_signals_raise_within_a_block_alone() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP):
        with pytest.raises(Terminated) as caught, terminable():
            signal.raise_signal(number)
        assert caught.value.number == number
        assert signal.getsignal(number) is signal.SIG_DFL


def test_signals_with_a_handler_or_ignored_are_left_unchanged() -> None:
    taken: list[int] = []
    handlers = (
        signal.signal(signal.SIGTERM, lambda number, frame: taken.append(number)),
        signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    try:
        with terminable():
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGHUP)
        assert taken == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, handlers[0])
        signal.signal(signal.SIGHUP, handlers[1])


def test_other_signals_are_deferred_as_well() -> None:
    steps = []

    def be_struck() -> None:
        with terminable(), uninterrupted():
            signal.raise_signal(signal.SIGTERM)
            steps.append("whole")

    with pytest.raises(Terminated):
        be_struck()
    assert steps == ["whole"]


#: A function of the user's that goes on after Ctrl-C, and a child that has inherited the handlers.
STUBBORN = """
import os, signal, time
from scoopsci.basics import interrupts
interrupts.GRACE_S = 1
begun, begins = os.pipe()
with interrupts.terminable():
    child = os.fork()
    if not child:
        os.write(begins, b".")
        time.sleep(60)
    os.read(begun, 1)
    os.kill(child, signal.SIGTERM)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    while True:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        except {caught}:
            pass
"""


@pytest.mark.parametrize(
    ("caught", "status"), [("KeyboardInterrupt", 1), ("BaseException", -signal.SIGALRM)]
)
def test_a_process_that_swallows_its_end_is_killed(caught: str, status: int) -> None:
    command = [sys.executable, "-c", STUBBORN.format(caught=caught)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (status, f"{-signal.SIGTERM:d}\n")


def test_a_swallowed_end_is_raised_again_by_the_next_run() -> None:
    with terminable():
        with suppress(Terminated):
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Terminated):
            scoopsci.pi(10, engine="serial")
    assert scoopsci.pi(10, engine="serial").n_samples == 10


def test_a_signal_while_handlers_are_restored_loses_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put = signal.signal

    def put_and_be_struck(number: int, handler: Any) -> None:
        put(number, handler)
        if handler is signal.default_int_handler:
            signal.raise_signal(signal.SIGINT)

    def leave() -> None:
        with uninterrupted():
            monkeypatch.setattr(signal, "signal", put_and_be_struck)

    with terminable():
        with pytest.raises(KeyboardInterrupt):
            leave()
        monkeypatch.undo()
        with pytest.raises(Terminated):
            signal.raise_signal(signal.SIGTERM)


def test_ignored_interrupts_stay_ignored() -> None:
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with uninterrupted():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, handler)


def test_other_threads_are_never_interrupted() -> None:
    seen = []

    def look() -> None:
        with uninterrupted():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]


def test_compiling_loses_no_interrupt() -> None:
    require([] if find_numba() else ["numba"])
    command = [sys.executable, "-c", STRUCK]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("interrupted\n", "")
