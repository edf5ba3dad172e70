"""A program that uses SCOOP's own futures before, between and after scoopsci."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scoop import futures

import scoopsci

ORIGIN = os.getpid()


def square(x: int) -> int:
    return x * x


def draw(rng: np.random.Generator, size: int) -> Any:
    return rng.random(size)


def main(report: Path) -> None:
    n_items, found = 200, []
    for _ in range(3):
        squares = list(futures.map(square, range(n_items)))
        result = scoopsci.estimate(draw, 20_000, seed=2)
        run = result.receipt["run"]
        origin_worked = ORIGIN in [worker["pid"] for worker in run["workers"]]
        found.append([sum(squares), result.value, run["n_lost_tasks"], origin_worked])
    report.write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
