"""1000 tasks of 10 ms on four workers: serially, with SCOOP's futures, and with the map family.

Each round is one run of the script, which tries all its methods in turn on workers already
started, and one run of four bare processes, each with a quarter of the tasks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.form import (
    REPOSITORY,
    SPEEDUP,
    as_cell,
    as_fields,
    count_rounds,
    make_table,
    run_json,
)
from scoopsci.harness.rounds import Figure, interleave, paired_ratio

N_WORKERS = 4
TASK_S = 0.01
BARE = "four bare processes"
SCOOP_OF_FOUR = ("-m", "scoop", "-q", "-n", str(N_WORKERS))


def measure(*, quick: bool) -> dict[str, Any]:
    n_tasks = 100 if quick else 1000

    def run_script() -> list[dict[str, Any]]:
        script = REPOSITORY / "scoopsci" / "mapreduce.py"
        options = ("--tasks", str(n_tasks), "--task-seconds", str(TASK_S))
        (found,) = run_json([*SCOOP_OF_FOUR, script, *options])
        rows: list[dict[str, Any]] = found["rows"]
        return rows

    def run_bare() -> list[dict[str, Any]]:
        options = ("--size", str(n_tasks), "--task-seconds", str(TASK_S), "--engine", "serial")
        bare = (REPOSITORY / "scoopsci" / "compare.py", "mapreduce", *options)
        parts = [(*bare, "--part", str(i), str(N_WORKERS)) for i in range(N_WORKERS)]
        slowest_s = max(report["times"]["computing_s"] for report in run_json(*parts))
        return [{"method": BARE, "elapsed_s": slowest_s, "equal": True}]

    taken = interleave({"script": run_script, BARE: run_bare}, count_rounds(quick=quick))
    rounds = [[*ways["script"], *ways[BARE]] for ways in taken]
    times = [{row["method"]: row["elapsed_s"] for row in rows} for rows in rounds]
    return {
        "n_tasks": n_tasks,
        "task_s": TASK_S,
        "n_workers": N_WORKERS,
        "rows": [_summarise(row["method"], times, rounds) for row in rounds[0]],
        "rounds": rounds,
    }


def _summarise(
    method: str, times: list[dict[str, float]], rounds: list[list[dict[str, Any]]]
) -> dict[str, Any]:
    serial = rounds[0][0]["method"]
    return {
        "way": method,
        "elapsed_s": Figure.of([taken[method] for taken in times]).median,
        **as_fields("speedup", paired_ratio(times, serial, method)),
        "share_of_limit": paired_ratio(times, BARE, method).median,
        "equal": all(row["equal"] for rows in rounds for row in rows if row["method"] == method),
    }


def as_table(results: Mapping[str, Any]) -> str:
    rows = [
        [
            row["way"] if row["equal"] else f"{row['way']} (WRONG RESULT)",
            f"{row['elapsed_s']:.2f}",
            as_cell(row, "speedup"),
            f"{row['share_of_limit']:.2f}",
        ]
        for row in results["rows"]
    ]
    tasks = f"{results['n_tasks']} tasks of {1000 * results['task_s']:g} ms, 4 workers"
    return make_table([tasks, "seconds", SPEEDUP, "fraction of the limit"], rows)
