"""The common form of the benchmarks: the results they write, and their tables in the README.

The statistics are those of `scoopsci.harness.rounds`: interleaved rounds, medians of ratios paired
within a round, and 95 % intervals; the results keep all rounds.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from scoopsci.harness.children import run_children
from scoopsci.harness.rounds import Figure, describe_machine

REPOSITORY = Path(__file__).parent.parent
RESULTS = REPOSITORY / "benchmarks" / "results"
README = REPOSITORY / "README.md"

#: Time limit of one run, in seconds.
TIMEOUT_S = 900.0

#: Heading of a column.
SPEEDUP = "speed-up (95 % interval)"


class Benchmark(Protocol):
    """A module of this folder."""

    def measure(self, *, quick: bool) -> dict[str, Any]:
        """Measure all rounds, and return the results, including all ``rounds``."""

    def as_table(self, results: Mapping[str, Any]) -> str:
        """Format the results for the README; an empty string for no table."""


def count_rounds(*, quick: bool, wanted: int = 9) -> int:
    return 3 if quick else wanted


def run_json(*commands: Sequence[str | Path]) -> list[dict[str, Any]]:
    """Run Python programs in parallel, and return the JSON that each writes to its --output."""
    with tempfile.TemporaryDirectory(prefix="scoopsci-benchmark-") as folder:
        outputs = [Path(folder) / f"{i}.json" for i in range(len(commands))]
        python = ("env", f"PYTHONPATH={REPOSITORY}", sys.executable)
        started = [
            [*python, *map(str, command), "--output", str(output)]
            for command, output in zip(commands, outputs, strict=True)
        ]
        with run_children(started, timeout=TIMEOUT_S) as children:
            for child, output in zip(children, outputs, strict=True):
                if not output.exists():
                    raise RuntimeError(f"{child.command} failed:\n{child.read_output()}")
        return [json.loads(output.read_text("utf-8")) for output in outputs]


def write_results(folder: Path, name: str, found: Mapping[str, Any], *, quick: bool) -> Path:
    path = folder / f"{name}.json"
    results = {"quick": quick, **describe_machine(), **found}
    path.write_text(json.dumps(results, indent=2, allow_nan=False) + "\n", "utf-8")
    return path


def make_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    first, *others = (f"| {' | '.join(line)} |\n" for line in (header, *rows))
    return "".join([first, "|", "---|" * len(header), "\n", *others])


def as_fields(name: str, figure: Figure) -> dict[str, Any]:
    return {name: figure.median, f"{name}_interval_95": list(figure.interval)}


def as_cell(row: Mapping[str, Any], name: str) -> str:
    return str(Figure(row[name], *row[f"{name}_interval_95"]))


def mark(name: str) -> str:
    return f"<!-- table: benchmarks/results/{name}.json -->\n"


def put_table(text: str, name: str, table: str) -> str:
    """Put a table between its marks, if the text has them."""
    before, start, rest = text.partition(mark(name))
    end = "<!-- end of table -->\n"
    return before + start + table + rest[rest.index(end) :] if start else text


def read_table(name: str, benchmark: Benchmark) -> str:
    """Return the table of the stored results, or an empty string if there are none."""
    path = RESULTS / f"{name}.json"
    return benchmark.as_table(json.loads(path.read_text("utf-8"))) if path.exists() else ""
