"""Sorting on many workers, by regular sampling.

Run as a script, also under ``python -m scoop``, this file is the command ``scoopsci sort``.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Unpack, cast

import numpy as np
from numpy.typing import NDArray

from scoopsci.basics.codehash import hash_code
from scoopsci.basics.wording import plural
from scoopsci.engines.base import Engine
from scoopsci.reporting.markup import as_notes, as_table
from scoopsci.reporting.receipts import make_receipt
from scoopsci.reporting.workers import ACTIVITIES
from scoopsci.road.options import RunOptions, refuse_ledger
from scoopsci.road.runs import hold_engine
from scoopsci.sorting.phases import Phases, sort_array, sort_items

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["SortResult", "merge_sort", "sort_and_describe"]

#: Arrays whose sorted items are all that there is to keep. The result is of the first type, and for
#: records, whose fields are attributes, of their own.
KEPT = (np.ndarray, np.memmap, np.recarray)


@dataclass(frozen=True, kw_only=True, eq=False)
class SortResult:
    """Sorted values, and a description of the run that sorted them.

    Attributes
    ----------
    values : ndarray or list
        See `merge_sort`.
    engine : str
        Engine that sorted them.
    n_workers : int
        Number of its workers.
    elapsed_s : float
        Seconds that it took, including the engine's start.
    largest_share : float
        Size of the largest partition, relative to the mean.
    sent_bytes, returned_bytes : int
        Bytes transferred between driver and workers, apart from shared memory.
    times : dict
        How the time was spent, averaged over the workers: ``start_up_s``, ``serialising_s``,
        ``computing_s``, ``returning_s``, and the rest, ``waiting_s``, which includes the driver's
        own work.
    in_shared_memory : bool
        Whether workers found all values in shared memory, so that none had to be sent.
    receipt : dict
        Provenance of the result; see `scoopsci.report.make_receipt`.
    """

    values: Any = field(repr=False)
    engine: str
    n_workers: int
    elapsed_s: float
    largest_share: float
    sent_bytes: int
    returned_bytes: int
    times: dict[str, float]
    in_shared_memory: bool
    receipt: dict[str, Any] = field(repr=False)

    def __str__(self) -> str:
        memory = "in shared memory" if self.in_shared_memory else f"{self.sent_bytes:,} bytes sent"
        return (
            f"{len(self.values):,} items sorted in {self.elapsed_s:.3f} s by {self.engine}, "
            f"{plural(self.n_workers, 'worker')}, {memory}; largest "
            f"partition {self.largest_share:.2f} of the mean"
        )

    def _repr_html_(self) -> str:
        times = [[name, f"{self.times[activity]:.3f}"] for activity, name in ACTIVITIES.items()]
        return as_notes([str(self)]) + as_table(["time for", "seconds"], times)

    def plot(
        self, kind: Literal["times", "workers", "hosts"] = "times", *, ax: Axes | None = None
    ) -> Axes:
        """Draw how the time was spent, or what workers did; see `scoopsci.report.plot_receipt`."""
        from scoopsci.reporting import plots

        return plots.plot_receipt(kind, self.receipt, ax=ax)


def merge_sort(
    values: Iterable[Any],
    *,
    key: Callable[[Any], Any] | None = None,
    reverse: bool = False,
    **run: Unpack[RunOptions],
) -> Any:
    """Sort values on many workers.

    Parameters
    ----------
    values : ndarray, shape (n,), or iterable
        An array of any dtype that NumPy sorts, or any iterable that `sorted` takes. Of the
        subclasses of arrays, memory-mapped ones and record arrays are taken; others, such as masked
        arrays and those with units, raise a TypeError.
    key : callable, optional
        Called once for each item, on the workers; items are sorted by the keys it returns.
    reverse : bool
        Sort in descending order; equal items keep their order, as in `sorted`.
    **run
        See `RunOptions`; ``ledger=`` is not supported.

    Returns
    -------
    ndarray or list
        A new array of the same dtype for an array, else a list. It equals the result of
        ``np.sort(values, kind="stable")`` or ``sorted(values, key=key, reverse=reverse)`` to the
        last bit, on any number of workers: there is only one stable order.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, or values cannot be compared.
    Exception
        What `key` raises.
    TaskError
        If values cannot be pickled.
    EngineError
        If the engine fails, or the timeout passes.

    Notes
    -----
    Parallel sorting by regular sampling [1]_: P workers sort P consecutive slices of the values,
    regularly spaced samples of these runs yield P - 1 splitters, and the workers merge the items
    between neighbouring splitters. Splitters are compared by value and index, so equal values do
    not accumulate in one partition: none exceeds the mean by a fifth. Arrays, and lists of only
    `float` or 64-bit `int`, lie in memory shared with the workers of this machine, about twice
    their size; they are sent to other machines, as are all other items.

    NaN and NaT come last, even with `reverse`. Items of other kinds are compared only by ``<``;
    without a consistent order, their order in the result is unspecified.

    References
    ----------
    .. [1] H. Shi and J. Schaeffer, "Parallel sorting by regular sampling", Journal of Parallel
       and Distributed Computing 14 (1992) 361-372, doi:10.1016/0743-7315(92)90075-X.

    Examples
    --------
    >>> import scoopsci
    >>> from scoopsci.mergesort import merge_sort
    >>> merge_sort(["pear", "fig", "apple", "kiwi"], key=len, engine="serial")
    ['fig', 'pear', 'kiwi', 'apple']
    """
    return _sort(values, key, reverse, run, describes=False).values


def sort_and_describe(
    values: Iterable[Any],
    *,
    key: Callable[[Any], Any] | None = None,
    reverse: bool = False,
    **run: Unpack[RunOptions],
) -> SortResult:
    """Sort values on many workers, and describe the run.

    Parameters
    ----------
    values, key, reverse, **run
        See `merge_sort`.

    Returns
    -------
    SortResult
        The sorted values, and the description.

    Raises
    ------
    ValueError, TypeError, TaskError, EngineError
        See `merge_sort`.

    Examples
    --------
    >>> sort_and_describe([3, 1, 2], engine="serial").values
    [1, 2, 3]
    """
    return _sort(values, key, reverse, run, describes=True)


def _sort(
    values: Iterable[Any],
    key: Callable[[Any], Any] | None,
    reverse: bool,
    run: RunOptions,
    *,
    describes: bool,
) -> SortResult:
    """Sort values; their receipt names the key only where it is asked for: a hash may take long."""
    start_s = time.monotonic()
    if key is not None and not callable(key):
        raise TypeError(f"key must be callable or None, got {key!r}")
    if not isinstance(reverse, bool):
        raise TypeError(f"reverse must be True or False, got {reverse!r}")
    refuse_ledger(run)
    items = _check_array(values) if isinstance(values, np.ndarray) else _list_items(values)
    array = _find_array(items) if key is None else None
    if len(items) < 2:  # nothing to distribute
        run = {**run, "engine": "serial", "n_workers": None, "hostfile": None}
    open_s = time.monotonic()
    with hold_engine(run) as options:
        engine = cast(Engine, options["engine"])
        phases = Phases(engine, options, time.monotonic() - open_s)
        if array is None:
            numbers, nans = _split_nans(items) if key is None else (items, [])
            found, largest_share = sort_items(numbers, key, reverse, phases)
            found = found + nans if nans else found
        else:
            found, largest_share = sort_array(array, reverse, phases)
            found = found if array is items else found.tolist()
        if isinstance(values, np.recarray):
            found = found.view(np.recarray)
        done = {"engine": engine.name, **phases.describe(time.monotonic() - start_s)}
        receipt = make_receipt(
            workload="sort",
            options={"n_items": len(found), "reverse": reverse},
            stream="",
            code=hash_code(key) if key is not None and describes else "scoopsci.merge_sort",
            result={"largest_share": largest_share},
            **done,
        )
        copied = ("engine", "n_workers", "elapsed_s", "sent_bytes", "returned_bytes", "times")
        return SortResult(
            values=found,
            largest_share=largest_share,
            in_shared_memory=array is not None and not phases.n_sent,
            receipt=receipt,
            **{name: done[name] for name in copied},
        )


def _check_array(values: NDArray[Any]) -> NDArray[Any]:
    if isinstance(values, np.ma.MaskedArray):
        raise TypeError("values must not be masked; leave out or replace what is masked")
    if type(values) not in KEPT:
        raise TypeError(
            f"values must be a plain array, got {type(values).__name__}, whose additions would be "
            "lost; sort np.asarray(values), and add them to the result"
        )
    if values.ndim != 1:
        raise ValueError(f"values must be of shape (n,), got shape {values.shape}")
    return np.asarray(values)


def _list_items(values: Iterable[Any]) -> list[Any]:
    try:
        iterator = iter(values)
    except TypeError:
        raise TypeError(f"values must be an array or an iterable, got {values!r}") from None
    return list(iterator)


def _find_array(items: Any) -> NDArray[Any] | None:
    """Return an array that sorts as the items do, or None if there is none."""
    if isinstance(items, np.ndarray):
        if items.dtype.kind == "T":
            return items
        if items.dtype.hasobject:
            return None
        try:
            np.searchsorted(np.sort(items[:2], kind="stable"), items[:1])
        except TypeError:
            raise TypeError(
                f"values must be of a dtype that NumPy can sort, got {items.dtype}"
            ) from None
        return items
    types = set(map(type, items))
    if types == {float}:
        return np.fromiter(items, np.float64, len(items))
    if types == {int}:
        with contextlib.suppress(OverflowError):
            return np.fromiter(items, np.int64, len(items))
    return None


def _split_nans(items: Any) -> tuple[Any, list[Any]]:
    """Separate NaN and NaT from a list of numbers of several types: they come last, as in an array.

    Items of other types are not compared with themselves.
    """
    if not isinstance(items, list) or not all(map(_is_number, set(map(type, items)))):
        return items, []
    return [x for x in items if x == x], [x for x in items if x != x]


def _is_number(kind: type) -> bool:
    return kind in (bool, int, float) or (
        issubclass(kind, np.generic) and np.dtype(kind).kind in "buifmM"
    )


if __name__ == "__main__":
    from scoopsci.cli import run_script

    run_script("sort")
