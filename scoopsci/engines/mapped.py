"""Large frames of tasks as memory that processes of this machine share, rather than copy."""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from io import FileIO
from typing import Any

from scoopsci.pickling.frames import Buffer, view_of

__all__ = ["MappedFrames", "can_map"]

#: Smaller frames are copied, which takes less time than to map them.
LARGE_BYTES = 1 << 20


class MappedFrames:
    """The frames of a task; they are pickled as the list that a worker gets.

    A large one is written to a file in memory. Workers open it as a file of this process, so that
    nothing is left once this process has ended, and what they change is their own.

    Parameters
    ----------
    frames : sequence of buffer
        Read when the task is pickled.
    """

    def __init__(self, frames: Sequence[Buffer]) -> None:
        self._frames = frames
        self._files: list[FileIO] = []

    def __reduce__(self) -> Any:
        return _map_all, ([self._prepare(frame) for frame in self._frames],)

    def _prepare(self, frame: Buffer) -> Any:
        view = view_of(frame).cast("B")
        if view.nbytes < LARGE_BYTES:
            return frame
        file = FileIO(os.memfd_create("scoopsci"), "wb")
        self._files.append(file)
        at = 0
        while at < view.nbytes:  # a call writes 2 GB at most
            at += file.write(view[at:])
        return f"/proc/{os.getpid()}/fd/{file.fileno()}", view.nbytes, view.readonly

    def close(self, *_: object) -> None:
        """Free the files; a worker that has the task keeps what it has mapped."""
        while self._files:
            self._files.pop().close()


def can_map(pid: int) -> bool:
    """Tell whether this process may open files of another; not of one that has changed its user."""
    return os.access(f"/proc/{pid}/fd", os.R_OK | os.X_OK)


def _map_all(frames: Sequence[Any]) -> list[Buffer]:
    return [_map(*frame) if isinstance(frame, tuple) else frame for frame in frames]


def _map(path: str, size: int, readonly: bool) -> memoryview:
    with open(path, "rb") as file:
        access = mmap.ACCESS_READ if readonly else mmap.ACCESS_COPY
        return memoryview(mmap.mmap(file.fileno(), size, access=access))
