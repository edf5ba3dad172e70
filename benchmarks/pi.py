"""π on every engine, compared with one core and with two bare processes.

Each run is a separate process, started as a user would, and its time is that of the whole process.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.form import SPEEDUP, as_cell, as_fields, count_rounds, make_table
from scoopsci.compare import compare
from scoopsci.harness.comparison import BARE
from scoopsci.harness.rounds import Figure, paired_ratio

WAYS = {
    "serial": "serial",
    "processes": "processes, 2 workers",
    "scoop": "scoop, 2 workers",
    BARE: "two bare processes",
}


def measure(*, quick: bool) -> dict[str, Any]:
    n_points = 20_000_000 if quick else 100_000_000_000
    n_rounds = count_rounds(quick=quick)
    found = compare(
        "pi", ["processes", "scoop"], n_workers=2, n_points=n_points, seed=7, n_rounds=n_rounds
    )
    assert all(row.equal for row in found.rows), found.advice
    rates = [
        {way: n_points / 1e6 / taken[way]["elapsed_s"] for way in WAYS} for taken in found.rounds
    ]
    rows = [
        {
            "way": name,
            "million_points_per_s": Figure.of([rate[way] for rate in rates]).median,
            **as_fields("speedup", paired_ratio(rates, way, "serial")),
            "share_of_limit": paired_ratio(rates, way, BARE).median,
        }
        for way, name in WAYS.items()
    ]
    return {"n_points": n_points, "rows": rows, "advice": found.advice, "rounds": found.rounds}


def as_table(results: Mapping[str, Any]) -> str:
    rows = [
        [
            row["way"],
            f"{row['million_points_per_s']:.0f}",
            as_cell(row, "speedup"),
            f"{row['share_of_limit']:.2f}",
        ]
        for row in results["rows"]
    ]
    return make_table(
        ["engine", "million points per second", SPEEDUP, "fraction of the limit"], rows
    )
