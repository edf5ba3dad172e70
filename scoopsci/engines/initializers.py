"""Initializers: what each worker runs before its first task."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import Any

from scoopsci.engines.payload import Call
from scoopsci.engines.taskfuture import unpack
from scoopsci.errors import EngineError, TaskError
from scoopsci.pickling.frames import Buffer

__all__ = ["check_initialized", "pack_initializer"]


def pack_initializer(
    initializer: Callable[..., object] | None, initargs: Sequence[Any]
) -> list[Buffer] | None:
    """Return the frames of an initializer, whose changes last, or None if there is none.

    Raises
    ------
    TypeError
        If it is not callable.
    TaskError
        If it cannot be pickled.
    """
    if initializer is None:
        return None
    if not callable(initializer):
        raise TypeError(f"initializer must be callable, got {initializer!r}")
    head, *body = Call(initializer, tuple(initargs), {}).as_whole()
    return [pickle.dumps({**pickle.loads(head), "lasts": True}), *body]


def check_initialized(frames: Sequence[Any], engine: str) -> None:
    """Raise an `EngineError` if an initializer has failed.

    Parameters
    ----------
    frames : sequence of buffer
        The outcome on a worker.
    engine : str
        Which engine's initializer it is, for the error.
    """
    try:
        unpack(frames)
    except TaskError as error:
        failure = EngineError(f"the initializer of {engine} failed: {error}")
        failure.__cause__ = error.__cause__
        raise failure from error.__cause__
