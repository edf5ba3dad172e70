"""The module that a program imports as `scoop.futures`.

Names and behaviour are SCOOP's; see its documentation. Errors that SCOOP ignores are raised here:
an expired timeout, a task that cannot be pickled, nothing to reduce.
"""

from __future__ import annotations

import itertools
import time
import warnings
from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from typing import Any

import scoop

from scoopsci.errors import EngineTimeoutError
from scoopsci.programs.pickling import make_task, take_outcome
from scoopsci.programs.session import Arrivals, current_session

__all__ = [
    "ALL_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "CancelledError",
    "Future",
    "as_completed",
    "map",
    "mapReduce",
    "mapScan",
    "map_as_completed",
    "shutdown",
    "submit",
    "wait",
]

FIRST_COMPLETED = "FIRST_COMPLETED"
FIRST_EXCEPTION = "FIRST_EXCEPTION"
ALL_COMPLETED = "ALL_COMPLETED"

#: Number of parts per worker into which a tree of calls is cut: enough for uneven calls.
PARTS_PER_WORKER = 16

DoneAndNotDoneFutures = namedtuple("DoneAndNotDoneFutures", "done not_done")


class Future:
    """The future of one task; it has the attributes of SCOOP's.

    Parameters
    ----------
    fn : callable
        The function.
    args, kwargs : tuple, dict
        Its arguments.
    """

    _numbers = itertools.count()

    def __init__(
        self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self.id = scoop.worker, next(self._numbers)
        self.callable, self.args, self.kargs = fn, args, kwargs
        self.resultValue: Any = None
        self.exceptionValue: BaseException | None = None
        self.isDone = False
        self.creationTime = time.ctime()
        #: What the session needs to identify the task.
        self.ticket: Any = None
        self.watchers: list[Arrivals[Any]] = []
        self._callbacks: list[Callable[[Future], object]] = []

    def __repr__(self) -> str:
        name = getattr(self.callable, "__name__", repr(self.callable))
        return f"{self.id}:{name}{self.args}{self.kargs}={self.resultValue}"

    def settle(self, frames: Sequence[Any] | None, error: BaseException | None = None) -> None:
        """Take the outcome, or the error if there is no outcome."""
        if frames is not None:
            self.resultValue, error = take_outcome(frames)
        self.exceptionValue = error
        self.isDone = True
        for arrivals in self.watchers:
            arrivals.note_end(self)
        for fn in self._callbacks:
            self._call_back(fn)

    def cancel(self) -> bool:
        """Cancel the task unless it has started."""
        if not self.isDone and current_session().cancel(self):
            self.settle(None, CancelledError())
        return self.cancelled()

    def cancelled(self) -> bool:
        """Tell whether the task has been cancelled."""
        return isinstance(self.exceptionValue, CancelledError)

    def running(self) -> bool:
        """Tell whether the task has not yet ended."""
        return not self.done()

    def done(self) -> bool:
        """Tell whether the task has ended, or has been cancelled."""
        if not self.isDone:
            current_session().wait(Arrivals([self]), time.monotonic())
        return self.isDone

    def result(self, timeout: float | None = None) -> Any:
        """Return the result, or raise what the task has raised."""
        error = self.exception(timeout)
        if error is not None:
            raise error
        return self.resultValue

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return what the task has raised, or None."""
        if not self.isDone:
            _next_of(Arrivals([self]), _deadline(timeout), timeout)
        return self.exceptionValue

    def add_done_callback(self, fn: Callable[[Future], object], *_: Any) -> None:
        """Have a function called with this future once it is done, in the program's thread."""
        if self.isDone:
            self._call_back(fn)
        else:
            self._callbacks.append(fn)

    def _call_back(self, fn: Callable[[Future], object]) -> None:
        try:
            fn(self)
        except Exception:
            scoop.logger.exception("a callback of %r failed", self)


def submit(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Future:
    """Submit a call; see SCOOP's documentation."""
    if not callable(func):
        raise TypeError(f"func must be callable, got {func!r}")
    future = Future(func, args, kwargs)
    current_session().send(future, make_task(func, args, kwargs))
    return future


def map(
    func: Callable[..., Any],
    *iterables: Iterable[Any],
    timeout: float | None = None,
    **unknown: Any,
) -> Iterator[Any]:
    """Submit a call for each item, and return an iterator of the results in order."""
    _warn_about(unknown)
    deadline_s = _deadline(timeout)
    futures = _submit_each(func, iterables)
    return (_result_by(future, deadline_s, timeout) for future in futures)


def map_as_completed(
    func: Callable[..., Any],
    *iterables: Iterable[Any],
    timeout: float | None = None,
    **unknown: Any,
) -> Iterator[Any]:
    """Submit a call for each item, and return an iterator of the results as they arrive."""
    _warn_about(unknown)
    futures = _submit_each(func, iterables)
    return (future.result() for future in as_completed(futures, timeout))


def as_completed(fs: Iterable[Future], timeout: float | None = None) -> Iterator[Future]:
    """Return an iterator of the futures as they end; a failed one raises, as in SCOOP."""
    futures, deadline_s = list(fs), _deadline(timeout)
    arrivals = Arrivals(futures)
    for _ in futures:
        future = _next_of(arrivals, deadline_s, timeout)
        if future.exceptionValue is not None:
            raise future.exceptionValue
        yield future


def wait(fs: Iterable[Future], timeout: float = -1, return_when: str = ALL_COMPLETED) -> Any:
    """Wait for futures; a negative timeout means none."""
    futures = list(fs)
    deadline_s = None if timeout is None or timeout < 0 else time.monotonic() + timeout
    arrivals = Arrivals(futures)
    session = current_session()
    for _ in futures:
        future = session.wait(arrivals, deadline_s)
        failed = future is not None and future.exceptionValue is not None
        if (
            future is None
            or return_when == FIRST_COMPLETED
            or (return_when == FIRST_EXCEPTION and failed)
        ):
            break
    arrivals.leave()
    done = {future for future in futures if future.isDone}
    return DoneAndNotDoneFutures(done, set(futures) - done)


def mapReduce(  # noqa: N802
    mapFunc: Callable[..., Any],  # noqa: N803
    reductionFunc: Callable[[Any, Any], Any],  # noqa: N803
    *iterables: Iterable[Any],
    timeout: float | None = None,
    **unknown: Any,
) -> Any:
    """Map, and reduce the results along SCOOP's tree of halves."""
    _warn_about(unknown)
    return _reduce(mapFunc, reductionFunc, iterables, timeout, scan=False)


def mapScan(  # noqa: N802
    mapFunc: Callable[..., Any],  # noqa: N803
    reductionFunc: Callable[[Any, Any], Any],  # noqa: N803
    *iterables: Iterable[Any],
    timeout: float | None = None,
    **unknown: Any,
) -> Any:
    """Map, and return the reduced value at each node of SCOOP's tree of halves."""
    _warn_about(unknown)
    return _reduce(mapFunc, reductionFunc, iterables, timeout, scan=True)


def shutdown(wait: bool = True) -> None:
    """Do nothing, as in SCOOP."""


def _warn_about(unknown: Iterable[str]) -> None:
    for name in unknown:
        warnings.warn(f"there is no option {name!r}; SCOOP ignores it, too", stacklevel=3)


def _submit_each(func: Callable[..., Any], iterables: tuple[Iterable[Any], ...]) -> list[Future]:
    return [submit(func, *args) for args in zip(*iterables)]  # noqa: B905


def _result_by(future: Future, deadline_s: float | None, timeout: float | None) -> Any:
    if not future.isDone:
        _next_of(Arrivals([future]), deadline_s, timeout)
    return future.result()


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def _next_of(arrivals: Arrivals[Future], deadline_s: float | None, timeout: float | None) -> Future:
    future: Future | None = current_session().wait(arrivals, deadline_s)
    if future is None:
        raise EngineTimeoutError(f"no result within {timeout:g} s; allow more by timeout=")
    return future


def _reduce(
    map_fn: Callable[..., Any],
    reduce_fn: Callable[[Any, Any], Any],
    iterables: tuple[Iterable[Any], ...],
    timeout: float | None,
    *,
    scan: bool,
) -> Any:
    calls = list(zip(*iterables))  # noqa: B905
    if not calls:
        raise ValueError("mapReduce and mapScan need at least one item, got none")
    least = max(1, len(calls) // (PARTS_PER_WORKER * max(1, scoop.SIZE)))
    found = submit(_reduce_tree, map_fn, reduce_fn, calls, least, scan).result(timeout)
    return [found] if scan and len(calls) == 1 else found


def _reduce_tree(
    map_fn: Callable[..., Any],
    reduce_fn: Callable[[Any, Any], Any],
    calls: list[tuple[Any, ...]],
    least: int,
    scan: bool,
) -> Any:
    if len(calls) == 1:
        return map_fn(*calls[0])
    half = len(calls) // 2
    parts = calls[:half], calls[half:]
    arguments = [(map_fn, reduce_fn, part, least, scan) for part in parts]
    if half >= least and len(calls) > 2:
        left, right = (future.result() for future in [submit(_reduce_tree, *a) for a in arguments])
    else:
        left, right = itertools.starmap(_reduce_tree, arguments)
    return _join_scans(reduce_fn, left, right) if scan else reduce_fn(left, right)


def _join_scans(reduce_fn: Callable[[Any, Any], Any], left: Any, right: Any) -> list[Any]:
    # As SCOOP does it: a program may rely on these lists.
    lefts = left if type(left) is list else [left]
    rights = right if type(right) is list else [right]
    return [*lefts, *rights[:-1], reduce_fn(lefts[-1], rights[-1])]
