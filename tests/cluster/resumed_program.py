"""A program with a ledger, to be killed and resumed; counts its executions on disk."""

from __future__ import annotations

import functools
import json
import math
import operator
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import scoopsci
from scoopsci.reporting.progress import Progress

N_ITEMS = 240
N_FREE = 120  # the others wait for a word
SEED = 9
GO = "go"


def visit(marks: str, rng: np.random.Generator, item: int) -> float:
    """Record the execution, and return a number of any magnitude."""
    with Path(marks, str(item)).open("ab") as mark:
        mark.write(b".")
    time.sleep(0.001)
    while item >= N_FREE and not Path(marks, GO).exists():
        time.sleep(0.01)
    return math.ldexp(float(rng.standard_normal()), item * 37 % 60)


def visit_group(marks: str, rng: np.random.Generator, item: int) -> list[tuple[int, float]]:
    return [(item * item % 11, visit(marks, rng, item))]


def visit_tuple(marks: str, rng: np.random.Generator, *items: int) -> float:
    return visit(marks, rng, *items)


def map_in_order(marks: str, **run: Any) -> list[float]:
    fn = functools.partial(visit, marks)
    return list(scoopsci.map(fn, range(N_ITEMS), seed=SEED, **run))


def star_map(marks: str, **run: Any) -> list[float]:
    fn, items = functools.partial(visit_tuple, marks), ((item,) for item in range(N_ITEMS))
    return list(scoopsci.starmap(fn, items, seed=SEED, **run))


def map_as_completed(marks: str, **run: Any) -> list[float]:
    fn = functools.partial(visit, marks)
    return sorted(scoopsci.map_as_completed(fn, range(N_ITEMS), seed=SEED, **run))


def map_reduce(marks: str, **run: Any) -> list[float]:
    fn = functools.partial(visit, marks)
    return [scoopsci.map_reduce(fn, operator.add, iter(range(N_ITEMS)), seed=SEED, **run)]


def map_scan(marks: str, **run: Any) -> list[float]:
    fn = functools.partial(visit, marks)
    return list(scoopsci.map_scan(fn, operator.add, list(range(N_ITEMS)), seed=SEED, **run))


def map_reduce_by_key(marks: str, **run: Any) -> list[float]:
    fn = functools.partial(visit_group, marks)
    found = scoopsci.map_reduce_by_key(fn, operator.add, range(N_ITEMS), seed=SEED, **run)
    return [number for pair in found.items() for number in pair]


CALLS: dict[str, Callable[..., list[float]]] = {
    call.__name__: call
    for call in (map_in_order, star_map, map_as_completed, map_reduce, map_scan, map_reduce_by_key)
}


def count_done(state: Progress) -> None:
    print(state.n_done, flush=True)


def main(call: str, engine: str, folder: Path) -> None:
    receipts: list[dict[str, Any]] = []
    found = CALLS[call](
        str(folder / "marks"),
        engine=engine,
        ledger=folder / "ledger",
        chunk_target_s=0.005,
        progress=count_done,
        receipt=receipts.append,
    )
    told = {name: receipts[0]["run"][name] for name in ("engine", "n_recalled_blocks")}
    report = json.dumps({"result": [float(number).hex() for number in found], **told})
    scratch = folder / f"report-{os.getpid()}"
    scratch.write_text(report)
    scratch.replace(folder / "report")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
