"""What the interval of a run guarantees: coverage at its end, or at every look."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from scoopsci.estimation.anytime import AnytimeMean, BoundedMean, Summariser
from scoopsci.road.blocks import Range
from scoopsci.road.stopping import Goal, Supply

__all__ = ["Guarantee", "place_in_rounds"]

P = TypeVar("P")

#: Identity of the bets of a sequence for samples within bounds.
BETS = "h/(h + variance), version 1"


@dataclass(frozen=True, slots=True)
class Guarantee:
    """When an interval covers, and what is stated for that before the first sample.

    Attributes
    ----------
    name : str
        "asymptotic" or "anytime"; see `SamplingOptions`.
    bounds : tuple of two float or None
        Bounds of every sample.

    Raises
    ------
    ValueError, TypeError
        If one is invalid, or bounds come without ``"anytime"``.
    """

    name: str = "asymptotic"
    bounds: Any = None

    def __post_init__(self) -> None:
        if self.name not in ("asymptotic", "anytime"):
            raise ValueError(f"guarantee must be 'asymptotic' or 'anytime', got {self.name!r}")
        if self.bounds is None:
            return
        if self.name != "anytime":
            raise ValueError(f"bounds must come with guarantee='anytime', got {self.bounds!r}")
        try:
            low, high = map(float, self.bounds)
        except (TypeError, ValueError):
            raise TypeError(f"bounds must be two numbers (a, b), got {self.bounds!r}") from None
        if not (low < high and math.isfinite(high - low)):
            raise ValueError(
                f"bounds must be finite numbers, the lower one first, got {self.bounds!r}"
            )
        object.__setattr__(self, "bounds", (low, high))

    def check_scrambles(self, n_scrambles: int) -> None:
        """Raise a ValueError if an error that comes from few scrambles must hold at every look."""
        if self.name != "asymptotic":
            raise ValueError(
                "guarantee='anytime' needs a growing number of independent samples, got "
                f"method='qmc', whose error comes from {n_scrambles} scrambles however many points "
                "they have; use method='mc', or guarantee='asymptotic'"
            )

    def apply(
        self, estimator: Summariser[P], goal: Goal | None, n_samples: int | None
    ) -> Summariser[Any]:
        """Return what summarises the samples of an estimator.

        Raises
        ------
        ValueError, TypeError
            If there is no confidence sequence for the estimator's samples.
        """
        if self.name == "asymptotic":
            return estimator
        if self.bounds is None:
            return AnytimeMean(estimator)
        if goal is None:
            return BoundedMean(estimator, self.bounds, None, False, n_samples)
        return BoundedMean(estimator, self.bounds, goal.half_width, goal.relative, None)

    def declare(
        self, goal: Goal | None, n_samples: int | None, confidence: float
    ) -> dict[str, Any]:
        """Return what of it belongs to the identity of a run.

        Bets that follow a goal are valid for that which was stated before the samples were seen.
        """
        if self.bounds is None:
            return {}
        declared: dict[str, Any] = {"bounds": self.bounds, "bets": BETS}
        if goal is None:
            declared |= {"n_samples": n_samples, "confidence": confidence}
        else:
            declared |= {"half_width": goal.half_width, "relative": goal.relative}
        return {"declared": declared}

    def describe(self) -> dict[str, Any]:
        """Return it as plain values, for receipts."""
        return {"guarantee": self.name, **({} if self.bounds is None else {"bounds": self.bounds})}


def place_in_rounds(
    summariser: Summariser[Any], supply: Supply, partials: Iterable[tuple[Range, Any]]
) -> Iterator[tuple[Range, Any]]:
    """Yield partials as those of the rounds that they lie in, where the summary needs rounds."""
    for blocks, partial in partials:
        if isinstance(summariser, BoundedMean):
            check = supply.next_check(blocks.start)
            assert blocks.stop <= check, "a partial must not span a check"
            partial = summariser.place(check, partial)
        yield blocks, partial
