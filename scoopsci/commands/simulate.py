"""The command ``scoopsci simulate``, for developers: it is hidden from the help."""

from __future__ import annotations

import argparse
import json
from typing import Any

from scoopsci.basics.arguments import check_count

__all__ = ["add_simulate"]


def add_simulate(commands: Any) -> None:
    """Add the parser, which is not listed."""
    parser = commands.add_parser(
        "simulate",
        description="Simulate the protocol of the pool with faults, from each of some seeds. The "
        "status is 0 if all that must hold does, 1 if not.",
        epilog="example: scoopsci simulate --seed 0 --count 1000 --json",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="FIRST", help="the first seed")
    parser.add_argument("--count", type=int, default=100, metavar="N", help="number of seeds")
    parser.add_argument("--mutant", metavar="NAME", help="a fault to put into the protocol")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_simulate)


def _simulate(options: argparse.Namespace) -> int:
    from scoopsci.testing.simulation.mutants import MUTANTS
    from scoopsci.testing.simulation.runs import simulate

    check_count("--count", options.count)
    if options.mutant is not None and options.mutant not in MUTANTS:
        raise ValueError(f"--mutant must be one of {', '.join(MUTANTS)}, got {options.mutant}")
    found = simulate(options.seed, options.count, mutant=options.mutant)
    print(json.dumps(found) if options.json else "\n".join(_describe(found)))
    return 0 if found["failure"] is None else 1


def _describe(found: dict[str, Any]) -> list[str]:
    lines = [
        f"{found['n_seeds']:,} seeds from {found['first']}, with a median of "
        f"{found['n_events']:g} events"
    ]
    for group, counts in found["counts"].items():
        lines += [f"{group}:", *(f"  {name}: {n:,}" for name, n in counts.items())]
    failure = found["failure"]
    if failure is not None:
        lines += [
            f"seed {failure['seed']} fails: {failure['details']}",
            failure["conditions"],
            "with this script:",
            *(f"  {step}" for step in failure["script"]),
            "which ends so:",
            *(f"  {line}" for line in failure["trace"]),
        ]
    return lines
