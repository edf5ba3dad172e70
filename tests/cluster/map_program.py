"""A program of maps, reductions and scans, which reports what it finds to the last bit.

It travels by itself: hosts have neither the tests nor the repository.
"""

from __future__ import annotations

import functools
import hashlib
import json
import operator
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np

import scoopsci

#: Where workers cannot import this file, its functions are pickled by value.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

N_ITEMS = 200_000
N_MORE = 1_000_000
N_FEWER = 10_000
CHUNK_TARGETS_S = (0.001, 0.1, 1.0)


def make_numbers(n_items: int) -> np.ndarray:
    """Return numbers of mixed magnitude: the bits of their sum depend on the order."""
    rng = np.random.Generator(np.random.PCG64DXSM(20_260_101))
    numbers: np.ndarray = np.exp(20.0 * rng.standard_normal(n_items))
    return numbers


def scale(rng: np.random.Generator, number: float, factor: int) -> float:
    return float(number * factor * rng.standard_normal())


def group(index: int, number: float) -> list[tuple[int, float]]:
    return [(index % 7, float(number)), (index * index % 1_000, float(-number))]


def invert(index: int) -> float:
    return 1.0 / (index % 500)


def sum_within(index: int) -> str:
    """Run maps within a task."""
    inner = scoopsci.map(functools.partial(pow, index + 1.5), range(20), engine="processes")
    total = scoopsci.map_reduce(float, operator.add, list(inner), engine="auto")
    return float(total).hex()


def describe_error(result: Any) -> str:
    if isinstance(result, scoopsci.TaskError):
        return f"block {result.block}: {result.__cause__!r}"
    return float(result).hex()


def hash_floats(values: Iterable[float]) -> str:
    return hashlib.sha256(np.fromiter(values, np.float64).tobytes()).hexdigest()


def hash_texts(values: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(values).encode()).hexdigest()


def find_bits(n_items: int = N_ITEMS, n_fewer: int = N_FEWER, **run: Any) -> dict[str, str]:
    """Return the exact results of the whole map family.

    Parameters
    ----------
    n_items : int
        Numbers that are summed and scanned.
    n_fewer : int
        Numbers of the other calls.
    **run
        Options of the run.
    """
    numbers, fewer = make_numbers(n_items), make_numbers(n_fewer)
    counted = scoopsci.map_as_completed(float, fewer, **run)
    groups = scoopsci.map_reduce_by_key(group, operator.add, range(n_fewer), fewer, **run)
    seeded = scoopsci.map(scale, iter(fewer), range(n_fewer), seed=5, **run)
    pairs = ((number, 3) for number in fewer)
    return {
        "sum": scoopsci.map_reduce(float, operator.add, numbers, **run).hex(),
        "scan": hash_floats(scoopsci.map_scan(float, operator.add, numbers, **run)),
        "as completed": hash_floats(sorted(counted)),
        "groups": hash_texts(f"{key} {value.hex()}" for key, value in groups.items()),
        "seeded": hash_floats(seeded),
        "seeded starmap": hash_floats(scoopsci.starmap(scale, pairs, seed=6, **run)),
        "errors": hash_texts(
            map(describe_error, scoopsci.map(invert, range(n_fewer), on_error="return", **run))
        ),
        "nested": hash_texts(scoopsci.map(sum_within, range(50), **run)),
    }


@functools.cache
def find_serial_bits(n_items: int = N_ITEMS) -> dict[str, str]:
    """Return what every engine must find."""
    return find_bits(n_items, engine="serial")


def main(report: Path, n_items: int) -> None:
    receipts: list[dict[str, Any]] = []
    found = [find_bits(n_items, chunk_target_s=target_s) for target_s in CHUNK_TARGETS_S]
    scoopsci.map_reduce(
        float, operator.add, range(200_000), receipt=receipts.append, chunk_target_s=0.001
    )
    run = receipts[0]["run"]
    told = {name: run[name] for name in ("engine", "n_workers", "n_lost_tasks", "workers")}
    report.write_text(json.dumps({"found": found, **told}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
