"""Values as frames: a pickle, and its large buffers beside it."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from scoopsci.pickling.names import Key
from scoopsci.pickling.pickler import Pickler

__all__ = ["Buffer", "as_plain", "count_bytes", "dump", "dump_by", "load", "view_of"]

Buffer: TypeAlias = bytes | bytearray | memoryview | pickle.PickleBuffer

#: Smaller arrays stay in the pickle: a separate frame would cost more than the copy.
OUT_OF_BAND_BYTES = 1 << 16


def dump(value: object, reached: set[Key] | None = None) -> list[Buffer]:
    """Pickle a value.

    Parameters
    ----------
    value : object
        Anything; functions and classes of the user are pickled by name.
    reached : set of Key, optional
        The names that the pickle refers to are added to it.

    Returns
    -------
    list of buffer
        The pickle, then its large buffers, uncopied.
    """
    return dump_by(Pickler, value, reached)


def dump_by(
    make_pickler: Callable[..., Pickler], value: object, reached: set[Key] | None = None
) -> list[Buffer]:
    """Do the same by another pickler, ``make_pickler(file, buffer_callback=...)``."""
    buffers: list[Buffer] = []

    def keep_small_in_band(buffer: pickle.PickleBuffer) -> bool:
        small = buffer.raw().nbytes < OUT_OF_BAND_BYTES
        if not small:
            buffers.append(buffer)
        return small

    file = io.BytesIO()
    pickler = make_pickler(file, buffer_callback=keep_small_in_band)
    pickler.dump(value)
    if reached is not None:
        reached |= pickler.reached
    return [file.getvalue(), *buffers]


def load(frames: Sequence[Buffer]) -> Any:
    """Return the value that `dump` was given."""
    return pickle.loads(frames[0], buffers=frames[1:])


def count_bytes(frames: Iterable[Buffer]) -> int:
    """Return the total size of frames."""
    return sum(memoryview(frame).nbytes for frame in frames)


def as_plain(frame: Buffer) -> bytes | bytearray:
    """Copy a frame; a writable one stays writable."""
    view = view_of(frame)
    return bytes(view) if view.readonly else bytearray(view)


def view_of(frame: Buffer) -> memoryview:
    """Return the memory of a frame as it lies there."""
    return frame.raw() if isinstance(frame, pickle.PickleBuffer) else memoryview(frame)
