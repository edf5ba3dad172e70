"""A program of maps, reductions and scans, which reports what it finds to the last bit.

It travels by itself: hosts have scoopsci, and neither the tests nor the repository.
"""

from __future__ import annotations

import functools
import json
import operator
import sys
from pathlib import Path
from typing import Any

import scoopsci
from scoopsci.testing.bits import find_map_bits

N_ITEMS = 200_000
N_MORE = 1_000_000
N_FEWER = 10_000
CHUNK_TARGETS_S = (0.001, 0.1, 1.0)


def find_bits(n_items: int = N_ITEMS, n_fewer: int = N_FEWER, **run: Any) -> dict[str, str]:
    """Return the exact results of the whole map family."""
    return find_map_bits(n_items, n_fewer, **run)


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
