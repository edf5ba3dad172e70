"""π on every engine, against one core and against two bare processes.

The house form: rounds are interleaved, figures are medians of ratios paired within a round, with
the 95 % interval; all rounds are kept. Each run is a process of its own, as a user starts it, and
its time is that of the whole process, from Python's start to its end.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.road import median_interval
from scoopsci.receipts import software_versions

REPOSITORY = Path(__file__).parent.parent
PI = [sys.executable, "-m", "scoopsci", "pi"]
SCOOP = [sys.executable, "-m", "scoop", "-q", "-n", "2", "scoopsci/montecarlo.py"]
WAYS: dict[str, list[str]] = {
    "serial": [*PI, "--engine", "serial"],
    "processes, 2 workers": [*PI, "--engine", "processes", "--workers", "2"],
    "scoop, 2 workers": SCOOP,
}
LIMIT = "two bare processes"
TABLE_START = "<!-- table: benchmarks/results/pi.json -->\n"
TABLE_END = "<!-- end of table -->\n"


def run(command: list[str], n_points: int) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile(suffix=".json") as receipt:
        options = ["--points", str(n_points), "--seed", "7", "--output", receipt.name]
        start = time.perf_counter()
        subprocess.run(
            [*command, *options], check=True, cwd=REPOSITORY, capture_output=True, timeout=600
        )
        elapsed_s = time.perf_counter() - start
        found = json.loads(Path(receipt.name).read_text("utf-8"))
        return {"result": found["result"], "elapsed_s": elapsed_s}


def measure_round(n_points: int) -> dict[str, float]:
    """Return millions of points per second of each way, after checking that all ways agree."""
    receipts = {name: run(command, n_points) for name, command in WAYS.items()}
    results = {json.dumps(receipt["result"]) for receipt in receipts.values()}
    assert len(results) == 1, f"the ways differ: {results}"
    rates = {name: n_points / r["elapsed_s"] / 1e6 for name, r in receipts.items()}
    with ThreadPoolExecutor(2) as pair:
        halves = list(pair.map(run, [WAYS["serial"]] * 2, [n_points // 2] * 2))
    rates[LIMIT] = n_points / max(half["elapsed_s"] for half in halves) / 1e6
    return rates


def summarise(rounds: list[dict[str, float]]) -> list[dict[str, Any]]:
    rows = []
    for name in rounds[0]:
        speedups = [rates[name] / rates["serial"] for rates in rounds]
        shares = [rates[name] / rates[LIMIT] for rates in rounds]
        rows.append(
            {
                "way": name,
                "million_points_per_s": statistics.median(rates[name] for rates in rounds),
                "speedup": statistics.median(speedups),
                "speedup_interval_95": median_interval(speedups),
                "share_of_limit": statistics.median(shares),
            }
        )
    return rows


def as_table(results: dict[str, Any]) -> str:
    """Write the rows as the README's table."""
    lines = [
        "| π by | million points per second | speed-up, 95 % interval | of the limit |",
        "|---|---|---|---|",
    ]
    for row in results["rows"]:
        low, high = row["speedup_interval_95"]
        lines.append(
            f"| {row['way']} | {row['million_points_per_s']:.0f} "
            f"| {row['speedup']:.2f} ({low:.2f} to {high:.2f}) | {row['share_of_limit']:.2f} |"
        )
    return "\n".join(lines) + "\n"


def put_table(text: str, table: str) -> str:
    """Put a table between the marks of a text."""
    before, rest = text.split(TABLE_START)
    _, after = rest.split(TABLE_END)
    return before + TABLE_START + table + TABLE_END + after


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--points", type=int, default=2_000_000_000)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    rounds = [measure_round(options.points) for _ in range(options.rounds)]
    results = {
        "n_points": options.points,
        "n_processors": os.cpu_count(),
        "versions": software_versions(),
        "rows": summarise(rounds),
        "rounds_million_points_per_s": rounds,
    }
    options.output.write_text(json.dumps(results, indent=2) + "\n", "utf-8")
    print(as_table(results), end="")
    readme = REPOSITORY / "README.md"
    readme.write_text(put_table(readme.read_text("utf-8"), as_table(results)), "utf-8")


if __name__ == "__main__":
    main()
