"""Overhead per block of dispatch and folding, and that it does not grow with the number of blocks.

Points of π in blocks of 1,000 on open engines: the time per block for each number of points, and
the paired ratios of the largest to the smallest.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

from benchmarks.form import as_fields, count_rounds
from scoopsci import Engine, open_engine, pi
from scoopsci.harness.rounds import Figure, interleave, paired_ratio

BLOCK_SIZE = 1_000
ENGINES = ("serial", "processes")


def measure(*, quick: bool) -> dict[str, Any]:
    numbers = [10**5, 10**6] if quick else [10**5, 10**6, 10**7]
    with ExitStack() as stack:
        engines = {name: stack.enter_context(open_engine(name)) for name in ENGINES}
        for engine in engines.values():
            measure_block_us(engine, numbers[0])
        ways = {
            name_way(name, n_points): partial(measure_block_us, engine, n_points)
            for name, engine in engines.items()
            for n_points in numbers
        }
        rounds = interleave(ways, count_rounds(quick=quick))
    rows = [
        {
            "engine": name,
            "us_per_block": {
                str(n): Figure.of([us[name_way(name, n)] for us in rounds]).median for n in numbers
            },
            **as_fields(
                "ratio_largest_to_smallest",
                paired_ratio(rounds, name_way(name, numbers[-1]), name_way(name, numbers[0])),
            ),
        }
        for name in ENGINES
    ]
    return {"n_points": numbers, "block_size": BLOCK_SIZE, "rows": rows, "rounds": rounds}


def name_way(engine: str, n_points: int) -> str:
    return f"{engine}, {n_points} points"


def measure_block_us(engine: Engine, n_points: int) -> float:
    start_s = time.perf_counter()
    pi(n_points, seed=1, block_size=BLOCK_SIZE, engine=engine)
    return 1e6 * (time.perf_counter() - start_s) / (n_points // BLOCK_SIZE)


def as_table(results: Mapping[str, Any]) -> str:
    """Return no table: the README leaves it out."""
    return ""
