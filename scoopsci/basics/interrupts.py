"""Signals that end a run, as exceptions that are raised even if third-party code swallows one."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Terminated", "check_end", "terminable", "uninterrupted"]

#: A process that swallows the exception, or takes longer to clean up, is killed after this.
GRACE_S = 15

#: Signals that have arrived; the process is cleaning up.
_came: list[int] = []


class Terminated(BaseException):
    """Raised when SIGTERM arrives, or SIGHUP because the terminal was closed.

    Not a KeyboardInterrupt: programs that continue after Ctrl-C must end nevertheless.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end a block as Ctrl-C does, so that it can clean up.

    Signals that are ignored, as under nohup, or already have a handler are left unchanged.
    """
    owner = os.getpid()

    def end(number: int, frame: object) -> None:
        if os.getpid() != owner:  # a forked child that has inherited this
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
    """Raise `Terminated` again if it was swallowed, for example by a callback from C."""
    if _came:
        raise Terminated(_came[0])


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Defer Ctrl-C, SIGTERM and SIGHUP to the end of a block, which must be short.

    Callbacks from C, such as those of numba's compiler, swallow exceptions, and so do some modules
    during their import; others cannot be imported again after an interrupted import.

    Examples
    --------
    >>> with uninterrupted():
    ...     import fractions
    """
    came: list[int] = []
    handlers: dict[int, Any] = {}
    over = False

    def defer(number: int, frame: object) -> None:
        if over:  # a signal during the last lines below has left it installed
            handlers[number](number, frame)
        else:
            came.append(number)

    if threading.current_thread() is threading.main_thread():
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        handlers = {n: signal.getsignal(n) for n in numbers if callable(signal.getsignal(n))}
    try:
        for number in handlers:
            signal.signal(number, defer)
        yield
    finally:
        over = True
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in dict.fromkeys(came):
            signal.raise_signal(number)
