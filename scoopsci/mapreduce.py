"""The map family: functions called on many items, and results merged, scanned and grouped.

Run as a script, also under ``python -m scoop``, this file is the command ``scoopsci mapreduce``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import chain
from typing import Any, Generic, TypeVar, Unpack

from scoopsci.road.mapcalls import MapCall, MapOptions, OnError

__all__ = [
    "MapOptions",
    "Results",
    "map",
    "map_as_completed",
    "map_reduce",
    "map_reduce_by_key",
    "map_scan",
    "starmap",
]

T = TypeVar("T")
K = TypeVar("K")


class Results(Generic[T]):
    """An iterator over the results of a map; the run starts when the first is requested.

    Items are consumed, and results kept, only within the window of tasks in flight. `close` ends
    the run early, and so does leaving a ``with`` block.
    """

    def __init__(self, parts: Generator[Iterable[T], None, None]) -> None:
        self._parts = parts
        self._items = chain.from_iterable(parts)

    def __iter__(self) -> Iterator[T]:
        return self._items

    def __next__(self) -> T:
        return next(self._items)

    def close(self) -> None:
        """End the run, and cancel tasks that have not started."""
        self._parts.close()
        deque(self._items, maxlen=0)  # a loop may hold the rest of a part

    def __enter__(self) -> Results[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def map(
    fn: Callable[..., T],
    *iterables: Iterable[Any],
    on_error: OnError = "raise",
    **run: Unpack[MapOptions],
) -> Results[T]:
    """Call a function on each item, as the built-in `map` does.

    Parameters
    ----------
    fn : callable
        ``fn(item)``, or ``fn(item_1, item_2, ...)`` of several iterables. It should depend only on
        its arguments.
    *iterables : iterable
        Iterables of any kind, even infinite. Ranges, lists and arrays are sent as slices. The map
        ends with the shortest.
    on_error : "raise" or "return"
        Whether what `fn` raises is raised here, or a `TaskError`, with the exception as its
        ``error``, takes the place of the result.
    **run
        See `MapOptions` and `scoopsci.RunOptions`.

    Returns
    -------
    Results
        An iterator over the results, in the order of the items.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range.
    Exception
        On iteration: the first that `fn` raises. A note names the item's index, the host and the
        process.
    TaskError
        On iteration: if an item, a result or an exception cannot be pickled.
    EngineError, LedgerError
        On iteration: if the engine or the ledger fails, or the timeout passes.

    Examples
    --------
    >>> import scoopsci
    >>> list(scoopsci.map(pow, range(5), range(5), engine="serial"))
    [1, 1, 4, 27, 256]
    """
    task = MapCall("map", fn, iterables, **run)
    return Results(task.parts(on_error, in_order=True))


def starmap(
    fn: Callable[..., T],
    iterable: Iterable[Iterable[Any]],
    *,
    on_error: OnError = "raise",
    **run: Unpack[MapOptions],
) -> Results[T]:
    """Call a function on each tuple of arguments, as `itertools.starmap` does.

    Parameters
    ----------
    fn : callable
        ``fn(*item)``.
    iterable : iterable
        Tuples of arguments.
    on_error, **run
        See `map`.

    Returns
    -------
    Results
        An iterator over the results, in the order of the items.

    Examples
    --------
    >>> import scoopsci
    >>> list(scoopsci.starmap(pow, [(2, 5), (3, 2)], engine="serial"))
    [32, 9]
    """
    task = MapCall("starmap", fn, (iterable,), True, **run)
    return Results(task.parts(on_error, in_order=True))


def map_as_completed(
    fn: Callable[..., T],
    *iterables: Iterable[Any],
    on_error: OnError = "raise",
    **run: Unpack[MapOptions],
) -> Results[T]:
    """Call a function on each item, and yield the results as they arrive.

    Parameters
    ----------
    fn, *iterables, on_error, **run
        See `map`.

    Returns
    -------
    Results
        An iterator over the results, in the order of completion; those of a chunk arrive together.

    Examples
    --------
    >>> import scoopsci
    >>> sorted(scoopsci.map_as_completed(abs, range(-3, 3), engine="serial"))
    [0, 1, 1, 2, 2, 3]
    """
    task = MapCall("map", fn, iterables, **run)
    return Results(task.parts(on_error, in_order=False))


def map_reduce(
    fn: Callable[..., T],
    merge: Callable[[T, T], T],
    *iterables: Iterable[Any],
    **run: Unpack[MapOptions],
) -> T:
    """Call a function on each item, and merge the results along a fixed tree.

    Parameters
    ----------
    fn : callable
        See `map`.
    merge : callable
        ``merge(left, right)`` of two results; the left one is always that of the earlier items. It
        must be associative, except for rounding: the tree is fixed, so that the bits are the same
        on every engine.
    *iterables, **run
        See `map`.

    Returns
    -------
    object
        The merged results.

    Raises
    ------
    ValueError
        If there are no items.
    TaskError, EngineError, LedgerError
        See `map`.

    Notes
    -----
    Results of 2^j items are merged as a binary tree, so that the error of a floating-point sum
    grows with log2(n) rather than n [1]_; the remainder is merged from the left.

    References
    ----------
    .. [1] N. J. Higham, "The accuracy of floating point summation", SIAM Journal on Scientific
       Computing 14 (1993) 783-799, doi:10.1137/0914050.

    Examples
    --------
    >>> import operator, scoopsci
    >>> scoopsci.map_reduce(lambda a: a * a, operator.add, range(1000), engine="serial")
    332833500
    """
    task = MapCall("map_reduce", fn, iterables, False, merge, **run)
    whole: T = task.fold(merge)
    return whole


def map_reduce_by_key(
    fn: Callable[..., Iterable[tuple[K, T]]],
    merge: Callable[[T, T], T],
    *iterables: Iterable[Any],
    **run: Unpack[MapOptions],
) -> dict[K, T]:
    """Call a function that yields pairs on each item, and merge the values of each key.

    Parameters
    ----------
    fn : callable
        Returns or yields pairs of a key, which must be hashable, and a value.
    merge : callable
        ``merge(left, right)`` of two values of a key; see `map_reduce`.
    *iterables, **run
        See `map`.

    Returns
    -------
    dict
        The merged value of each key, in the order of the keys' first occurrence.

    Raises
    ------
    TaskError, EngineError, LedgerError
        See `map`.

    Examples
    --------
    >>> import operator, scoopsci
    >>> lines = ["to be or", "not to be"]
    >>> scoopsci.map_reduce_by_key(lambda line: [(word, 1) for word in line.split()],
    ...                            operator.add, lines, engine="serial")
    {'to': 2, 'be': 2, 'or': 1, 'not': 1}
    """
    task = MapCall("map_reduce_by_key", fn, iterables, False, merge, **run)
    groups: dict[K, T] = task.fold_groups(merge)
    return groups


def map_scan(
    fn: Callable[..., T],
    merge: Callable[[T, T], T],
    *iterables: Iterable[Any],
    **run: Unpack[MapOptions],
) -> Results[T]:
    """Call a function on each item, and yield the merged results up to each of them.

    Parameters
    ----------
    fn, merge, *iterables, **run
        See `map_reduce`. The merge must not modify its arguments: they are results that have yet to
        be yielded.

    Returns
    -------
    Results
        An iterator: the k-th result equals `map_reduce` of the first k items, to the last bit.

    Raises
    ------
    TaskError, EngineError, LedgerError
        On iteration; see `map`.

    Notes
    -----
    A scan in two sweeps [1]_: workers merge the ranges of the tree, then descend from the ranges
    before each; this takes at most 3n merges in all, log2(n) per range in the driver.

    References
    ----------
    .. [1] G. E. Blelloch, "Scans as primitive parallel operations", IEEE Transactions on
       Computers 38 (1989) 1526-1538, doi:10.1109/12.42122.

    Examples
    --------
    >>> import operator, scoopsci
    >>> list(scoopsci.map_scan(abs, operator.add, [1, -2, 3, -4], engine="serial"))
    [1, 3, 6, 10]
    """
    task = MapCall("map_scan", fn, iterables, False, merge, **run)
    return Results(task.scan_parts(merge))


if __name__ == "__main__":
    from scoopsci.cli import run_script

    run_script("mapreduce")
