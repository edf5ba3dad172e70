"""A Monte Carlo run: blocks of samples until there are enough, or until the error is small."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any, Generic, TypeVar, cast

import numpy as np

from scoopsci.basics.arguments import check_count, check_fraction
from scoopsci.errors import EngineTimeoutError
from scoopsci.estimation.estimates import format_with_error
from scoopsci.estimation.estimators import Estimator
from scoopsci.reporting.progress import Progress
from scoopsci.road.blocks import Fold
from scoopsci.road.chunks import FoldBlocks
from scoopsci.road.options import RunOptions
from scoopsci.road.runs import Run, merging
from scoopsci.road.stopping import MOST_BLOCKS, Goal, Supply

__all__ = ["Sampling", "SamplingOptions"]

P = TypeVar("P")

#: Least time between two estimates that are made for progress reports only.
LOOK_S = 0.25


class SamplingOptions(RunOptions, total=False):
    """Options of a Monte Carlo run: those of any run, and three more.

    Attributes
    ----------
    relative : bool
        Whether the half-width is a share of the estimate's absolute value.
    min_samples : int
        Samples before a run by half-width may stop, 1000 by default. Raise it for rare events and
        heavy tails, where few samples are unreliable.
    max_samples : int
        Samples after which a run by half-width ends with a `NotConvergedError`; no maximum by
        default.
    """

    relative: bool
    min_samples: int
    max_samples: int | None


@dataclass
class Sampling(Generic[P]):
    """How many samples to draw, how to draw them, and the result.

    Parameters
    ----------
    n_samples : int or None
        Number of samples.
    half_width : float or None
        Or the half-width to be reached.
    block_size : int
        Samples in a block.
    confidence : float
        Confidence of the interval.
    options : SamplingOptions
        Further options.

    Attributes
    ----------
    summary : dict
        After `run`, the estimate; see `Estimator.summarise`.
    n_blocks : int
        The number of blocks on which it is based.
    shortfall : tuple of str or None
        Why the goal was not reached, and a remedy; None if it was, or there was none.
    done : dict
        How the run was carried out.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range.
    """

    n_samples: int | None
    half_width: float | None
    block_size: int
    confidence: float
    options: SamplingOptions
    goal: Goal | None = None
    summary: dict[str, Any] = field(default_factory=dict)
    n_blocks: int = 0
    shortfall: tuple[str, str] | None = None
    done: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        how: dict[str, Any] = dict(self.options)
        names = ("relative", "min_samples", "max_samples")
        given = {name: how.pop(name, None) for name in names}
        stop = {name: value for name, value in given.items() if value not in (None, False)}
        self._run_options = cast(RunOptions, how)
        if (self.n_samples is None) == (self.half_width is None):
            raise ValueError(
                "either a number of samples or half_width must be given, got "
                f"{'both' if self.n_samples else 'neither'}; max_samples= limits a half-width"
            )
        if self.half_width is not None:
            self.goal = Goal(half_width=self.half_width, **stop)
        elif stop:
            got = ", ".join(f"{name}={value!r}" for name, value in stop.items())
            raise ValueError(f"{', '.join(stop)} must come with half_width, got {got}")
        else:
            self.n_samples = check_count("n_samples", self.n_samples)
        self.block_size = check_count("block_size", self.block_size)
        self.confidence = check_fraction("confidence", self.confidence)

    def check_powers(self, unit: int) -> None:
        """Check that each scramble has a power of two of points, as Sobol' sequences need."""
        numbers = {
            "block_size": self.block_size,
            "n_samples": self.n_samples,
            "max_samples": None if self.goal is None else self.goal.max_samples,
        }
        for name, number in numbers.items():
            size = 1 if name == "block_size" else unit * self.block_size
            if number is not None and (number % size or (number // size).bit_count() != 1):
                least = size << max(0, (number // size).bit_length())
                raise ValueError(
                    f"{name} must be a power of two for qmc"
                    + (f", times {unit} scrambles and blocks of {self.block_size}" * (size > 1))
                    + f", such as {least:,}; got {number:,}"
                )

    def run(
        self, estimator: Estimator[P], identity: Mapping[str, Any], *, unit: str = "samples"
    ) -> None:
        """Draw the samples.

        Parameters
        ----------
        estimator : Estimator
            Draws and summarises them.
        identity : mapping
            What a partial depends on, for the ledger.
        unit : str
            Name of the samples in progress reports.
        """
        most = self.n_samples if self.goal is None else self.goal.max_samples
        supply = Supply(
            self.block_size, most, unit=estimator.unit, per_doubling=estimator.per_doubling
        )
        walk = _Walk(self, estimator, supply, unit)
        run: Run[P] = Run(
            FoldBlocks(estimator, estimator.merge),
            supply,
            self._run_options,
            identity=identity,
            complete=walk.complete,
        )
        try:
            with contextlib.closing(run.partials(in_order=self.goal is not None)) as partials:
                for blocks, partial in partials:
                    with merging():
                        walk.fold.add(blocks, partial)
                    if self.goal is not None and walk.is_over(self.goal):
                        break
        except EngineTimeoutError as error:
            walk.tell_state(error)
            raise
        self.done = run.description
        self.n_blocks = walk.fold.n_blocks
        self.n_samples = supply.count_samples(self.n_blocks)
        if self.goal is None:
            walk.summary = walk.summarise()
        self.summary, self.shortfall = walk.summary, walk.shortfall
        self.summary["convergence"] = walk.history.finish(self.n_samples, walk.summary)


class _Walk(Generic[P]):
    """The state of a run: the partials folded so far, and the next check, if there are any."""

    def __init__(
        self, sampling: Sampling[P], estimator: Estimator[P], supply: Supply, unit: str
    ) -> None:
        self._estimator, self._supply, self._unit = estimator, supply, unit
        self._confidence = sampling.confidence
        self.fold: Fold[P] = Fold(estimator.merge, self._note_first)
        self.summary: dict[str, Any] = {}
        self.shortfall: tuple[str, str] | None = None
        self.history = _History()
        self._has_goal = sampling.goal is not None
        self._latest: dict[str, Any] = {}
        self._looked_s = -math.inf
        self._check = 0
        if sampling.goal is not None:
            self._n_needed: int | None = None
            least = -(-sampling.goal.min_samples // sampling.block_size)
            self._check = supply.next_check(least - 1)
            supply.want(self._check)

    def summarise(self) -> dict[str, Any]:
        with merging():
            whole = self.fold.result()
        n_samples = self._supply.count_samples(self.fold.n_blocks)
        return self._estimator.summarise(whole, n_samples, self._confidence)

    def _note_first(self, n_blocks: int, partial: P) -> None:
        """Keep the estimate of the first 1, 2, 4, … blocks, whatever order they arrive in."""
        if n_blocks % self._estimator.unit == 0:
            n_samples = self._supply.count_samples(n_blocks)
            summary = self._estimator.summarise(partial, n_samples, self._confidence)
            self.history.add(n_samples, summary)

    def is_over(self, goal: Goal) -> bool:
        """Check the estimate if a check is due; all blocks before it are folded by then."""
        if self.fold.n_blocks < self._check:
            return False
        self.summary = self.summarise()
        value, half_width = self.summary["value"], self.summary["half_width"]
        n_samples = self._supply.count_samples(self._check)
        excess = goal.excess(n_samples, value, half_width)
        if excess <= 1.0:
            return True
        if math.isnan(excess) or np.isinf(self.summary["standard_error"]).any():
            self.shortfall = "the samples have no finite mean or variance", "check what is drawn"
        elif self._check == self._supply.n_blocks:
            self.shortfall = (
                f"max_samples = {goal.max_samples:,} were drawn",
                "accept a larger half-width, or allow more: the same ledger continues from there",
            )
        elif self._is_hopeless(goal, excess):
            remedy = "accept a larger half-width"
            self.shortfall = "it takes more samples than a run can draw", remedy
        self._plan(excess)
        return self.shortfall is not None

    def _is_hopeless(self, goal: Goal, excess: float) -> bool:
        """Return whether a run without a maximum would never end, by its convergence rate.

        For a relative goal this is unknown: the mean so far may be close to zero.
        """
        if self._supply.n_blocks is not None or goal.relative or not math.isfinite(excess):
            return False
        power = 2.0 if self._estimator.unit == 1 else 2 / 3  # of Owen's scrambles, at their best
        return bool(self._check * min(excess, 1e100) ** power >= MOST_BLOCKS)

    def _plan(self, excess: float) -> None:
        """Supply the blocks up to the check at which the goal is expected to be reached."""
        expected = self._check * min(excess, 1e6) ** 2 if math.isfinite(excess) else 0.0
        self._n_needed = int(expected) or None
        before = max(self._check, math.ceil(expected) - 1)
        self._check = self._supply.next_check(self._check)
        self._supply.want(self._supply.next_check(before))

    def complete(self, state: Progress) -> Progress:
        """Add the estimate so far to the state of the run."""
        n_blocks = state.n_blocks
        if self._has_goal:
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

    def tell_state(self, error: EngineTimeoutError) -> None:
        """Add the estimate so far to an error."""
        if self.fold.n_blocks and isinstance(self.summary.get("value"), float):
            found = format_with_error(self.summary["value"], self.summary["half_width"])
            error.add_note(f"The estimate at the last check was {found}.")


class _History:
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
