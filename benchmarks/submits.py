"""Tasks submitted one by one: many empty ones, and some on a large global of the program.

Each run is a separate process, with two workers that have started before timing; run as a script,
this file is that process.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.form import as_cell, as_fields, count_rounds, make_table, run_json
from scoopsci.harness.rounds import Figure, interleave, paired_ratio

N_WORKERS = 2

#: 40 MB.
TABLE = np.ones(5_000_000)
TASK_S = 0.05


def do_nothing(number: int) -> int:
    return number


def read_table(number: int) -> float:
    """Compute with the table for a while."""
    end_s = time.perf_counter() + TASK_S
    total = 0.0
    while time.perf_counter() < end_s:
        total += float(TABLE[number])
    return total


def open_pool() -> Executor:
    import scoopsci

    return scoopsci.Pool(N_WORKERS)


def open_processes() -> Executor:
    import scoopsci

    return scoopsci.open_engine("processes", n_workers=N_WORKERS)


OURS, PROCESSES, STANDARD = "scoopsci.Pool", "engine processes", "ProcessPoolExecutor"
OPEN: dict[str, Callable[[], Executor]] = {
    OURS: open_pool,
    PROCESSES: open_processes,
    STANDARD: partial(ProcessPoolExecutor, N_WORKERS),
}
TASKS: dict[str, tuple[Callable[[int], object], int]] = {
    "empty": (do_nothing, 5_000),
    "each 50 ms on a global of 40 MB": (read_table, 60),
}


def measure(*, quick: bool) -> dict[str, Any]:
    """Compare the engines in each kind of task."""
    sizes = {task: n // 10 if quick else n for task, (_, n) in TASKS.items()}
    kinds = [(task, way) for task in TASKS for way in OPEN]
    runs = {f"{task} by {way}": partial(run, way, task, sizes[task]) for task, way in kinds}
    rounds = interleave(runs, count_rounds(quick=quick))
    taken = [{name: found["elapsed_s"] for name, found in each.items()} for each in rounds]
    rows = [
        {
            "task": task,
            "n_tasks": sizes[task],
            "way": way,
            "elapsed_s": Figure.of([each[f"{task} by {way}"] for each in taken]).median,
            **as_fields(
                "to_standard", paired_ratio(taken, f"{task} by {way}", f"{task} by {STANDARD}")
            ),
        }
        for task, way in kinds
    ]
    return {"n_workers": N_WORKERS, "rows": rows, "rounds": rounds}


def run(way: str, task: str, n_tasks: int) -> dict[str, Any]:
    (found,) = run_json([Path(__file__), way, task, str(n_tasks)])
    return found


def as_table(results: Mapping[str, Any]) -> str:
    rows = [
        [
            f"{row['n_tasks']:,}, {row['task']}",
            row["way"] if row["way"] == PROCESSES else f"`{row['way']}`",
            f"{row['elapsed_s']:.2f}",
            as_cell(row, "to_standard"),
        ]
        for row in results["rows"]
    ]
    header = [
        "tasks by `submit`, two workers",
        "by",
        "s",
        "time relative to `ProcessPoolExecutor` (95 % interval)",
    ]
    return make_table(header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("way", choices=OPEN)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("n_tasks", type=int)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    fn, _ = TASKS[options.task]
    with OPEN[options.way]() as executor:
        _ = [task.result() for task in [executor.submit(abs, i) for i in range(100)]]
        start_s = time.perf_counter()
        tasks = [executor.submit(fn, i) for i in range(options.n_tasks)]
        _ = [task.result() for task in tasks]
        found = {"elapsed_s": time.perf_counter() - start_s}
    options.output.write_text(json.dumps(found), "utf-8")


if __name__ == "__main__":
    main()
