"""Large frames of tasks as memory that processes of this machine share, rather than copy."""

from __future__ import annotations

import mmap
import os
import weakref
from collections.abc import Sequence
from typing import Any, TypeAlias

from scoopsci.pickling.frames import Buffer, view_of

__all__ = ["MappedFrame", "MappedFrames", "Place", "can_map", "is_large", "map_frame"]

#: The path of a file, its size in bytes, and whether it is to be read only.
Place: TypeAlias = tuple[str, int, bool]

#: Smaller frames are copied, which takes less time than to map them.
LARGE_BYTES = 1 << 20


class MappedFrame:
    """A frame in a file in memory, which has no name.

    Workers open it as a file of this process, so that nothing is left once this process has ended,
    and what they change is their own.

    Parameters
    ----------
    frame : buffer
        Copied.

    Attributes
    ----------
    place : tuple
        For `map_frame` on a worker.
    n_bytes : int
        Its size.
    """

    def __init__(self, frame: Buffer) -> None:
        view = view_of(frame).cast("B")
        file = os.memfd_create("scoopsci")
        self.close = weakref.finalize(self, os.close, file)
        self.n_bytes = view.nbytes
        at = 0
        while at < view.nbytes:  # a call writes 2 GB at most
            at += os.write(file, view[at:])
        self.place: Place = (f"/proc/{os.getpid()}/fd/{file}", view.nbytes, view.readonly)


def is_large(frame: Buffer) -> bool:
    """Tell whether a frame is worth a file."""
    return view_of(frame).nbytes >= LARGE_BYTES


def map_frame(place: Place) -> memoryview:
    """Return what a frame of another process holds.

    Raises
    ------
    OSError
        If this process may not open it.
    """
    path, size, readonly = place
    with open(path, "rb") as file:
        access = mmap.ACCESS_READ if readonly else mmap.ACCESS_COPY
        return memoryview(mmap.mmap(file.fileno(), size, access=access))


def can_map(pid: int) -> bool:
    """Tell whether this process may open files of another; not of one that has changed its user."""
    return os.access(f"/proc/{pid}/fd", os.R_OK | os.X_OK)


class MappedFrames:
    """The frames of a task; they are pickled as the list that a worker gets.

    Parameters
    ----------
    frames : sequence of buffer
        Large ones are copied to files when the task is pickled.
    """

    def __init__(self, frames: Sequence[Buffer]) -> None:
        self._frames = frames
        self._mapped: list[MappedFrame] = []

    def __reduce__(self) -> Any:
        return _map_all, ([self._prepare(frame) for frame in self._frames],)

    def _prepare(self, frame: Buffer) -> Any:
        if not is_large(frame):
            return frame
        self._mapped.append(MappedFrame(frame))
        return self._mapped[-1].place

    def close(self, *_: object) -> None:
        """Free the files; a worker that has the task keeps what it has mapped."""
        while self._mapped:
            self._mapped.pop().close()


def _map_all(frames: Sequence[Any]) -> list[Buffer]:
    return [map_frame(frame) if isinstance(frame, tuple) else frame for frame in frames]
