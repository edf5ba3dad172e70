"""A program of sorts, which reports what it finds to the last bit, and how it was carried.

It travels by itself: hosts have neither the tests nor the repository.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np

from scoopsci.mergesort import sort_and_describe

#: Where workers cannot import this file, its functions are pickled by value.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

N_ITEMS = 200_000


def last_digits(number: int) -> int:
    return number % 1000


def make_sorts() -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield values and the options to sort them with."""
    rng = np.random.default_rng(20_261_121)
    numbers = rng.standard_cauchy(N_ITEMS)
    numbers[::7] = np.nan
    numbers[1::7] = -np.nan
    numbers[2::7] = 0.0
    numbers[3::7] = -0.0
    yield numbers, {}
    yield numbers, {"reverse": True}
    integers = rng.integers(0, 2**40, N_ITEMS)
    yield integers.tolist(), {}
    yield integers.tolist()[:20_000], {"key": last_digits, "reverse": True}
    yield [f"{number:x}" for number in integers[:20_000].tolist()], {}
    yield np.zeros(N_ITEMS), {}


def run_sorts(engine: str) -> list[dict[str, Any]]:
    found = []
    for values, options in make_sorts():
        done = sort_and_describe(values, engine=engine, **options)
        exact = done.values.tobytes() if isinstance(values, np.ndarray) else repr(done.values)
        digest = hashlib.sha256(exact if isinstance(exact, bytes) else exact.encode()).hexdigest()
        found.append(
            {
                "digest": digest,
                "largest_share": done.largest_share,
                "in_shared_memory": done.in_shared_memory,
                "sent_bytes": done.sent_bytes,
            }
        )
    return found


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(run_sorts("scoop")), "utf-8")
