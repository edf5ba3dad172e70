"""Estimators: what a block of samples is, how partials merge, and what the whole says.

An estimator is called on a worker with the index of a first block and the sizes of the blocks from
there on, and yields a partial for each; the driver merges them and asks for a summary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scoopsci.estimation.comoments import CoMoments
from scoopsci.estimation.compiled import battery_of_numba
from scoopsci.estimation.estimates import find_doubts, student_interval, wilson_interval
from scoopsci.estimation.integrand import Integrand
from scoopsci.estimation.kernels import count_inside, derive_key
from scoopsci.estimation.moments import Moments
from scoopsci.estimation.qmc import fingerprint, scrambled_points
from scoopsci.estimation.streams import block_generator

__all__ = ["CircleCount", "Estimator", "ReducedMean", "SampleMean", "ScrambledMean", "as_samples"]

P = TypeVar("P")


class Estimator(Protocol[P]):
    """What a Monte Carlo run is made of; it is shipped to the workers.

    Where a run may stop is described by `scoopsci.montecarlo.next_check`.
    """

    @property
    def unit(self) -> int:
        """Checks lie at multiples of so many blocks."""

    @property
    def per_doubling(self) -> int:
        """So many checks lie between one power of two and the next."""

    def __call__(self, start: int, sizes: Iterator[int]) -> Iterator[P]:
        """Yield the partial of each block, from its index and its number of samples alone."""

    def merge(self, left: P, right: P) -> P:
        """Return the partial of two sets of blocks."""

    def summarise(self, whole: P, n_samples: int, confidence: float) -> dict[str, Any]:
        """Return the fields of `Estimate` that the samples determine."""


@dataclass(frozen=True, slots=True)
class CircleCount:
    """π, by counting the points of each block inside the quarter circle.

    Attributes
    ----------
    seed : int
        Entropy of the run.
    """

    seed: int
    unit: int = 1
    per_doubling: int = 4

    def __call__(self, start: int, sizes: Iterator[int]) -> Iterator[int]:
        """Yield the number of points inside."""
        key = derive_key(self.seed)
        for block, size in enumerate(sizes, start):
            yield count_inside(key, block, size)

    def merge(self, left: int, right: int) -> int:
        """Add two counts."""
        return left + right

    def summarise(self, whole: int, n_samples: int, confidence: float) -> dict[str, Any]:
        """Return four times the share of points inside, with Wilson's interval."""
        return {"n_inside": whole, **wilson_interval(whole, n_samples, confidence, scale=4.0)}


@dataclass(frozen=True, slots=True)
class SampleMean:
    """The mean of what a user's function draws.

    Attributes
    ----------
    fn : callable
        ``fn(rng, size)`` returns samples of shape ``(size,)`` or ``(size, k)``.
    seed : int
        Entropy of the run.
    compiled : bool
        Whether numba compiles the function, or what it calls.
    """

    fn: Callable[[np.random.Generator, int], ArrayLike]
    seed: int
    compiled: bool = False
    unit: int = 1
    per_doubling: int = 4

    @property
    def numerics(self) -> str:
        """How code that numba compiles computes on this host, where that matters."""
        return battery_of_numba() if self.compiled else ""

    def __call__(self, start: int, sizes: Iterator[int]) -> Iterator[Moments]:
        """Yield the moments of each block."""
        for block, size in enumerate(sizes, start):
            yield Moments.of(as_samples(self.fn(block_generator(self.seed, block), size), size))

    def merge(self, left: Moments, right: Moments) -> Moments:
        """Return the moments of both."""
        return left.merge(right)

    def summarise(self, whole: Moments, n_samples: int, confidence: float) -> dict[str, Any]:
        """Return the mean with Student's interval."""
        mean, error = whole.mean, whole.standard_error
        return {
            "notes": find_doubts(whole),
            **student_interval(mean, error, whole.count - 1, confidence),
        }


@dataclass(frozen=True, slots=True)
class ReducedMean:
    """The integral of a function with methods of variance reduction.

    Attributes
    ----------
    integrand : Integrand
        The function and the methods.
    seed : int
        Entropy of the run.
    compiled : bool
        Whether numba compiles any of its functions.
    """

    integrand: Integrand
    seed: int
    compiled: bool = False
    unit: int = 1
    per_doubling: int = 4

    @property
    def numerics(self) -> str:
        """How code that numba compiles computes on this host, where that matters."""
        return battery_of_numba() if self.compiled else ""

    def __call__(self, start: int, sizes: Iterator[int]) -> Iterator[CoMoments]:
        """Yield the co-moments of each block's columns."""
        for block, size in enumerate(sizes, start):
            u = block_generator(self.seed, block).random((size, self.integrand.dim))
            np.clip(u, 2.0**-53, 1.0 - 2.0**-53, out=u)  # 0 and 1 have no finite quantiles
            yield CoMoments.of(self.integrand.evaluate(u))

    def merge(self, left: CoMoments, right: CoMoments) -> CoMoments:
        """Return the co-moments of both."""
        return left.merge(right)

    def summarise(self, whole: CoMoments, n_samples: int, confidence: float) -> dict[str, Any]:
        """Return the integral with Student's interval, and the factor of each method."""
        integrand = self.integrand
        values = integrand.groups(len(whole.products))["values"]
        with np.errstate(all="ignore"):
            value = integrand.adjust(whole.moments.mean, integrand.regress(whole))
            share = 1.0 / whole.moments.count + integrand.leverage(whole)
            error = np.sqrt(integrand.residual_variance(whole) * share)
            factors = _factors(integrand, whole)
        return {
            "notes": find_doubts(_take(whole.moments, values)),
            "variance_reduction": factors,
            **student_interval(*_plain(value, error), integrand.n_degrees(whole), confidence),
        }


@dataclass(frozen=True, slots=True)
class ScrambledMoments:
    """What the blocks of several scrambles say together, and each scramble by itself.

    Attributes
    ----------
    whole : CoMoments
        Of all points, as if they were independent.
    counts : ndarray of int64, shape (r,)
        Points of each scramble.
    means : ndarray of float64, shape (r, m)
        Means of its columns.
    """

    whole: CoMoments
    counts: NDArray[np.int64]
    means: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ScrambledMean:
    """The integral of a function over scrambled Sobol' points.

    Attributes
    ----------
    integrand : Integrand
        The function and the methods.
    seed : int
        Entropy of the run.
    unit : int
        Number of independent scrambles. Block i has the points of scramble i modulo this number,
        those from ``i // unit`` times the size of a block on.
    compiled : bool
        Whether numba compiles any of its functions.
    """

    integrand: Integrand
    seed: int
    unit: int
    compiled: bool = False
    per_doubling: int = 1

    @property
    def numerics(self) -> str:
        """How this host's SciPy scrambles, and how compiled code computes, where that matters."""
        return f"{fingerprint()} {battery_of_numba() if self.compiled else ''}"

    def __call__(self, start: int, sizes: Iterator[int]) -> Iterator[ScrambledMoments]:
        """Yield the moments of each block, as those of its scramble."""
        for block, size in enumerate(sizes, start):
            segment, scramble = divmod(block, self.unit)
            u = scrambled_points(self.seed, scramble, self.integrand.dim, segment * size, size)
            whole = CoMoments.of(self.integrand.evaluate(u))
            counts = np.zeros(self.unit, np.int64)
            means = np.zeros((self.unit, len(whole.products)))
            counts[scramble], means[scramble] = size, whole.moments.mean
            yield ScrambledMoments(whole, counts, means)

    def merge(self, left: ScrambledMoments, right: ScrambledMoments) -> ScrambledMoments:
        """Return the moments of both."""
        whole = left.whole.merge(right.whole)
        counts = left.counts + right.counts
        share = (right.counts / np.maximum(1, counts))[:, None]
        with np.errstate(all="ignore"):
            means = left.means + (right.means - left.means) * share
        return ScrambledMoments(whole, counts, means)

    def summarise(
        self, whole: ScrambledMoments, n_samples: int, confidence: float
    ) -> dict[str, Any]:
        """Return the integral, with an error from the differences between scrambles."""
        integrand, points = self.integrand, whole.whole
        columns = integrand.groups(len(points.products))["values"]
        with np.errstate(all="ignore"):
            values = Moments.of(integrand.adjust(whole.means, integrand.regress(points)))
            error = values.standard_error
            factors = _factors(integrand, points)
            *_, (_, variance) = integrand.variances(points)
            n_evaluations = integrand.n_evaluations * n_samples
            factors["scrambled Sobol' points"] = _ratio(variance, n_evaluations * error**2)
        return {
            "notes": find_doubts(_take(points.moments, columns)),
            "variance_reduction": factors,
            **student_interval(*_plain(values.mean, error), self.unit - 1, confidence),
        }


def _take(moments: Moments, columns: slice) -> Moments:
    return replace(
        moments,
        mean=moments.mean[columns],
        m2=moments.m2[columns],
        minimum=moments.minimum[columns],
        maximum=moments.maximum[columns],
    )


def _plain(value: NDArray[np.float64], error: NDArray[np.float64]) -> tuple[Any, Any]:
    return (value[0], error[0]) if len(value) == 1 else (value, error)


def _factors(integrand: Integrand, whole: CoMoments) -> dict[str, float]:
    steps = pairwise(integrand.variances(whole))
    return {name: _ratio(before, after) for (_, before), (name, after) in steps}


def _ratio(before: Any, after: Any) -> float:
    """Return by how much a variance has shrunk, of a vector the least."""
    return float(np.min(np.where(after == 0.0, np.inf, before / after)))


def as_samples(drawn: ArrayLike, size: int) -> NDArray[np.float64]:
    """Return what a user's function has drawn as floating-point numbers.

    Parameters
    ----------
    drawn : array_like
        What it returned.
    size : int
        How many samples it was asked for.

    Returns
    -------
    ndarray of float64, shape (size,) or (size, k)
        The samples.

    Raises
    ------
    TypeError, ValueError
        If they are not real numbers, or of another shape.
    """
    if np.ma.is_masked(drawn):
        raise TypeError("samples must not be masked; leave out or replace what is masked")
    samples = np.asarray(drawn)
    if samples.dtype.kind not in "buif":
        raise TypeError(f"samples must be real numbers, got an array of {samples.dtype}")
    if samples.ndim not in (1, 2) or len(samples) != size or samples.size == 0:
        raise ValueError(
            f"samples must be of shape (size,) or (size, k) with size = {size}, "
            f"got shape {samples.shape}; return as many as are asked for by size"
        )
    return samples.astype(np.float64, copy=False)
