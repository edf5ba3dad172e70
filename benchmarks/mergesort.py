"""Sorting a list of a million integers with Python, NumPy and merge_sort.

All run in this process or on workers already started; the limit is two processes that sort half of
the list each, without merging.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np

from benchmarks.form import SPEEDUP, as_cell, as_fields, count_rounds, make_table
from scoopsci import open_engine
from scoopsci.harness.rounds import Figure, interleave, paired_ratio
from scoopsci.mergesort import merge_sort

SORTED, BARE = "`sorted`", "two bare processes, half each"


def measure(*, quick: bool) -> dict[str, Any]:
    n_items = 100_000 if quick else 1_000_000
    array = np.random.default_rng(7).integers(-(2**62), 2**62, n_items)
    items = array.tolist()
    expected = np.sort(array)
    with ExitStack() as stack:
        engine = stack.enter_context(open_engine("processes", n_workers=2))
        halves = (items[: n_items // 2], items[n_items // 2 :])
        pools = [
            stack.enter_context(multiprocessing.get_context("spawn").Pool(1, keep, (half,)))
            for half in halves
        ]

        def sort_halves() -> None:
            for pending in [pool.apply_async(sort_kept) for pool in pools]:
                pending.get()

        ways: dict[str, Callable[[], Any]] = {
            SORTED: partial(sorted, items),
            "`numpy.sort` of an array": partial(np.sort, array),
            "`merge_sort`, serial": partial(merge_sort, items, engine="serial"),
            "`merge_sort`, 2 workers": partial(merge_sort, items, engine=engine),
            BARE: sort_halves,
        }
        for sort in ways.values():  # warm up
            sort()
        rounds = interleave(
            {way: partial(time_sort, sort, expected) for way, sort in ways.items()},
            count_rounds(quick=quick),
        )
    rows = [
        {
            "way": way,
            "elapsed_s": Figure.of([taken[way] for taken in rounds]).median,
            **as_fields("speedup", paired_ratio(rounds, SORTED, way)),
        }
        for way in ways
    ]
    return {"n_items": n_items, "rows": rows, "rounds": rounds}


def time_sort(sort: Callable[[], Iterable[int] | None], expected: np.ndarray) -> float:
    start_s = time.perf_counter()
    found = sort()
    elapsed_s = time.perf_counter() - start_s
    assert found is None or np.array_equal(np.asarray(found), expected)
    return elapsed_s


_kept: list[int] = []


def keep(items: list[int]) -> None:
    _kept.extend(items)


def sort_kept() -> None:
    sorted(_kept)


def as_table(results: Mapping[str, Any]) -> str:
    rows = [
        [row["way"], f"{1000 * row['elapsed_s']:.3g}", as_cell(row, "speedup")]
        for row in results["rows"]
    ]
    task = f"sorting a list of {results['n_items']:,} integers"
    return make_table([task, "milliseconds", SPEEDUP], rows)
