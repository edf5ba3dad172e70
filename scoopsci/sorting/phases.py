"""The two phases of a sort: slices become sorted runs, and these are cut and merged.

Arrays are passed through shared memory where workers can reach it; for other items only the order
is computed, and they stay where they are.
"""

from __future__ import annotations

import operator
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from scoopsci.engines.base import Engine
from scoopsci.errors import EngineTimeoutError
from scoopsci.road.options import RunOptions
from scoopsci.road.runs import raising_users_own, run_list
from scoopsci.sorting.sharedarrays import SharedArray, SharedReference
from scoopsci.sorting.sortedruns import cut_arrays, cut_lists, flip_order, order_pieces, sort_pieces

__all__ = ["Key", "Phases", "sort_array", "sort_items"]

Array: TypeAlias = NDArray[Any]
Key: TypeAlias = Callable[[Any], Any]

#: Start and end of each of several pieces of an array.
Pieces: TypeAlias = list[tuple[int, int]]


class Phases:
    """Runs the phases of one sort on one engine, within a common deadline.

    Parameters
    ----------
    engine : Engine
        An open engine.
    options : RunOptions
        Options of the run.
    start_up_s : float
        Seconds that the engine took to open.

    Attributes
    ----------
    n_slices : int
        Number of slices and partitions: one per worker.
    n_workers : int
        Number of workers.
    n_sent : int
        Number of slices and partitions that had to be sent, as shared memory was out of reach.
    """

    def __init__(self, engine: Engine, options: RunOptions, start_up_s: float) -> None:
        self.n_slices = self.n_workers = engine.n_workers or os.cpu_count() or 1
        self.n_sent = 0
        self._options: dict[str, Any] = {**options, "engine": engine}
        self._start_s = time.monotonic()
        self._start_up_s = start_up_s
        self._times, self._bytes = Counter[str](), Counter[str]()
        self._times.update({"start_up_s": start_up_s})
        self._workers: dict[tuple[str, int], dict[str, Any]] = {}
        self._losses: list[dict[str, Any]] = []
        self._n_phases = 0
        self._counts = Counter[str]({"n_lost_tasks": 0, "n_retried_tasks": 0})

    def run(self, fn: Callable[[Any], Any], inputs: list[Any]) -> list[Any]:
        """Call a function on each input, and return the results in their order.

        Raises
        ------
        TaskError, EngineError
            See `scoopsci.road.runs.run_list`.
        """
        options, timeout = self._options, self._options.get("timeout")
        if timeout is not None:
            left_s = timeout - (time.monotonic() - self._start_s)
            options = {**options, "timeout": max(1e-9, left_s)}
        shift_s = self._start_up_s + time.monotonic() - self._start_s
        self._n_phases += 1
        identity = {"workload": f"sort, phase {self._n_phases}"}
        with raising_users_own():
            try:
                results, done = run_list(fn, inputs, cast(RunOptions, options), identity=identity)
            except EngineTimeoutError as error:
                raise EngineTimeoutError(
                    f"timeout of {timeout:g} s passed before all was sorted; allow more time"
                ) from error
        self.n_workers = done["n_workers"]
        self._times.update(done["times"])
        self._bytes.update({name: done[name] for name in ("sent_bytes", "returned_bytes")})
        self._counts.update({name: done[name] for name in self._counts})
        for worker in done["workers"]:
            self._add_worker(worker, shift_s)
        self._losses += ({**loss, "at_s": loss["at_s"] + shift_s} for loss in done["losses"])
        return results

    def _add_worker(self, worker: dict[str, Any], shift_s: float) -> None:
        empty = {**worker, "n_blocks": 0, "elapsed_s": 0.0, "spans": []}
        whole = self._workers.setdefault((worker["host"], worker["pid"]), empty)
        for name in ("n_blocks", "elapsed_s"):
            whole[name] += worker[name]
        spans = worker["spans"]
        whole["spans"] += ((start + shift_s, stop + shift_s, busy) for start, stop, busy in spans)

    def describe(self, elapsed_s: float) -> dict[str, Any]:
        """Describe the phases together, as `Run` describes a run; the rest of the time is waiting.

        Returns
        -------
        dict
            ``n_workers``, ``elapsed_s``, ``times``, ``sent_bytes``, ``returned_bytes``,
            ``n_lost_tasks``, ``n_retried_tasks``, ``workers`` and ``losses``.
        """
        times: dict[str, float] = {**self._times, "waiting_s": 0.0}
        times["waiting_s"] = max(0.0, elapsed_s - sum(times.values()))
        return {
            "n_workers": self.n_workers,
            "elapsed_s": elapsed_s,
            "times": times,
            **self._bytes,
            **self._counts,
            "workers": list(self._workers.values()),
            "losses": self._losses,
        }


def sort_array(values: Array, reverse: bool, phases: Phases) -> tuple[Array, float]:
    """Sort an array on workers.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Values of a dtype that NumPy sorts, without Python objects.
    reverse : bool
        Sort in descending order.
    phases : Phases
        Runs the phases.

    Returns
    -------
    values : ndarray, shape (n,)
        A new array.
    largest_share : float
        Size of the largest partition, relative to the mean.
    """
    size, dtype = len(values), values.dtype
    # Otherwise each search would convert a whole run to native byte order; not so with records.
    native = dtype if dtype.isnative or dtype.kind == "V" else dtype.newbyteorder("=")
    slices = _slice_evenly(size, phases.n_slices)
    with ExitStack() as stack:
        runs = stack.enter_context(SharedArray(size, native))
        with SharedArray(size, native) as source:
            source.array[:] = values[::-1] if reverse else values
            _sort_into(runs, [[ends] for ends in slices], source, phases)
        edges = cut_arrays([runs.array[start:stop] for start, stop in slices], len(slices))
        if len(slices) > 1:
            firsts = [start for start, _ in slices]
            places = [list(map(operator.add, firsts, row)) for row in edges]
            partitions = [list(zip(*rows, strict=True)) for rows in pairwise(places)]
            merged = stack.enter_context(SharedArray(size, native))
            _sort_into(merged, partitions, runs, phases)
            runs = merged
        found = runs.detach()
    return (flip_order(found) if reverse else found).astype(dtype, copy=False), _largest(edges)


def _sort_into(
    target: SharedArray, tasks: list[Pieces], source: SharedArray, phases: Phases
) -> None:
    """Let each task sort its pieces of the source into the next part of the target.

    Tasks write only final items, to an array that no task of the phase reads. So they may run
    again, or still be running on a worker that counts as lost.
    """
    sizes = (sum(stop - start for start, stop in pieces) for pieces in tasks)
    away = list(zip(accumulate(sizes, initial=0), tasks, strict=False))
    if source.reference and target.reference:
        found_both = phases.run(_SortShared(source.reference, target.reference), away)
        away = [task for task, found in zip(away, found_both, strict=True) if not found]
    if away:
        sent = [[source.array[start:stop] for start, stop in pieces] for _, pieces in away]
        for (start, _), part in zip(away, phases.run(sort_pieces, sent), strict=True):
            target.array[start : start + len(part)] = part
        phases.n_sent += len(away)


@dataclass(frozen=True, slots=True)
class _SortShared:
    """Sorts pieces of a shared array into another one; returns whether it could open both."""

    source: SharedReference
    target: SharedReference

    def __call__(self, task: tuple[int, Pieces]) -> bool:
        source, target = self.source.open(), self.target.open()
        if source is None or target is None:
            return False
        first, pieces = task
        part = sort_pieces([source[start:stop] for start, stop in pieces])
        target[first : first + len(part)] = part
        return True


def sort_items(items: Any, key: Key | None, reverse: bool, phases: Phases) -> tuple[Any, float]:
    """Sort items of any kind on workers.

    Parameters
    ----------
    items : list or ndarray, shape (n,)
        The items; workers get copies, but return only their order.
    key : callable or None
        Computes what is compared instead of the items.
    reverse, phases
        See `sort_array`.

    Returns
    -------
    items, largest_share
        See `sort_array`; for a list, a new list of the same objects.
    """
    is_array = isinstance(items, np.ndarray)
    source = items[::-1] if reverse else items
    # NumPy's records cannot be compared, but tuples can.
    compared = source.tolist() if is_array and key is None else source
    order, largest_share = _find_order(compared, key, phases)
    if reverse:
        order = order[::-1]
    found = source[order] if is_array else [source[place] for place in order.tolist()]
    return found, largest_share


def _find_order(items: Any, key: Key | None, phases: Phases) -> tuple[NDArray[np.int64], float]:
    slices = _slice_evenly(len(items), phases.n_slices)
    sort_slice = _SortSlice(key, with_keys=key is not None and len(slices) > 1)
    answers = phases.run(sort_slice, [items[start:stop] for start, stop in slices])
    orders = [start + order for (start, _), (order, _) in zip(slices, answers, strict=True)]
    if len(slices) == 1:
        return orders[0], 1.0
    runs = [
        [items[place] for place in order.tolist()] if keys is None else keys
        for order, (_, keys) in zip(orders, answers, strict=True)
    ]
    edges = cut_lists(runs, len(slices))
    partitions = list(pairwise(edges))
    merged = phases.run(order_pieces, [_take(runs, *rows) for rows in partitions])
    found = [
        np.concatenate(_take(orders, *rows))[order]
        for rows, order in zip(partitions, merged, strict=True)
    ]
    return np.concatenate(found), _largest(edges)


@dataclass(frozen=True, slots=True)
class _SortSlice:
    """Computes the order of some items, and the sorted keys if asked for."""

    key: Key | None
    with_keys: bool

    def __call__(self, items: Any) -> tuple[NDArray[np.int64], list[Any] | None]:
        keys = items if self.key is None else [self.key(item) for item in items]
        order = order_pieces([keys])
        return order, [keys[place] for place in order.tolist()] if self.with_keys else None


def _slice_evenly(size: int, n_slices: int) -> Pieces:
    n_slices = max(1, min(n_slices, size))
    return list(pairwise(size * k // n_slices for k in range(n_slices + 1)))


def _take(runs: Sequence[Any], starts: list[int], stops: list[int]) -> list[Any]:
    return [run[start:stop] for run, start, stop in zip(runs, starts, stops, strict=True)]


def _largest(edges: list[list[int]]) -> float:
    sizes = np.diff([sum(row) for row in edges])
    return float(sizes.max() / sizes.mean()) if sizes.any() else 1.0
