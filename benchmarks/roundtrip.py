"""Round trips: one empty task after another, on workers already started.

Each run is a separate process; run as a script, this file is that process. Dask and Ray are
included where they are installed.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.form import as_cell, as_fields, count_rounds, make_table, run_json
from scoopsci.harness.rounds import Figure, interleave, paired_ratio

N_WORKERS = 2
N_FIRST = 100

#: Many, since each process settles at one of several speeds, depending on where its threads run.
N_ROUNDS = 21

OURS, STANDARD = "scoopsci.Pool", "ProcessPoolExecutor"
PEERS = {"Dask": "distributed", "Ray": "ray"}

#: Runs one empty task to completion.
RoundTrip = Callable[[], object]


def measure(*, quick: bool) -> dict[str, Any]:
    n_tasks = 100 if quick else 1_000
    present = [way for way, package in PEERS.items() if importlib.util.find_spec(package)]
    ways = {way: partial(run, way, n_tasks) for way in (OURS, STANDARD, *present)}
    rounds = interleave(ways, count_rounds(quick=quick, wanted=N_ROUNDS))
    p50s = [{way: taken[way]["p50_s"] for way in ways} for taken in rounds]
    rows = [
        {
            "way": way,
            "p50_s": Figure.of([taken[way]["p50_s"] for taken in rounds]).median,
            "p99_s": Figure.of([taken[way]["p99_s"] for taken in rounds]).median,
            **as_fields("ours_to_this", paired_ratio(p50s, OURS, way)),
        }
        for way in ways
    ]
    return {"n_tasks": n_tasks, "n_workers": N_WORKERS, "rows": rows, "rounds": rounds}


def run(way: str, n_tasks: int) -> dict[str, Any]:
    (found,) = run_json([Path(__file__), way, str(n_tasks)])
    return found


def as_table(results: Mapping[str, Any]) -> str:
    rows = [
        [
            f"`{row['way']}`" if row["way"] not in PEERS else row["way"],
            f"{1000 * row['p50_s']:.2f}",
            f"{1000 * row['p99_s']:.2f}",
            as_cell(row, "ours_to_this"),
        ]
        for row in results["rows"]
    ]
    header = [
        "round trip of an empty task",
        "median, ms",
        "99th percentile, ms",
        "median of `scoopsci.Pool` relative to this (95 % interval)",
    ]
    return make_table(header, rows)


@contextlib.contextmanager
def open_pool() -> Iterator[RoundTrip]:
    import scoopsci

    with scoopsci.Pool(N_WORKERS) as pool:
        yield lambda: pool.submit(int).result()


@contextlib.contextmanager
def open_standard() -> Iterator[RoundTrip]:
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(N_WORKERS) as executor:
        yield lambda: executor.submit(int).result()


@contextlib.contextmanager
def open_dask() -> Iterator[RoundTrip]:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=N_WORKERS, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        yield lambda: client.submit(int, pure=False).result()


@contextlib.contextmanager
def open_ray() -> Iterator[RoundTrip]:
    import ray

    ray.init(num_cpus=N_WORKERS, include_dashboard=False, log_to_driver=False)
    task = ray.remote(int_of_nothing)
    try:
        yield lambda: ray.get(task.remote())
    finally:
        ray.shutdown()


def int_of_nothing() -> int:
    return 0


OPEN = {OURS: open_pool, STANDARD: open_standard, "Dask": open_dask, "Ray": open_ray}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("way", choices=OPEN)
    parser.add_argument("n_tasks", type=int)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    with OPEN[options.way]() as round_trip:
        times_s = []
        for _ in range(N_FIRST + options.n_tasks):
            start_s = time.perf_counter()
            round_trip()
            times_s.append(time.perf_counter() - start_s)
    in_order = sorted(times_s[N_FIRST:])
    found = {"p50_s": in_order[len(in_order) // 2], "p99_s": in_order[len(in_order) * 99 // 100]}
    options.output.write_text(json.dumps(found), "utf-8")


if __name__ == "__main__":
    main()
