"""Simulations from many seeds, and what is told of them."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

from scoopsci.testing.simulation.mutants import mutated
from scoopsci.testing.simulation.pool import play
from scoopsci.testing.simulation.script import Conditions, Step, draw, shrink

__all__ = ["simulate"]

#: What has happened last is told of a failure.
MOST_LINES = 60


def simulate(first: int, count: int, *, mutant: str | None = None) -> dict[str, Any]:
    """Simulate a pool from each of some seeds, up to the first failure.

    Parameters
    ----------
    first : int
        The first seed.
    count : int
        Number of seeds.
    mutant : str, optional
        A fault to put into the protocol; see `scoopsci.testing.simulation.mutants.MUTANTS`.

    Returns
    -------
    dict
        ``first``; ``n_seeds`` that were simulated; ``n_events``, their median number for a seed;
        ``counts`` of ``events``, ``messages``, ``steps`` (the faults among them) and
        ``outcomes``; ``failure``, None or the ``seed``, the broken ``rule``, ``details``,
        ``conditions``, the ``script`` with as few steps as still fail, and its ``trace``.
    """
    counts: Counter[tuple[str, str]] = Counter()
    n_events: list[int] = []
    failure = None
    with mutated(mutant):
        for seed in range(first, first + count):
            conditions, steps = draw(seed)
            world, broken = play(conditions, steps)
            counts.update(world.counts)
            n_events.append(sum(n for (group, _), n in world.counts.items() if group == "events"))
            if broken is not None:
                failure = _explain(conditions, steps, broken.rule)
                break
    return {
        "first": first,
        "n_seeds": len(n_events),
        "n_events": statistics.median(n_events),
        "counts": _group(counts),
        "failure": failure,
    }


def _explain(conditions: Conditions, steps: Sequence[Step], rule: str) -> dict[str, Any]:
    def fails(fewer: Sequence[Step]) -> bool:
        broken = play(conditions, fewer)[1]
        return broken is not None and broken.rule == rule

    fewest = shrink(steps, fails)
    world, broken = play(conditions, fewest, records=True)
    return {
        "seed": conditions.seed,
        "rule": rule,
        "details": str(broken),
        "conditions": str(conditions),
        "script": [str(step) for step in fewest],
        "trace": (world.trace or [])[-MOST_LINES:],
    }


def _group(counts: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    grouped: dict[str, dict[str, int]] = {}
    for (group, name), n in sorted(counts.items()):
        grouped.setdefault(group, {})[name] = n
    return grouped
