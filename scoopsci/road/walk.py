"""The state of a Monte Carlo run: what is folded so far, and the next check of a half-width."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from functools import reduce
from typing import Any, Generic, TypeVar

import numpy as np

from scoopsci.basics.interrupts import uninterrupted
from scoopsci.estimation.anytime import BoundedMean, Summariser
from scoopsci.estimation.estimators import ScrambledMean
from scoopsci.estimation.qmc import MOST_POINTS
from scoopsci.reporting.progress import Progress
from scoopsci.road.blocks import Fold, Range
from scoopsci.road.runs import merging
from scoopsci.road.stopping import MOST_BLOCKS, Goal, Supply

__all__ = ["Walk"]

P = TypeVar("P")

#: Least time between two estimates that are made for progress reports only.
LOOK_S = 0.25


class Walk(Generic[P]):
    """The state of a run: the partials folded so far, and the next check, if there are any."""

    def __init__(
        self,
        estimator: Summariser[P],
        supply: Supply,
        goal: Goal | None,
        *,
        confidence: float,
        unit: str,
    ) -> None:
        self._estimator, self._supply, self._unit = estimator, supply, unit
        self._confidence = confidence
        # Of the excess in the samples that are needed: bets at first see nothing but the bounds.
        self._power = 1.0 if isinstance(estimator, BoundedMean) else 2.0
        self.fold: Fold[P] = Fold(estimator.merge, self._note_first)
        self.summary: dict[str, Any] = {}
        self.shortfall: tuple[str, str] | None = None
        self.history = History()
        self._goal = goal
        self._latest: dict[str, Any] = {}
        self._looked_s = -math.inf
        self._check = 0
        self.n_projected = 0.0
        if goal is not None:
            self._n_needed: int | None = None
            self._check = supply.next_check(-(-goal.min_samples // supply.block_size) - 1)
            supply.want(self._check)

    def add(self, blocks: Range, partial: P) -> None:
        """Fold the partial of a range; Ctrl-C waits, so that the fold stays whole."""
        with merging(), uninterrupted():
            self.fold.add(blocks, partial)

    def summarise(self) -> dict[str, Any]:
        """Return the estimate of all blocks, none of which is missing."""
        with merging():
            whole = self.fold.result()
        return self._summarise(whole, self.fold.n_blocks)

    def summarise_first(self) -> int:
        """Estimate from the first blocks, as far as none is missing, and return their number."""
        unit, found = self._estimator.unit, 0
        for n_blocks, whole in self.fold.leading():
            if n_blocks % unit == 0:
                found, self.summary = n_blocks, self._summarise(whole, n_blocks)
        return found

    def _summarise(self, partial: P, n_blocks: int) -> dict[str, Any]:
        n_samples = self._supply.count_samples(n_blocks)
        return self._estimator.summarise(partial, n_samples, self._confidence)

    def _note_first(self, n_blocks: int, partial: P) -> None:
        """Keep the estimate of the first 1, 2, 4, … blocks, whatever order they arrive in."""
        if n_blocks % self._estimator.unit == 0:
            summary = self._summarise(partial, n_blocks)
            self.history.add(self._supply.count_samples(n_blocks), summary)

    def is_over(self) -> bool:
        """Check the estimate if a check is due; all blocks before it are folded by then."""
        goal = self._goal
        if goal is None or self.fold.n_blocks < self._check:
            return False
        self.summary = self.summarise()
        value, half_width = self.summary["value"], self.summary["half_width"]
        error = np.asarray(self.summary["standard_error"])
        n_samples = self._supply.count_samples(self._check)
        is_last = self._check == self._supply.n_blocks
        excess = goal.excess(n_samples, value, half_width)
        if excess <= 1.0:
            return True
        if math.isnan(excess) or np.isinf(error).any():
            self.shortfall = "the samples have no finite mean or variance", "check what is drawn"
        elif math.isinf(excess) and (error == 0).any() and (is_last or n_samples >= goal.n_equal):
            self.shortfall = goal.explain_zero(value)
        elif is_last:
            self.shortfall = (
                f"max_samples = {goal.max_samples:,} were drawn",
                "accept a larger half-width, or allow more: the same ledger continues from there",
            )
        elif self._is_hopeless(goal, excess):
            remedy = "accept a larger half-width"
            self.shortfall = "it takes more samples than a run can draw", remedy
        # Of a mean that may be zero, or an error that is, nothing is known.
        if math.isfinite(excess) and not (goal.relative and excess * goal.half_width >= 1.0):
            self.n_projected = n_samples * self._project(excess)
        self._plan(excess)
        return self.shortfall is not None

    def _is_hopeless(self, goal: Goal, excess: float) -> bool:
        """Return whether a run without a maximum would never end, by its convergence rate.

        For a relative goal this is unknown: the mean so far may be close to zero.
        """
        if self._supply.n_blocks is not None or goal.relative or not math.isfinite(excess):
            return False
        most = MOST_BLOCKS
        if isinstance(self._estimator, ScrambledMean):
            most = self._estimator.n_scrambles * MOST_POINTS // self._supply.block_size
        return self._check * self._project(excess) >= most

    def _project(self, excess: float) -> float:
        """Return how many times as many samples reach the goal, by the rate of convergence."""
        power = 2 / 3 if isinstance(self._estimator, ScrambledMean) else self._power
        return float(min(excess, 1e100) ** power)  # for scrambles Owen's rate, at their best

    def _plan(self, excess: float) -> None:
        """Supply the blocks up to the check at which the goal is expected to be reached."""
        expected = self._check * min(excess, 1e6) ** self._power if math.isfinite(excess) else 0.0
        self._n_needed = int(expected) or None
        before = max(self._check, math.ceil(expected) - 1)
        self._check = self._supply.next_check(self._check)
        self._supply.want(self._supply.next_check(before))

    def complete(self, state: Progress) -> Progress:
        """Add the estimate so far to the state of the run."""
        n_blocks = state.n_blocks
        if self._goal is not None:
            n_blocks = self._n_needed and max(self._n_needed, state.n_done)
            latest = self.summary
        else:
            latest = self._look()
        return replace(
            state,
            n_blocks=n_blocks,
            n_samples=self._supply.count_samples(state.n_done),
            unit=self._unit,
            estimate=latest.get("value"),
            half_width=latest.get("half_width"),
        )

    def _look(self) -> dict[str, Any]:
        """Summarise the blocks so far, whatever their order; not too often."""
        if self._estimator.unit > 1:  # each scramble needs as many points as the others
            return self.history.latest
        is_due = time.monotonic() - self._looked_s > LOOK_S
        if self.fold.n_blocks and (is_due or self.fold.n_blocks == self._supply.n_blocks):
            self._looked_s = time.monotonic()
            ranges, partials = zip(*self.fold, strict=True)
            count = self._supply.count_samples
            n_samples = sum(count(blocks.stop) - count(blocks.start) for blocks in ranges)
            whole = reduce(self._estimator.merge, partials)
            self._latest = self._estimator.summarise(whole, n_samples, self._confidence)
        return self._latest


class History:
    """The convergence of an estimate."""

    def __init__(self) -> None:
        self.latest: dict[str, Any] = {}
        self._rows: list[tuple[int, Any, Any]] = []

    def add(self, n_samples: int, summary: dict[str, Any]) -> None:
        self.latest = summary
        self._rows.append((n_samples, summary["value"], summary["half_width"]))

    def finish(self, n_samples: int, summary: dict[str, Any]) -> dict[str, Any]:
        """Return its columns, with the final estimate as the last row."""
        if not self._rows or self._rows[-1][0] < n_samples:
            self.add(n_samples, summary)
        columns = map(np.array, zip(*self._rows, strict=True))
        return dict(zip(("n_samples", "value", "half_width"), columns, strict=True))
