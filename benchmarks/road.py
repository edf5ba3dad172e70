"""What the road costs for each block, and that it does not grow with their number.

Points of π in blocks of 1,000, through an engine that is open: the time per block for each number
of points, in interleaved rounds, and the paired ratios of the largest to the smallest.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scoopsci import Engine, open_engine, pi
from scoopsci.receipts import software_versions

BLOCK_SIZE = 1_000
N_POINTS = (10**5, 10**6, 10**7)


def block_time_us(engine: Engine, n_points: int) -> float:
    start = time.perf_counter()
    pi(n_points, seed=1, block_size=BLOCK_SIZE, engine=engine)
    return 1e6 * (time.perf_counter() - start) / (n_points // BLOCK_SIZE)


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of the median, by bootstrap."""
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(np.asarray(values), (10_000, len(values))), axis=1)
    low, high = np.quantile(medians, [0.025, 0.975])
    return float(low), float(high)


def measure(name: str, n_rounds: int) -> dict[str, object]:
    with open_engine(name) as engine:
        block_time_us(engine, N_POINTS[0])
        rounds = [[block_time_us(engine, n) for n in N_POINTS] for _ in range(n_rounds)]
    ratios = [times[-1] / times[0] for times in rounds]
    return {
        "engine": name,
        "us_per_block": {
            str(n): statistics.median(times[i] for times in rounds) for i, n in enumerate(N_POINTS)
        },
        "ratio_largest_to_smallest": statistics.median(ratios),
        "ratio_interval_95": median_interval(ratios),
        "rounds_us_per_block": rounds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    rows = [measure(name, options.rounds) for name in ("serial", "processes")]
    results = {
        "n_points": N_POINTS,
        "block_size": BLOCK_SIZE,
        "machine": {"processor": platform.machine(), "system": platform.system()},
        "versions": software_versions(),
        "rows": rows,
    }
    options.output.write_text(json.dumps(results, indent=2) + "\n", "utf-8")
    for row in rows:
        print({key: row[key] for key in row if key != "rounds_us_per_block"})


if __name__ == "__main__":
    main()
