"""Calls of an empty function with the map of scoopsci, multiprocessing and SCOOP.

Each run is a separate process that starts two workers before timing; run as a script, this file is
that process.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.form import as_cell, as_fields, count_rounds, make_table, run_json
from scoopsci.basics.wording import plural
from scoopsci.harness.rounds import Figure, interleave, paired_ratio

OURS, POOL, SCOOP = "scoopsci.map", "multiprocessing.Pool.map", "SCOOP's futures.map"
USED_SCOOP = f"{SCOOP}, after 6,000 calls"
MAX_FAILED = 10
SCOOP_OF_TWO = ("-m", "scoop", "-q", "-n", "2")


def measure(*, quick: bool) -> dict[str, Any]:
    """Give SCOOP's own map a tenth of the calls: its rate falls with every call it has made."""
    n_calls, n_many = (20_000, 1_000_000) if quick else (200_000, 10_000_000)
    n_few = n_calls // 10
    sizes = {OURS: n_calls, POOL: n_calls, SCOOP: n_few, USED_SCOOP: n_few}
    ways = {
        OURS: partial(run, *SCOOP_OF_TWO, way=OURS, sizes=[100_000, n_calls, n_many]),
        POOL: partial(run, way=POOL, sizes=[n_calls]),
        SCOOP: partial(run_scoop, sizes=[n_few]),
        USED_SCOOP: partial(run_scoop, sizes=[1000, 5000, n_few]),
    }
    rounds = interleave(ways, count_rounds(quick=quick))
    at = {OURS: 1, POOL: 0, SCOOP: 0, USED_SCOOP: 2}
    rates = [{way: 1 / taken[way]["s_per_call"][at[way]] for way in ways} for taken in rounds]
    rows = [
        {
            "way": way,
            "n_calls": n_calls_of_way,
            "calls_per_s": Figure.of([rate[way] for rate in rates]).median,
            **as_fields("ours_to_this", paired_ratio(rates, OURS, way)),
        }
        for way, n_calls_of_way in sizes.items()
    ]
    growth = {
        name: Figure.of([taken[OURS][name][2] / taken[OURS][name][0] for taken in rounds])
        for name in ("s_per_call", "peak_bytes")
    }
    return {
        "rows": rows,
        "n_many": n_many,
        "n_failed_by_scoop": sum(
            taken[way]["n_failed"] for taken in rounds for way in (SCOOP, USED_SCOOP)
        ),
        **as_fields("time_per_call_many_to_100000", growth["s_per_call"]),
        **as_fields("peak_memory_many_to_100000", growth["peak_bytes"]),
        "rounds": rounds,
    }


def run(*launch: str, way: str, sizes: list[int]) -> dict[str, Any]:
    (found,) = run_json([*launch, Path(__file__), way, *map(str, sizes)])
    return found


def run_scoop(sizes: list[int]) -> dict[str, Any]:
    """Repeat a run in which SCOOP fails: every 25 s a thread writes in the middle of a message."""
    for n_failed in range(MAX_FAILED):
        try:
            return {**run(*SCOOP_OF_TWO, way=SCOOP, sizes=sizes), "n_failed": n_failed}
        except RuntimeError as error:
            print(error)
    raise RuntimeError(f"SCOOP failed {MAX_FAILED} times; see above")


def as_table(results: Mapping[str, Any]) -> str:
    rows = [
        [
            row["way"] if row["way"].startswith(SCOOP) else f"`{row['way']}`",
            f"{row['n_calls']:,}",
            f"{float(format(row['calls_per_s'], '.2g')):,.0f}",
            as_cell(row, "ours_to_this"),
        ]
        for row in results["rows"]
    ]
    header = [
        "empty calls with",
        "calls",
        "calls per second",
        "speed-up of `scoopsci.map` (95 % interval)",
    ]
    n_failed = results["n_failed_by_scoop"]
    return (
        make_table(header, rows)
        + f"\nWith {results['n_many']:,} calls instead of 100,000, each takes "
        + as_cell(results, "time_per_call_many_to_100000")
        + " times as long,\nand the driver needs "
        + as_cell(results, "peak_memory_many_to_100000")
        + " times the memory.\n"
        + (
            f"SCOOP's own map failed and was rerun {plural(n_failed, 'time')}.\n"
            if n_failed
            else ""
        )
    )


def increment(x: int) -> int:
    return x + 1


def doze(x: int) -> int:
    time.sleep(0.1)
    return x


Map = Callable[[Callable[[int], int], Iterable[int]], Iterable[int]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("way", choices=[OURS, POOL, SCOOP])
    parser.add_argument("sizes", type=int, nargs="+")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    if options.way == OURS:
        import scoopsci

        with scoopsci.open_engine("scoop") as engine:
            found = time_calls(partial(scoopsci.map, engine=engine), options.sizes)
    elif options.way == POOL:
        import multiprocessing

        with multiprocessing.Pool(2) as pool:
            found = time_calls(pool.map, options.sizes)
    else:
        from scoop import futures

        found = time_calls(futures.map, options.sizes)
    options.output.write_text(json.dumps(found), "utf-8")


def time_calls(map_items: Map, sizes: list[int]) -> dict[str, list[float]]:
    """Consume the results as they arrive, and record the time per call and the peak memory."""
    found: dict[str, list[float]] = {"s_per_call": [], "peak_bytes": []}
    list(map_items(doze, range(20)))  # until both workers have started
    for size in sizes:
        start_s = time.perf_counter()
        total = sum(map_items(increment, range(size)))
        found["s_per_call"].append((time.perf_counter() - start_s) / size)
        found["peak_bytes"].append(read_peak_bytes())
        assert total == size * (size + 1) // 2, total
    return found


def read_peak_bytes() -> int:
    """Return the peak memory of this process so far."""
    for line in Path("/proc/self/status").read_text("ascii", "replace").splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    raise RuntimeError("this system does not report the peak memory of a process")


if __name__ == "__main__":
    from benchmarks.calls import main as run_way

    run_way()
