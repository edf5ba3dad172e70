"""Values with all that they need of the program, for a process that may know nothing of it."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Iterator, Sequence
from typing import Any

from scoopsci.pickling.frames import Buffer, dump_by, load
from scoopsci.pickling.names import Key
from scoopsci.pickling.pickler import Pickler
from scoopsci.pickling.program import Program, program
from scoopsci.pickling.replica import replicas

__all__ = ["dump_whole", "load_whole", "loading_whole"]


def dump_whole(
    value: object, make_pickler: type[Pickler] = Pickler, source: Program = program
) -> list[Buffer]:
    """Pickle a value, with what it needs of the program as it is now.

    Parameters
    ----------
    value : object
        Anything that can be pickled.
    make_pickler, source : type, Program
        How, and what workers do not know by themselves.
    """
    reached: set[Key] = set()
    frames = dump_by(make_pickler, value, reached)
    manifest = source.list_needed(reached)
    needed = manifest.as_frames(manifest.entries) if manifest.entries else []
    head = pickle.dumps((source.token, manifest.number, len(needed)))
    return [head, *needed, *frames]


def load_whole(frames: Sequence[Buffer], source: Program = program) -> Any:
    """Return the value, in a process that goes on with what it needs: a worker, or its driver."""
    token, number, n_needed = pickle.loads(frames[0])
    if n_needed and token != source.token:
        replicas.install(token, number, frames[1 : 1 + n_needed])
    return load(frames[1 + n_needed :])


@contextlib.contextmanager
def loading_whole(frames: Sequence[Buffer]) -> Iterator[Any]:
    """Yield the value, whose modules are imported for as long as the context lasts."""
    _, number, n_needed = pickle.loads(frames[0])
    with contextlib.ExitStack() as stack:
        if n_needed:
            stack.enter_context(replicas.visit(number, frames[1 : 1 + n_needed]))
        yield load(frames[1 + n_needed :])
