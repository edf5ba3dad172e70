"""Ctrl-C, which is an exception at any line: also where other people's code loses it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["uninterrupted"]


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Put Ctrl-C off to the end of a block; for what takes a moment and cannot be broken off.

    Callbacks of C swallow exceptions, numba's compiler for one, and modules that are imported
    halfway catch everything or cannot be imported again.

    Examples
    --------
    >>> with uninterrupted():
    ...     import fractions
    """
    handler = signal.getsignal(signal.SIGINT)
    in_main_thread = threading.current_thread() is threading.main_thread()
    if handler in (None, signal.SIG_IGN) or not in_main_thread:
        yield
        return
    interrupts: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: interrupts.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if interrupts:
            signal.raise_signal(signal.SIGINT)
