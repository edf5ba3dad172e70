"""A Monte Carlo run: blocks of samples until there are enough, or until the error is small."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar, cast

from scoopsci.basics.arguments import check_count, check_fraction
from scoopsci.errors import EngineTimeoutError
from scoopsci.estimation.estimators import Estimator
from scoopsci.estimation.qmc import MOST_POINTS
from scoopsci.road.chunks import FoldBlocks
from scoopsci.road.guarantees import Guarantee, place_in_rounds
from scoopsci.road.options import RunOptions
from scoopsci.road.outlook import Outlook
from scoopsci.road.runs import Run
from scoopsci.road.stopping import Goal, Supply
from scoopsci.road.walk import Walk

__all__ = ["Sampling", "SamplingOptions"]

P = TypeVar("P")


class SamplingOptions(RunOptions, total=False):
    """Options of a Monte Carlo run: those of any run, and six more.

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
    exact_ok : bool
        Whether the estimate may be exact: an error of zero then reaches the half-width, after 64
        times `min_samples`. By default it is no information, and the run ends with a
        `NotConvergedError` instead.
    guarantee : {"asymptotic", "anytime"}
        When the interval covers with its confidence: at the end of the run, in the limit of many
        samples; or at every look at once, however the run is watched, stopped and continued, by a
        confidence sequence, which takes more samples. For ``method="qmc"`` there is none.
    bounds : tuple of two float
        Bounds (a, b) of the values of the function, with ``guarantee="anytime"``: the guarantee
        then holds for any number of samples, at 2 to 3 times those of the asymptotic one. The
        sequence follows the half-width, or the number of samples: a ledger serves no other. A value
        outside of the bounds is a ValueError.
    """

    relative: bool
    min_samples: int
    max_samples: int | None
    exact_ok: bool
    guarantee: Literal["asymptotic", "anytime"]
    bounds: tuple[float, float] | None


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
    guarantee: Guarantee = field(default_factory=Guarantee)

    def __post_init__(self) -> None:
        how: dict[str, Any] = dict(self.options)
        self.guarantee = Guarantee(how.pop("guarantee", "asymptotic"), how.pop("bounds", None))
        absent = {"relative": False, "min_samples": None, "max_samples": None, "exact_ok": False}
        given = {name: how.pop(name, default) for name, default in absent.items()}
        stop = {name: value for name, value in given.items() if value is not absent[name]}
        self._run_options = cast(RunOptions, how)
        if (self.n_samples is None) == (self.half_width is None):
            got = "neither" if self.n_samples is None else "both"
            raise ValueError(
                f"either a number of samples or half_width must be given, got {got}; "
                "max_samples= limits a half-width"
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

    def check_scrambles(self, n_scrambles: int) -> None:
        """Check that each has a power of two of points, of those that the sequence has."""
        self.guarantee.check_scrambles(n_scrambles)
        scrambles, blocks = f"{n_scrambles} scrambles", f"blocks of {self.block_size:,}"
        max_samples = None if self.goal is None else self.goal.max_samples
        numbers = {
            "block_size": (self.block_size, n_scrambles, scrambles),
            "n_samples": (self.n_samples, self.block_size, blocks),
            "max_samples": (max_samples, self.block_size, blocks),
        }
        most = n_scrambles * MOST_POINTS
        for name, (number, size, what) in numbers.items():
            if number is not None and (number % size or (number // size).bit_count() != 1):
                least = size << max(0, (number // size).bit_length())
                raise ValueError(
                    f"{name} must be a power of two times {what} for qmc, such as {least:,}; got "
                    f"{number:,}"
                )
            if number is not None and number > most:
                raise ValueError(f"{name} must be at most {most:,} for qmc, got {number:,}")

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

        Notes
        -----
        If the timeout passes, or Ctrl-C comes, the results are those of the first blocks, as far
        as none is missing; `n_blocks` is 0 if there are none.
        """
        most = self.n_samples if self.goal is None else self.goal.max_samples
        supply = Supply(
            self.block_size, most, unit=estimator.unit, per_doubling=estimator.per_doubling
        )
        summariser = self.guarantee.apply(estimator, self.goal, self.n_samples)
        declared = self.guarantee.declare(self.goal, self.n_samples, self.confidence)
        walk: Walk[Any] = Walk(summariser, supply, self.goal, confidence=self.confidence, unit=unit)
        run: Run[P] = Run(
            FoldBlocks(estimator, estimator.merge),
            supply,
            self._run_options,
            identity={**identity, **declared},
            complete=walk.complete,
        )
        outlook = None if self.goal is None else Outlook(self.goal, supply, unit)
        try:
            with contextlib.closing(run.partials(in_order=self.goal is not None)) as partials:
                for blocks, partial in place_in_rounds(summariser, supply, partials):
                    walk.add(blocks, partial)
                    if walk.is_over():
                        break
                    if outlook is None or outlook.has_looked or run.state is None:
                        continue
                    if walk.n_projected:
                        outlook.look(walk.n_projected, run.state())
            if self.goal is None:
                walk.summary = walk.summarise()
            self.n_blocks = walk.fold.n_blocks
        except (EngineTimeoutError, KeyboardInterrupt):
            self.n_blocks = walk.summarise_first()
            raise
        finally:
            self.done, self.summary, self.shortfall = run.description, walk.summary, walk.shortfall
            if self.n_blocks:
                self.n_samples = supply.count_samples(self.n_blocks)
                self.summary["convergence"] = walk.history.finish(self.n_samples, walk.summary)
