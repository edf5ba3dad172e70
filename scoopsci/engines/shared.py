"""Values that many tasks need: pickled once by the driver, unpickled once by each worker."""

from __future__ import annotations

import pickle
import secrets
import threading
from collections import OrderedDict
from typing import Any

from scoopsci.engines.payload import as_plain, count_bytes, dump, not_pickled

__all__ = ["Shared", "SharedMissingError"]

#: A value of this size may as well travel with every task.
SMALL_BYTES = 1 << 14

#: Values that a worker keeps: those of the runs that go on at the same time.
N_KEPT = 4


class SharedMissingError(LookupError):
    """A worker met a reference to a value that it has not been sent yet."""


class Shared:
    """A value among the arguments of many tasks.

    Parameters
    ----------
    value : object
        It is pickled at once; changes after that are not seen by tasks.

    Attributes
    ----------
    whole : object
        Put among the arguments of a task, it becomes the value there, and the worker keeps it.
    reference : object
        The same for a worker that keeps the value already; for another one the task fails with a
        `SharedMissingError`.
    n_bytes : int
        Size of the whole.
    is_small : bool
        Whether the whole may as well travel with every task.

    Raises
    ------
    TaskError
        If it cannot be pickled.
    """

    def __init__(self, value: object) -> None:
        self._token = token = secrets.token_bytes(16)
        try:
            frames = [pickle.PickleBuffer(as_plain(frame)) for frame in dump(value)]
        except Exception as error:
            raise not_pickled(error) from error
        self.n_bytes = count_bytes(frames)
        self.is_small = self.n_bytes <= SMALL_BYTES
        self.whole: Any = _Unpickles(_keep, (token, *frames))
        self.reference: Any = _Unpickles(_find, (token,))

    def forget(self) -> None:
        """Free what this process keeps of it: tasks may have run here."""
        with _lock:
            _kept.pop(self._token, None)


class _Unpickles:
    """Becomes the result of a call wherever it is unpickled."""

    def __init__(self, fn: Any, args: tuple[Any, ...]) -> None:
        self._call = fn, args

    def __reduce__(self) -> tuple[Any, ...]:
        return self._call


_kept: OrderedDict[bytes, Any] = OrderedDict()
_lock = threading.RLock()


def _keep(token: bytes, *frames: Any) -> Any:
    with _lock:
        if token not in _kept:
            _kept[token] = pickle.loads(frames[0], buffers=frames[1:])
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
