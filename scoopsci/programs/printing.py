"""Output of tasks, sent to the process that runs the program."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import Any

__all__ = ["open_output"]


def open_output(say: Callable[[bytes, bytes], None], stream: bytes) -> io.TextIOWrapper:
    """Return a stream for text that goes to the origin, line by line.

    Parameters
    ----------
    say : callable
        ``say(stream, data)`` sends it; any thread may call it.
    stream : bytes
        ``b"1"`` or ``b"2"``, for standard output or standard error.
    """
    output: Any = _Output(say, stream)
    return io.TextIOWrapper(output, "utf-8", errors="replace", line_buffering=True)


class _Output(io.BufferedIOBase):
    def __init__(self, say: Callable[[bytes, bytes], None], stream: bytes) -> None:
        self._say, self._stream, self._pid = say, stream, os.getpid()

    def write(self, data: Any, /) -> int:
        data = bytes(data)
        if os.getpid() != self._pid:  # a process forked by a task must not use the socket
            os.write(int(self._stream), data)
        else:
            self._say(self._stream, data)
        return len(data)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return int(self._stream)
