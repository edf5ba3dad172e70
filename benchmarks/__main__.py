"""Run all benchmarks, or those named on the command line."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from benchmarks import calls, kernels, mapreduce, mergesort, pi, progress, road, roundtrip, submits
from benchmarks.form import README, RESULTS, Benchmark, put_table, read_table, write_results

BENCHMARKS: dict[str, Benchmark] = {
    "pi": pi,
    "kernels": kernels,
    "calls": calls,
    "mapreduce": mapreduce,
    "mergesort": mergesort,
    "roundtrip": roundtrip,
    "submits": submits,
    "progress": progress,
    "road": road,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument(
        "--quick",
        action="store_true",
        help="small sizes and 3 rounds, written to a scratch folder instead of the README",
    )
    options = parser.parse_args()
    if unknown := set(options.names) - set(BENCHMARKS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; choose from {', '.join(BENCHMARKS)}")
    folder = Path(tempfile.mkdtemp(prefix="scoopsci-quick-")) if options.quick else RESULTS
    for name in options.names or BENCHMARKS:
        benchmark = BENCHMARKS[name]
        path = write_results(
            folder, name, benchmark.measure(quick=options.quick), quick=options.quick
        )
        results = json.loads(path.read_text("utf-8"))
        print(f"\n{name}: {path}\n{benchmark.as_table(results)}", flush=True)
    if options.quick:
        print("QUICK: 3 rounds of small sizes, a smoke test and not a measurement.")
    else:
        fill_readme()


def fill_readme() -> None:
    text = README.read_text("utf-8")
    for name, benchmark in BENCHMARKS.items():
        text = put_table(text, name, read_table(name, benchmark))
    README.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
