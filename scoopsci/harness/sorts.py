"""Methods of sorting compared on the same list: Python's, one core, and an engine."""

from __future__ import annotations

import operator
import time
from dataclasses import dataclass, field, replace
from itertools import islice
from statistics import median
from typing import TYPE_CHECKING, Any, Literal, Unpack, cast

import numpy as np

from scoopsci.basics.arguments import check_count
from scoopsci.basics.wording import plural
from scoopsci.engines.base import Engine
from scoopsci.estimation.streams import check_seed
from scoopsci.harness.startup import start_workers
from scoopsci.mergesort import SortResult, sort_and_describe
from scoopsci.reporting.markup import as_notes, as_table
from scoopsci.road.options import RunOptions, refuse_ledger
from scoopsci.road.runs import hold_engine

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["SortComparison", "advise", "measure_sort"]

#: Each method is timed this often, in turn; the medians are reported.
N_ROUNDS = 3

#: A gain below this is within the noise.
LEAST_GAIN = 1.1


@dataclass(frozen=True, kw_only=True)
class SortComparison:
    """One list of random numbers, sorted by Python, on one core, and on an engine.

    Attributes
    ----------
    n_items : int
        Number of items.
    seed : int
        Seed of the items.
    elapsed_s : float
        Seconds that `merge_sort` took on the engine, once its workers had started; this and the
        two following times are medians of three rounds.
    serial_elapsed_s : float
        Seconds that Python's `sorted` took.
    one_core_elapsed_s : float
        Seconds that `merge_sort` took on the engine "serial".
    start_up_s : float
        Seconds until all workers had started.
    sorted, same_multiset : bool
        Whether both results of `merge_sort` are in order, and hold exactly the items given.
    engine : str
        Engine that sorted them; what follows describes that sort, as in `SortResult`.
    n_workers, sent_bytes, returned_bytes : int
        Its workers, and the bytes that travelled.
    largest_share : float
        Size of the largest partition, relative to their mean.
    in_shared_memory : bool
        Whether workers found all values in shared memory.
    moving_s : float
        Seconds of it spent on converting, sending, waiting and returning, averaged over workers.
    advice : str
        Whether to distribute such a sort.
    receipt : dict
        Receipt of the sort on the engine; see `scoopsci.report.make_receipt`.
    """

    n_items: int
    seed: int
    elapsed_s: float
    serial_elapsed_s: float
    one_core_elapsed_s: float
    start_up_s: float
    sorted: bool
    same_multiset: bool
    engine: str
    n_workers: int
    largest_share: float
    sent_bytes: int
    returned_bytes: int
    moving_s: float
    in_shared_memory: bool
    advice: str
    receipt: dict[str, Any] = field(default_factory=dict, repr=False)

    def plot(
        self, kind: Literal["speedup", "times", "workers", "hosts"] = "speedup", *,
        ax: Axes | None = None,
    ) -> Axes:  # fmt: skip
        """Draw the speed-ups with the ideal line, or the run on the engine.

        See `scoopsci.report.plot_speedup` and `scoopsci.report.plot_receipt`.
        """
        from scoopsci.reporting import plots

        if kind != "speedup":
            return plots.plot_receipt(kind, self.receipt, ax=ax)
        speedups = [self.serial_elapsed_s / elapsed_s for elapsed_s in self._times().values()]
        return plots.plot_speedup(list(self._times()), speedups, ideal=self.n_workers, ax=ax)

    def _times(self) -> dict[str, float]:
        return {
            "Python's sorted": self.serial_elapsed_s,
            "merge_sort on one core": self.one_core_elapsed_s,
            f"merge_sort, {self.engine}, {plural(self.n_workers, 'worker')}": self.elapsed_s,
        }

    def _repr_html_(self) -> str:
        rows = [
            [method, f"{elapsed_s:.3f}", f"{self.serial_elapsed_s / elapsed_s:.2f}"]
            for method, elapsed_s in self._times().items()
        ]
        first, *_, last = str(self).splitlines()
        return as_table(["method", "seconds", "speed-up"], rows) + as_notes([first, last])

    def __str__(self) -> str:
        workers = plural(self.n_workers, "worker")
        memory = "through shared memory" if self.in_shared_memory else "without shared memory"
        in_order = "in order" if self.sorted else "NOT IN ORDER"
        complete = "the same items" if self.same_multiset else "NOT THE SAME ITEMS"
        return "\n".join(
            [
                f"{self.n_items:,} random integers, seed {self.seed}: {in_order}, {complete}",
                f"{self.serial_elapsed_s:9.3f} s  Python's sorted",
                f"{self.one_core_elapsed_s:9.3f} s  merge_sort on one core",
                f"{self.elapsed_s:9.3f} s  merge_sort on engine {self.engine}, {workers}, "
                f"which took {self.start_up_s:.2f} s to start",
                f"{self.moving_s:9.3f} s  of it to convert and move the items, {memory}: "
                f"{self.sent_bytes:,} bytes sent, {self.returned_bytes:,} returned",
                f"largest partition {self.largest_share:.2f} of the mean",
                self.advice,
            ]
        )


def advise(elapsed_s: float, sorted_s: float, one_core_s: float, n_workers: int) -> str:
    """Advise whether to distribute a sort.

    Parameters
    ----------
    elapsed_s, sorted_s, one_core_s : float
        Time on the engine, of Python's `sorted`, and of `merge_sort` on one core.
    n_workers : int
        Number of the engine's workers.

    Returns
    -------
    str
        One sentence.

    Examples
    --------
    >>> advise(5.0, 4.0, 4.5, n_workers=2)
    'do not distribute: `sorted` on one core is 1.2 times as fast as 2 workers'
    """
    workers = "one worker" if n_workers == 1 else f"{n_workers} workers"
    if n_workers > 1 and elapsed_s * LEAST_GAIN < min(sorted_s, one_core_s):
        return (
            f"distribute: {workers} are {_times_as_fast(elapsed_s, one_core_s)} as merge_sort on "
            f"one core, and {_times_as_fast(elapsed_s, sorted_s)} as Python's sorted"
        )
    if sorted_s < one_core_s:
        return (
            f"do not distribute: `sorted` on one core is {_times_as_fast(sorted_s, elapsed_s)} as "
            f"{workers}"
        )
    return (
        f"do not distribute: merge_sort on one core, engine='serial', is "
        f"{_times_as_fast(one_core_s, elapsed_s)} as {workers}, and "
        f"{_times_as_fast(one_core_s, sorted_s)} as Python's sorted"
    )


def _times_as_fast(elapsed_s: float, other_s: float) -> str:
    ratio = other_s / elapsed_s
    return f"{ratio:.1f} times as fast" if ratio >= LEAST_GAIN else "as fast"


def measure_sort(
    n_items: int, *, seed: int | None = None, **run: Unpack[RunOptions]
) -> SortComparison:
    """Sort random integers by Python, on one core, and on an engine, and check the results.

    Parameters
    ----------
    n_items : int
        Number of items.
    seed : int, optional
        Seed of the items; by default a fresh one, which the result records.
    **run
        See `RunOptions`; ``ledger=`` is not supported.

    Returns
    -------
    SortComparison
        The times, the checks, and the advice.

    Raises
    ------
    ValueError, TypeError, EngineError
        See `merge_sort`.

    Examples
    --------
    >>> found = measure_sort(1_000, seed=1, engine="serial")
    >>> found.sorted, found.same_multiset
    (True, True)
    """
    n_items, seed = check_count("n_items", n_items), check_seed(seed)
    refuse_ledger(run)
    values = np.random.default_rng(seed).integers(0, 2**62, n_items).tolist()
    start_s = time.monotonic()
    with hold_engine(run) as options:
        start_workers(cast(Engine, options["engine"]))
        start_up_s = time.monotonic() - start_s
        sort_and_describe([1, 0], engine="serial")  # the first task of a process takes longer
        rounds = [_measure_round(values, options) for _ in range(N_ROUNDS)]
    serial_s, alone_s, found, in_order, same_multiset = zip(*rounds, strict=True)
    middle = sorted(found, key=operator.attrgetter("elapsed_s"))[N_ROUNDS // 2]
    times_s = middle.elapsed_s, median(serial_s), median(alone_s)
    copied = ("engine", "n_workers", "largest_share", "sent_bytes", "returned_bytes",
              "in_shared_memory")  # fmt: skip
    return SortComparison(
        n_items=n_items,
        seed=seed,
        elapsed_s=times_s[0],
        serial_elapsed_s=times_s[1],
        one_core_elapsed_s=times_s[2],
        start_up_s=start_up_s,
        sorted=all(in_order),
        same_multiset=all(same_multiset),
        moving_s=max(0.0, middle.elapsed_s - middle.times["computing_s"]),
        advice=advise(*times_s, middle.n_workers),
        receipt={**middle.receipt, "options": {**middle.receipt["options"], "seed": seed}},
        **{name: getattr(middle, name) for name in copied},
    )


def _measure_round(
    values: list[int], options: RunOptions
) -> tuple[float, float, SortResult, bool, bool]:
    start_s = time.monotonic()
    expected = sorted(values)
    serial_s = time.monotonic() - start_s
    alone = sort_and_describe(values, engine="serial")
    found = sort_and_describe(values, **options)
    results = alone.values, found.values
    in_order = all(all(map(operator.le, v, islice(v, 1, None))) for v in results)
    same_multiset = all(sorted(v) == expected for v in results)
    return serial_s, alone.elapsed_s, replace(found, values=None), in_order, same_multiset
