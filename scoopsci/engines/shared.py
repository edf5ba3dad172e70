"""Values that many tasks need: pickled once by the driver, unpickled once by each worker."""

from __future__ import annotations

import contextlib
import os
import pickle
import secrets
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator
from contextvars import ContextVar
from functools import cached_property
from typing import Any
from weakref import WeakValueDictionary

from scoopsci.engines.failure import not_pickled
from scoopsci.pickling.frames import as_plain, count_bytes, dump
from scoopsci.pickling.names import Key
from scoopsci.pickling.program import Manifest, program

__all__ = ["Shared", "SharedMissingError", "collect_shared", "keep_only", "list_wanted"]

#: A value of up to this size is sent with every task.
SMALL_BYTES = 1 << 14

#: Values that a worker keeps, for runs that go on at the same time.
N_KEPT = 4


class SharedMissingError(LookupError):
    """A worker got a reference to a value that it has not been sent yet."""


class Shared:
    """A value among the arguments of many tasks.

    Parameters
    ----------
    value : object
        Pickled at once: tasks do not see later changes. A TaskError is raised if it cannot be.

    Attributes
    ----------
    whole : object
        As an argument of a task, it becomes the value, and the worker keeps it.
    reference : object
        The same for a worker that keeps the value already; on any other worker the task fails with
        a `SharedMissingError`.
    n_bytes : int
        Size of the whole.
    is_small : bool
        Whether to send the whole with every task.
    """

    def __init__(self, value: object) -> None:
        self._reached = reached = set[Key]()
        try:
            frames = [pickle.PickleBuffer(as_plain(frame)) for frame in dump(value, reached)]
        except (Exception, SystemExit) as error:
            raise not_pickled(error) from error
        self.n_bytes = count_bytes(frames)
        self.is_small = self.n_bytes <= SMALL_BYTES
        with _lock:
            self._token = token = _next_token()
            _wanted[token] = self
        self.whole: Any = _Unpickles(self, _keep, (token, *frames))
        self.reference: Any = _Unpickles(self, _find, (token,))

    @cached_property
    def manifest(self) -> Manifest:
        """What a worker needs of the program for the value, as it was for the first task."""
        return program.list_needed(self._reached)

    def forget(self) -> None:
        """Free the copy kept by this process, where tasks may have run and may still run."""
        with _lock:
            _wanted.pop(self._token, None)
            _kept.pop(self._token, None)


class _Unpickles:
    """Becomes the result of a call when it is unpickled."""

    def __init__(self, shared: Shared, fn: Any, args: tuple[Any, ...]) -> None:
        self._shared = shared
        self._call = fn, args

    def __reduce__(self) -> tuple[Any, ...]:
        if (collected := _collected.get()) is not None:
            collected.append(self._shared)
        return self._call


@contextlib.contextmanager
def collect_shared() -> Iterator[list[Shared]]:
    """Collect what is pickled inside."""
    found: list[Shared] = []
    token = _collected.set(found)
    try:
        yield found
    finally:
        _collected.reset(token)


_collected: ContextVar[list[Shared] | None] = ContextVar("collected", default=None)

_kept: OrderedDict[bytes, Any] = OrderedDict()
_lock = threading.RLock()

#: Prefix of this process's tokens, which are numbered, and the values that it has not forgotten.
_origin = secrets.token_bytes(8)
_n_tokens = 0
_wanted: WeakValueDictionary[bytes, Shared] = WeakValueDictionary()


def _next_token() -> bytes:
    global _n_tokens
    _n_tokens += 1
    return _last_token()


def _last_token() -> bytes:
    return _origin + _n_tokens.to_bytes(8, "big")


def _begin_anew() -> None:
    global _origin
    _origin = secrets.token_bytes(8)


os.register_at_fork(after_in_child=_begin_anew)


def list_wanted() -> tuple[bytes, tuple[bytes, ...]]:
    """Return the last token of this process, and the tokens that its runs still use."""
    with _lock:
        return _last_token(), tuple(_wanted)


def keep_only(last: bytes, wanted: Collection[bytes]) -> None:
    """Free the values of runs that have ended in another process.

    Parameters
    ----------
    last, wanted
        See `list_wanted`; a later value is kept, whose task has overtaken that of the list.
    """
    with _lock:
        for token in [each for each in _kept if each.startswith(last[: len(_origin)])]:
            if token <= last and token not in wanted:
                del _kept[token]


def _keep(token: bytes, *frames: Any) -> Any:
    with _lock:
        if token not in _kept:
            value = pickle.loads(frames[0], buffers=frames[1:])
            if token.startswith(_origin) and token not in _wanted:
                return value  # the last task of a run that was left early
            _kept[token] = value
            while len(_kept) > N_KEPT:
                _kept.popitem(last=False)
        _kept.move_to_end(token)
        return _kept[token]


def _find(token: bytes) -> Any:
    with _lock:
        if token not in _kept:
            raise SharedMissingError("the worker has not been sent the function yet")
        _kept.move_to_end(token)
        return _kept[token]
