"""Estimates with confidence sequences in place of intervals: valid at every look.

A run asks for one by ``guarantee="anytime"``; which it is follows from the samples, and from what
is stated about them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from scoopsci.estimation.estimators import CircleCount, ReducedMean, SampleMean
from scoopsci.estimation.intervals import as_fields
from scoopsci.estimation.moments import Moments
from scoopsci.estimation.sequences import (
    asymptotic_sequence,
    bernstein_sequence,
    mixture_sequence,
)

__all__ = ["AnytimeMean", "BoundedMean", "Rounds", "Summariser"]

P = TypeVar("P")
Floats = NDArray[np.float64]

MIXTURE = "anytime, by a beta-binomial mixture"
BERNSTEIN = "anytime, by an empirical-Bernstein sequence for samples within stated bounds"
ASYMPTOTIC = "anytime, by an asymptotic confidence sequence"


class Summariser(Protocol[P]):
    """What a run needs of an estimator beside its samples; see `Estimator`."""

    @property
    def unit(self) -> int:
        """Number of blocks of which each check is a multiple."""

    def merge(self, left: P, right: P) -> P:
        """Return the partial of the union of two sets of blocks."""

    def summarise(self, whole: P, n_samples: int, confidence: float) -> dict[str, Any]:
        """Return the fields of `Estimate` that the samples determine."""


@dataclass(frozen=True, slots=True)
class AnytimeMean(Generic[P]):
    """An estimator, with a confidence sequence for counts, or an asymptotic one for other samples.

    Attributes
    ----------
    estimator : Estimator
        It draws the samples; its estimate stays as it is, and so do its partials.
    """

    estimator: Summariser[P]

    @property
    def unit(self) -> int:
        """That of the estimator."""
        return self.estimator.unit

    def merge(self, left: P, right: P) -> P:
        """Return what the estimator returns."""
        return self.estimator.merge(left, right)

    def summarise(self, whole: P, n_samples: int, confidence: float) -> dict[str, Any]:
        """Return the estimator's fields, with the ends of a confidence sequence."""
        found = self.estimator.summarise(whole, n_samples, confidence)
        hits: Any = whole if isinstance(self.estimator, CircleCount) else None
        scale = 4.0
        if isinstance(self.estimator, SampleMean) and isinstance(whole, Moments):
            hits, scale = whole.n_hits, self.estimator.scale
        if hits is not None:
            found |= mixture_sequence(hits, n_samples, confidence, scale=scale)
            return {**found, "guarantee": MIXTURE}
        value, error = found["value"], found["standard_error"]
        note = (
            "The interval is an asymptotic confidence sequence: it holds at every look in the "
            "limit of many samples; for one that holds for any number, state bounds=(a, b), if "
            "there are any."
        )
        return {
            **found,
            **asymptotic_sequence(value, error, n_samples, confidence),
            "notes": (*found.get("notes", ()), note),
            "guarantee": ASYMPTOTIC,
        }


@dataclass(frozen=True, slots=True)
class Rounds(Generic[P]):
    """A partial, and the moments of its samples by rounds.

    Attributes
    ----------
    whole : object
        The estimator's partial.
    moments : dict of int to Moments
        Those of the blocks between two checks, by the index of the later one.
    """

    whole: P
    moments: dict[int, Moments]


@dataclass(frozen=True, slots=True)
class BoundedMean(Generic[P]):
    """A mean of samples within stated bounds, with the empirical-Bernstein sequence.

    Attributes
    ----------
    estimator : Estimator
        It draws the samples; its estimate stays as it is.
    bounds : tuple of two float
        All values of the function lie within them.
    half_width : float or None
        The half-width to be reached, which the bets follow.
    relative : bool
        Whether that is a share of the estimate's absolute value.
    n_samples : int or None
        Or the number of samples.

    Raises
    ------
    ValueError, TypeError
        If bounds of the function are none of the estimator's samples.

    Notes
    -----
    Between two checks lies an aligned range of blocks, whose partials merge along the fixed tree:
    the moments of a round have the same bits everywhere, and with them the interval.
    """

    estimator: Summariser[P]
    bounds: tuple[float, float]
    half_width: float | None
    relative: bool
    n_samples: int | None

    def __post_init__(self) -> None:
        if not isinstance(self.estimator, SampleMean | ReducedMean):
            raise TypeError(
                f"bounds must come with a function whose mean is estimated, got bounds="
                f"{self.bounds} for {type(self.estimator).__name__}; leave them out"
            )
        if isinstance(self.estimator, ReducedMean):
            integrand = self.estimator.integrand
            for method in filter(None, (integrand.importance, integrand.control)):
                raise ValueError(
                    f"bounds of a function do not hold for its samples by {method.name}, got "
                    f"bounds={self.bounds}; leave out one or the other"
                )

    @property
    def unit(self) -> int:
        """That of the estimator."""
        return self.estimator.unit

    @property
    def _scale(self) -> float:
        """Factor of the function's values in the samples."""
        if isinstance(self.estimator, ReducedMean):
            return self.estimator.integrand.volume
        return self.estimator.scale  # type: ignore[attr-defined, no-any-return]

    def place(self, check: int, partial: P) -> Rounds[P]:
        """Return the partial of a range, as one of the round that ends at a check.

        Raises
        ------
        ValueError
            If a sample lies outside of the bounds.
        """
        moments, columns = self._find_moments(partial)
        low, high = (self._scale * bound for bound in self.bounds)
        for extreme in (moments.minimum[columns].min(), moments.maximum[columns].max()):
            if not low <= extreme <= high:
                raise ValueError(
                    f"samples must lie within bounds={self.bounds}, got "
                    f"{float(extreme) / self._scale!r}; give bounds that hold for every sample, or "
                    "leave them out for an asymptotic confidence sequence"
                )
        return Rounds(partial, {check: moments})

    def _find_moments(self, partial: Any) -> tuple[Moments, Any]:
        """Return the moments of a partial, and which of their columns are the samples."""
        if isinstance(self.estimator, ReducedMean):
            moments = partial.moments
            return moments, self.estimator.integrand.groups(len(moments.mean))["values"]
        return partial, ...

    def merge(self, left: Rounds[P], right: Rounds[P]) -> Rounds[P]:
        """Return the union; only the last round of the left may be the first of the right."""
        moments = {**left.moments, **right.moments}
        for check in left.moments.keys() & right.moments.keys():
            moments[check] = left.moments[check].merge(right.moments[check])
        return Rounds(self.estimator.merge(left.whole, right.whole), moments)

    def summarise(self, whole: Rounds[P], n_samples: int, confidence: float) -> dict[str, Any]:
        """Return the estimator's fields, with the interval of the sequence after the last round."""
        found = self.estimator.summarise(whole.whole, n_samples, confidence)
        value, error = (np.asarray(found[name]) for name in ("value", "standard_error"))
        centre, reach = self._find_interval(whole, value.size, confidence)
        low, high = (self._scale * bound for bound in self.bounds)
        # The value weighs all samples alike, the centre by the bets: it is no bound of the value.
        low = np.minimum(np.maximum(low, centre - reach).reshape(value.shape), value)
        high = np.maximum(np.minimum(high, centre + reach).reshape(value.shape), value)
        half_width = np.maximum(value - low, high - value)
        # The doubts are about intervals that rely on the variance.
        more = {"notes": (), "guarantee": BERNSTEIN}
        return {**found, **as_fields(value, error, half_width, low, high), **more}

    def _find_interval(
        self, whole: Rounds[P], n_columns: int, confidence: float
    ) -> tuple[Floats, Floats]:
        """Return centre and reach, of shape (k,), in units of the estimate."""
        _, columns = self._find_moments(whole.whole)
        rounds = [moments for _, moments in sorted(whole.moments.items())]
        low, high = (self._scale * bound for bound in self.bounds)
        width, log_level = high - low, math.log(2.0 * n_columns / (1.0 - confidence))

        def bet(variance: Floats, mean: Floats) -> Floats:
            if self.half_width is None:
                assert self.n_samples is not None
                ratio = np.sqrt(2.0 * log_level / (self.n_samples * variance))
            else:
                size = np.abs(low + width * mean) if self.relative else 1.0
                ratio = self.half_width * size / width / variance
            return np.asarray(ratio / (1.0 + ratio))

        centres, reaches = bernstein_sequence(
            np.array([[float(moments.count)] for moments in rounds]),
            (np.array([moments.mean[columns].ravel() for moments in rounds]) - low) / width,
            np.array([moments.m2[columns].ravel() for moments in rounds]) / width**2,
            log_level,
            bet,
        )
        return low + width * centres[-1], width * reaches[-1]
