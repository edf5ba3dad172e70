"""Values with all that they need of the program, for a process that knows nothing of it."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Iterator, Sequence
from typing import Any

from scoopsci.pickling.frames import Buffer, as_plain, dump, load
from scoopsci.pickling.names import Key
from scoopsci.pickling.program import program
from scoopsci.pickling.replica import replicas

__all__ = ["dump_whole", "loading_whole"]


def dump_whole(value: object) -> list[bytes | bytearray]:
    """Pickle a value, with what it needs of the program as it is now."""
    reached: set[Key] = set()
    frames = dump(value, reached)
    manifest = program.list_needed(reached)
    needed = manifest.as_frames(manifest.entries)
    head = pickle.dumps((manifest.number, len(needed)))
    return [as_plain(frame) for frame in (head, *needed, *frames)]


@contextlib.contextmanager
def loading_whole(frames: Sequence[Buffer]) -> Iterator[Any]:
    """Yield the value, whose modules are imported for as long as the context lasts."""
    number, n_needed = pickle.loads(frames[0])
    with replicas.visit(number, frames[1 : 1 + n_needed]):
        yield load(frames[1 + n_needed :])
