"""Sorted runs: how pieces are merged into one, and where several are cut into equal partitions.

All sorting is stable, so there is only one result.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate, chain
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["cut_arrays", "cut_lists", "flip_order", "order_pieces", "sort_pieces"]

Array: TypeAlias = NDArray[Any]

#: Samples per run and partition; `cut_arrays` describes the balance that they achieve.
N_SAMPLES = 8


def sort_pieces(pieces: Sequence[Array]) -> Array:
    """Sort the items of one piece, or merge several sorted pieces.

    Parameters
    ----------
    pieces : sequence of ndarray, shape (n_i,)
        Pieces of the same dtype. If there are several, each must be sorted.

    Returns
    -------
    ndarray, shape (sum of n_i,)
        Bit for bit, the result of ``np.sort(np.concatenate(pieces), kind="stable")``.

    Examples
    --------
    >>> sort_pieces([np.array([1, 4]), np.array([2, 3])])
    array([1, 2, 3, 4])
    """
    if len(pieces) == 1:
        return _sort_run(pieces[0])
    # Without `out`, records would lose the padding between their fields.
    merged = np.empty(sum(map(len, pieces)), pieces[0].dtype)
    np.concatenate(pieces, out=merged)
    merged.sort(kind="stable")  # finds the runs, and merges them
    return merged


def _sort_run(values: Array) -> Array:
    kind = values.dtype.kind
    if kind in "bimMuSU":  # equal items have equal bits: any sort is stable
        return np.sort(values)
    if kind != "f" or values.dtype.itemsize > 8:
        return np.sort(values, kind="stable")
    # NumPy's default sort is many times as fast where it is vectorised; equal floats that differ in
    # their bits are zeros or NaN, whose original order is restored.
    found = np.sort(values)
    nans, zeros = values[np.isnan(values)], values[values == 0]
    numbers = found[: len(found) - len(nans)]
    found[len(numbers) :] = nans
    first = np.searchsorted(numbers, values.dtype.type(0))
    numbers[first : first + len(zeros)] = zeros
    return found


def flip_order(ascending: Array) -> Array:
    """Reverse the order of sorted values, but leave NaN and NaT at the end.

    Parameters
    ----------
    ascending : ndarray, shape (n,)
        The sorted values.

    Returns
    -------
    ndarray, shape (n,)
        If the source was reversed before sorting, this is its stable descending order.

    Examples
    --------
    >>> flip_order(np.array([1.0, 2.0, np.nan]))
    array([ 2.,  1., nan])
    """
    n_nans = np.count_nonzero(np.isnan(ascending)) if ascending.dtype.kind in "cfmMT" else 0
    n_numbers = len(ascending) - n_nans
    found = np.empty_like(ascending)
    found[:n_numbers] = ascending[:n_numbers][::-1]
    found[n_numbers:] = ascending[n_numbers:][::-1]
    return found


def order_pieces(pieces: Sequence[list[Any]]) -> NDArray[np.int64]:
    """Return the stable order of the items of one or several lists.

    Parameters
    ----------
    pieces : sequence of list
        Items that support ``<``.

    Returns
    -------
    ndarray of int, shape (n,)
        Indices into the concatenation of the lists, that of the smallest item first.

    Examples
    --------
    >>> order_pieces([["b", "d"], ["a", "c"]]).tolist()
    [2, 0, 3, 1]
    """
    items = list(chain.from_iterable(pieces))
    return np.array(sorted(range(len(items)), key=items.__getitem__), dtype=np.int64)


def cut_arrays(runs: Sequence[Array], n_partitions: int) -> list[list[int]]:
    """Cut sorted runs into partitions of about equal size.

    Parameters
    ----------
    runs : sequence of ndarray
        Consecutive slices of one source, each in stable order; with at least one item.
    n_partitions : int
        Number of partitions P.

    Returns
    -------
    list of list of int
        P + 1 rows with an index into each run; partition k lies between rows k and k + 1.
        Concatenated, the partitions are in the stable order of the source.

    Notes
    -----
    Every s-th item of each run is a sample, s = max(1, n // (8·P·R)) for R runs of n items in all.
    Samples are compared by value, run and index in the run, the order of equal values in the
    source. So whatever the values, a partition has at most n/P + (R + R/P)·s items: 1.19 of the
    mean for two runs, and 1.13 for many.

    Examples
    --------
    >>> cut_arrays([np.array([1, 2, 3, 4]), np.array([1, 1, 1, 5])], 2)
    [[0, 0], [1, 3], [4, 4]]
    """
    return _cut(runs, n_partitions, _order_arrays, _search_array)


def cut_lists(runs: Sequence[list[Any]], n_partitions: int) -> list[list[int]]:
    """Do the same as `cut_arrays` for lists.

    Parameters
    ----------
    runs, n_partitions
        See `cut_arrays`.

    Returns
    -------
    list of list of int
        See `cut_arrays`.

    Examples
    --------
    >>> cut_lists([["a", "b"], ["a", "b"]], 2)
    [[0, 0], [1, 1], [2, 2]]
    """
    return _cut(runs, n_partitions, order_pieces, _search_list)


def _cut(
    runs: Sequence[Any],
    n_partitions: int,
    order: Callable[[Sequence[Any]], NDArray[np.int64]],
    search: Callable[[Any, Any, bool], int],
) -> list[list[int]]:
    step = max(1, sum(map(len, runs)) // (N_SAMPLES * n_partitions * len(runs)))
    samples = [run[::step] for run in runs]
    firsts = list(accumulate(map(len, samples), initial=0))
    ranked = order(samples).tolist()
    edges = [[0] * len(runs)]
    for partition in range(1, n_partitions):
        sample = ranked[partition * len(ranked) // n_partitions]
        home = bisect_right(firsts, sample) - 1
        place = (sample - firsts[home]) * step
        splitter = runs[home][place : place + 1]
        cuts = [
            # Of items equal to the splitter, only those of earlier runs precede it.
            place if at == home else search(run, splitter, at < home)
            for at, run in enumerate(runs)
        ]
        # Items without a consistent order may end up anywhere, but none may be lost.
        edges.append(list(map(max, edges[-1], cuts)))
    return [*edges, [len(run) for run in runs]]


def _order_arrays(samples: Sequence[Array]) -> NDArray[np.int64]:
    joined = np.empty(sum(map(len, samples)), samples[0].dtype)
    np.concatenate(samples, out=joined)
    return np.argsort(joined, kind="stable")


def _search_array(run: Array, splitter: Array, behind_equals: bool) -> int:
    if run.dtype.kind not in "TV":
        return int(np.searchsorted(run, splitter, "right" if behind_equals else "left")[0])

    # NumPy 2.4 does not find strings of variable width of 16 bytes or more, and compares arrays
    # within records of foreign byte order differently from how it sorts them.
    def is_behind(place: int) -> bool:
        item = run[place : place + 1]
        pair = [item, splitter] if behind_equals else [splitter, item]
        return bool(_order_arrays(pair)[0] == behind_equals)

    return bisect_left(range(len(run)), True, key=is_behind)


def _search_list(run: list[Any], splitter: list[Any], behind_equals: bool) -> int:
    return (bisect_right if behind_equals else bisect_left)(run, splitter[0])
