"""Methods of mapping compared on the same tasks: serial, SCOOP's, and the map family."""

from __future__ import annotations

import operator
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import starmap
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Unpack

from scoopsci.basics.arguments import check_count, check_seconds
from scoopsci.basics.wording import plural
from scoopsci.engines.base import Engine
from scoopsci.engines.opening import inside_scoop
from scoopsci.harness.startup import start_workers
from scoopsci.mapreduce import map as map_items
from scoopsci.mapreduce import map_as_completed, map_reduce
from scoopsci.reporting.markup import as_notes, as_table
from scoopsci.road.options import RunOptions, refuse_ledger
from scoopsci.road.runs import hold_engine

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["MapComparison", "MethodRow", "compare_methods", "sum_list"]

HEADER = ["method", "seconds", "speed-up", "efficiency", "equal"]

#: A method, the seconds that it took, and its result.
Measured: TypeAlias = tuple[str, float, int]


@dataclass(frozen=True, slots=True)
class MethodRow:
    """One method of doing the tasks.

    Attributes
    ----------
    method : str
        Its name.
    elapsed_s : float
        Seconds that it took, on workers that had started.
    speedup : float
        Serial time divided by this one.
    efficiency : float
        Speed-up divided by the number of workers.
    equal : bool
        Whether the result equals the serial one.
    """

    method: str
    elapsed_s: float
    speedup: float
    efficiency: float
    equal: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MapComparison:
    """The methods of doing the tasks, side by side.

    Attributes
    ----------
    result : int
        Sum of all tasks, computed serially.
    rows : tuple of MethodRow
        The methods, the serial one first.
    n_tasks : int
        Number of tasks.
    task_s : float
        Seconds that each task sleeps.
    engine : str
        Engine of scoopsci's own rows.
    n_workers : int
        Number of workers.
    start_up_s : float
        Seconds until its workers had started; not included in any row.
    receipt : dict
        Receipt of `map` on the engine; see `scoopsci.report.make_receipt`.
    """

    result: int
    rows: tuple[MethodRow, ...]
    n_tasks: int
    task_s: float
    engine: str
    n_workers: int
    start_up_s: float
    receipt: dict[str, Any] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        width = max(len(row.method) for row in self.rows)
        lines = [
            f"{method:{width}}  {elapsed:>8}  {speedup:>8}  {efficiency:>10}  {equal}"
            for method, elapsed, speedup, efficiency, equal in [HEADER, *self._cells()]
        ]
        return "\n".join([*lines, self._note()])

    def _repr_html_(self) -> str:
        return as_table(HEADER, self._cells()) + as_notes([self._note()])

    def _cells(self) -> list[list[str]]:
        return [
            [
                row.method,
                *(f"{x:.2f}" for x in (row.elapsed_s, row.speedup, row.efficiency)),
                "yes" if row.equal else "NO",
            ]
            for row in self.rows
        ]

    def _note(self) -> str:
        return (
            f"result {self.result}; {self.n_tasks:,} tasks of {1000 * self.task_s:g} ms; engine "
            f"{self.engine}, {plural(self.n_workers, 'worker')}, started "
            f"in {self.start_up_s:.2f} s"
        )

    def plot(
        self, kind: Literal["speedup", "times", "workers", "hosts"] = "speedup", *,
        ax: Axes | None = None,
    ) -> Axes:  # fmt: skip
        """Draw the speed-ups with the ideal line, or the run of `map`.

        See `scoopsci.report.plot_speedup` and `scoopsci.report.plot_receipt`.
        """
        from scoopsci.reporting import plots

        if kind != "speedup":
            return plots.plot_receipt(kind, self.receipt, ax=ax)
        names = [row.method for row in self.rows]
        speedups = [row.speedup for row in self.rows]
        return plots.plot_speedup(names, speedups, ideal=self.n_workers, ax=ax)


def sum_list(task_s: float, length: int) -> int:
    """Sleep, then sum a list of equal numbers: the task of the comparison.

    Parameters
    ----------
    task_s : float
        Seconds to sleep.
    length : int
        Length of the list, and the number that it repeats.

    Returns
    -------
    int
        The square of the length.
    """
    time.sleep(task_s)
    return sum([length] * length)


def compare_methods(
    n_tasks: int = 1000, task_s: float = 0.01, **run: Unpack[RunOptions]
) -> MapComparison:
    """Sum lists serially, by SCOOP if it is running, and by the map family.

    Parameters
    ----------
    n_tasks : int
        Number of tasks; task a sums a list that repeats the number a, a times.
    task_s : float
        Seconds that each task sleeps first.
    **run
        See `scoopsci.RunOptions`.

    Returns
    -------
    MapComparison
        A row for each method.

    Raises
    ------
    ValueError, TypeError, EngineError
        See `map`.
    """
    check_count("n_tasks", n_tasks)
    check_seconds("task_s", task_s, or_zero=True)
    refuse_ledger(run)
    fn, tasks = partial(sum_list, task_s), range(n_tasks)
    # Before our driver starts: until then, the origin of SCOOP's pool runs tasks.
    by_scoop = _measure_scoop(fn, tasks) if inside_scoop() else []
    n_of_scoop = sys.modules["scoop"].SIZE if by_scoop else 0
    start_s = time.perf_counter()
    with hold_engine(run) as options:
        engine = options["engine"]
        assert isinstance(engine, Engine)
        n_workers = start_workers(engine)
        start_up_s = time.perf_counter() - start_s
        serial = _measure("serial: sum of map", lambda: sum(map(fn, tasks)))
        receipts: list[dict[str, Any]] = []
        measured = [
            (serial, 1),
            *((done, n_of_scoop or n_workers) for done in by_scoop),
            *((done, n_workers) for done in _measure_ours(fn, tasks, options, receipts)),
        ]
    rows = [
        MethodRow(
            method=method,
            elapsed_s=elapsed_s,
            speedup=serial[1] / elapsed_s,
            efficiency=serial[1] / elapsed_s / n,
            equal=result == serial[2],
        )
        for (method, elapsed_s, result), n in measured
    ]
    return MapComparison(
        result=serial[2],
        rows=tuple(rows),
        n_tasks=n_tasks,
        task_s=task_s,
        engine=engine.name,
        n_workers=n_workers,
        start_up_s=start_up_s,
        receipt=receipts[0],
    )


def _measure(method: str, call: Callable[[], int]) -> Measured:
    start_s = time.perf_counter()
    result = call()
    return method, time.perf_counter() - start_s, result


def _measure_scoop(fn: Callable[[int], int], tasks: range) -> list[Measured]:
    from scoop import SIZE, futures

    list(futures.map(time.sleep, [0.05] * 4 * max(1, SIZE)))  # until its workers have started
    methods: dict[str, Callable[[], int]] = {
        "scoop: futures.map": lambda: sum(futures.map(fn, tasks)),
        "scoop: futures.map_as_completed": lambda: sum(futures.map_as_completed(fn, tasks)),
    }
    if len(tasks) > 1:  # with a single item it raises an IndexError
        methods["scoop: futures.mapReduce"] = lambda: futures.mapReduce(fn, operator.add, tasks)
    return list(starmap(_measure, methods.items()))


def _measure_ours(
    fn: Callable[[int], int], tasks: range, options: RunOptions, receipts: list[dict[str, Any]]
) -> list[Measured]:
    methods: dict[str, Callable[[], int]] = {
        "scoopsci: map": lambda: sum(map_items(fn, tasks, receipt=receipts.append, **options)),
        "scoopsci: map_as_completed": lambda: sum(map_as_completed(fn, tasks, **options)),
        "scoopsci: map_reduce": lambda: map_reduce(fn, operator.add, tasks, **options),
    }
    return list(starmap(_measure, methods.items()))
