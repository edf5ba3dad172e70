"""The method `map` of executors: as the standard library's, by chunks and with a bounded buffer."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from itertools import islice
from typing import Any

from scoopsci.basics.arguments import check_count

__all__ = ["MappingExecutor"]


class MappingExecutor(Executor):
    """An executor whose `map` sends several items with a task, or takes them as they are needed."""

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[Any]:
        """Submit a call for each item, as `concurrent.futures.Executor.map` does.

        Parameters
        ----------
        fn : callable
            ``fn(item)``, or ``fn(item_1, item_2, ...)`` of several iterables.
        *iterables : iterable
            The map ends with the shortest.
        timeout : float, optional
            Seconds from this call within which each result must be there when it is requested.
        chunksize : int
            Number of items in a task.
        buffersize : int, optional
            Number of tasks submitted ahead of the results requested; by default, all items are
            taken and submitted at once.

        Returns
        -------
        iterator
            Over the results, in the order of the items. What a call raised is raised on reaching
            its result, and tasks that have not started are then cancelled.

        Raises
        ------
        ValueError, TypeError
            If `chunksize` or `buffersize` is not at least 1.
        TimeoutError
            On iteration, once the time has passed.
        """
        check_count("chunksize", chunksize)
        if buffersize is not None:
            check_count("buffersize", buffersize)
        end_s = None if timeout is None else time.monotonic() + timeout
        calls = zip(*iterables, strict=False)
        if chunksize == 1:
            tasks = (self.submit(fn, *args) for args in calls)
            return _take(deque(islice(tasks, buffersize)), tasks, end_s)
        chunks = iter(lambda: list(islice(calls, chunksize)), [])
        tasks = (self.submit(_call_each, fn, chunk) for chunk in chunks)
        return _flatten(_take(deque(islice(tasks, buffersize)), tasks, end_s))


def _call_each(fn: Callable[..., Any], calls: list[tuple[Any, ...]]) -> list[Any]:
    return [fn(*args) for args in calls]


def _take(
    futures: deque[Future[Any]], tasks: Iterator[Future[Any]], end_s: float | None
) -> Iterator[Any]:
    """Yield the results, submitting a task for each; keep no reference to what was yielded."""
    try:
        while futures:
            futures.extend(islice(tasks, 1))
            yield _result_by(futures.popleft(), end_s)
    finally:
        for future in futures:
            future.cancel()


def _result_by(future: Future[Any], end_s: float | None) -> Any:
    try:
        return future.result(None if end_s is None else end_s - time.monotonic())
    except BaseException:
        future.cancel()
        raise


def _flatten(parts: Iterator[list[Any]]) -> Iterator[Any]:
    for part in parts:
        part.reverse()
        while part:
            yield part.pop()
