"""A program over a pool of several hosts, which prints what it has found as JSON."""

from __future__ import annotations

import json
import sys
import time

import scoopsci
from scoopsci import Pool


def main(hostfile: str, ssh: str, n_points: str, block_size: str) -> None:
    """Open a pool, run pi on it, and print the outcome."""
    start_s = time.perf_counter()
    with Pool(hostfile=hostfile, ssh=ssh) as pool:
        ready_s = time.perf_counter() - start_s
        result = scoopsci.pi(int(n_points), seed=7, block_size=int(block_size), engine=pool)
        hosts = pool.hosts
    print(
        json.dumps(
            {
                "ready_s": ready_s,
                "result": result.receipt["result"],
                "run": result.receipt["run"],
                "hosts": hosts,
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
