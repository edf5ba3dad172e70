"""Signals that end a run: exceptions at any line, also where other people's code loses them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Terminated", "check_end", "terminable", "uninterrupted"]

#: Who swallows what ends the process, or takes longer to clean up, is ended all the same.
GRACE_S = 15

#: Signals that have ended the process, which goes on to clean up.
_came: list[int] = []


class Terminated(BaseException):
    """The process is told to end by SIGTERM, or by SIGHUP of a terminal that is closed.

    No KeyboardInterrupt: programs that go on after Ctrl-C have to end all the same.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end a block as Ctrl-C does, so that it can clean up behind it.

    Signals that are ignored, as under nohup, or have a handler already, are left alone.
    """
    owner = os.getpid()

    def end(number: int, frame: object) -> None:
        if os.getpid() != owner:  # a child that has only inherited this
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
            return
        if not _came:
            _came.append(number)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(GRACE_S)
        raise Terminated(number)

    taken: list[int] = []
    if threading.current_thread() is threading.main_thread():
        numbers = (signal.SIGTERM, signal.SIGHUP)
        taken = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)
        if _came:
            signal.alarm(0)
            _came.clear()


def check_end() -> None:
    """Raise again the `Terminated` that has ended the process, but was lost: in C code, say."""
    if _came:
        raise Terminated(_came[0])


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Put Ctrl-C and its like off to the end of a block, which must be short.

    Callbacks of C swallow exceptions, those of numba's compiler for one, and modules that are
    imported halfway catch everything or cannot be imported again.

    Examples
    --------
    >>> with uninterrupted():
    ...     import fractions
    """
    came: list[int] = []
    handlers: dict[int, Any] = {}
    over = False

    def put_off(number: int, frame: object) -> None:
        if over:  # a signal in the midst of the last lines below has kept it in its place
            handlers[number](number, frame)
        else:
            came.append(number)

    if threading.current_thread() is threading.main_thread():
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        handlers = {n: signal.getsignal(n) for n in numbers if callable(signal.getsignal(n))}
    try:
        for number in handlers:
            signal.signal(number, put_off)
        yield
    finally:
        over = True
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in dict.fromkeys(came):
            signal.raise_signal(number)
