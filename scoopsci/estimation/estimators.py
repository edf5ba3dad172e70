"""Estimators: how a block is sampled, how partials merge, and how the whole is summarised.

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
from scoopsci.estimation.estimates import find_doubts
from scoopsci.estimation.integrand import Integrand
from scoopsci.estimation.intervals import student_interval, wilson_interval
from scoopsci.estimation.kernels import count_inside, derive_key
from scoopsci.estimation.moments import Moments
from scoopsci.estimation.qmc import fingerprint, scrambled_blocks
from scoopsci.estimation.samples import as_samples
from scoopsci.estimation.stated import find_contradictions
from scoopsci.estimation.streams import block_generator

__all__ = ["CircleCount", "Estimator", "ReducedMean", "SampleMean", "ScrambledMean"]

P = TypeVar("P")


class Estimator(Protocol[P]):
    """Computes and merges the partials of a Monte Carlo run; it is sent to the workers.

    A partial is of any type that can be pickled; for k means at once it holds arrays of shape (k,).
    Where a run may stop is described by `scoopsci.montecarlo.next_check`.
    """

    @property
    def unit(self) -> int:
        """Number of blocks of which each check is a multiple."""

    @property
    def per_doubling(self) -> int:
        """Number of checks between one power of two and the next."""

    def __call__(self, start: int, sizes: Iterator[int]) -> Iterator[P]:
        """Yield the partial of each block, from its index and its number of samples alone.

        Parameters
        ----------
        start : int
            Index of the first block.
        sizes : iterator of int
            Number of samples of each block, in block order.
        """

    def merge(self, left: P, right: P) -> P:
        """Return the partial of the union of two sets of blocks; those of `left` come first."""

    def summarise(self, whole: P, n_samples: int, confidence: float) -> dict[str, Any]:
        """Return the fields of `Estimate` that the samples determine; `whole` is of all blocks.

        Returns
        -------
        dict
            ``value``, ``standard_error``, ``half_width`` and ``interval``, as numbers or arrays
            of shape (k,), and further fields, such as ``notes``.
        """


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

    @property
    def outline(self) -> CircleCount:
        """The estimator without code of the user, as a ledger stores it."""
        return self

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
class ScrambledMoments:
    """Moments of blocks of several scrambles: of all together, and of each scramble.

    Attributes
    ----------
    whole : CoMoments
        Of all points, as if they were independent.
    means : ndarray of float64, shape (r, m)
        Means of the columns of each scramble; all have as many points.
    """

    whole: CoMoments
    means: NDArray[np.float64]

    def merge(self, other: ScrambledMoments) -> ScrambledMoments:
        """Return the moments of both sets of blocks."""
        whole = self.whole.merge(other.whole)
        with np.errstate(all="ignore"):
            share = other.whole.moments.count / whole.moments.count
            means = self.means + (other.means - self.means) * share
        return ScrambledMoments(whole, means)


M = TypeVar("M", Moments, CoMoments, ScrambledMoments)


class _FunctionMean:
    """What the means of a user's function have in common."""

    __slots__ = ()
    compiled: bool

    @property
    def numerics(self) -> str:
        """Hash of this host's numerics of compiled code; empty if none is used."""
        return battery_of_numba() if self.compiled else ""

    def merge(self, left: M, right: M) -> M:
        """Return the moments of both sets of blocks."""
        return left.merge(right)


@dataclass(frozen=True, slots=True)
class SampleMean(_FunctionMean):
    """The mean of the samples that a user's function draws.

    Attributes
    ----------
    fn : callable
        ``fn(rng, size)`` returns samples of shape ``(size,)`` or ``(size, k)``.
    seed : int
        Entropy of the run.
    compiled : bool
        Whether numba compiles the function, or what it calls.
    scale : float
        Factor of all samples.
    """

    fn: Callable[[np.random.Generator, int], ArrayLike]
    seed: int
    compiled: bool = False
    unit: int = 1
    per_doubling: int = 4
    scale: float = 1.0

    @property
    def outline(self) -> SampleMean:
        """The estimator without code of the user, as a ledger stores it: it can summarise."""
        return replace(self, fn=None)  # type: ignore[arg-type]

    def __call__(self, start: int, sizes: Iterator[int]) -> Iterator[Moments]:
        """Yield the moments of each block."""
        for block, size in enumerate(sizes, start):
            samples = as_samples(self.fn(block_generator(self.seed, block), size), size)
            moments = Moments.of(np.multiply(samples, self.scale, dtype=np.float64))
            if samples.dtype == np.bool_:
                n_hits = np.asarray(np.count_nonzero(samples, axis=0))
                moments = replace(moments, n_hits=n_hits)
            yield moments

    def summarise(self, whole: Moments, n_samples: int, confidence: float) -> dict[str, Any]:
        """Return the mean with Student's interval, or Wilson's if all samples are bool."""
        if whole.n_hits is not None:
            found = wilson_interval(whole.n_hits, whole.count, confidence, scale=self.scale)
        else:
            mean, error = whole.mean, whole.standard_error
            found = student_interval(mean, error, whole.count - 1, confidence)
        return {"notes": find_doubts(whole, found["standard_error"]), **found}


@dataclass(frozen=True, slots=True)
class ReducedMean(_FunctionMean):
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

    def __call__(self, start: int, sizes: Iterator[int]) -> Iterator[CoMoments]:
        """Yield the co-moments of each block's columns."""
        columns = None
        for block, size in enumerate(sizes, start):
            u = block_generator(self.seed, block).random((size, self.integrand.dim))
            np.clip(u, 2.0**-53, 1.0 - 2.0**-53, out=u)  # 0 and 1 have no finite quantiles
            columns = self.integrand.evaluate(u, columns)
            yield CoMoments.of(columns, self.integrand.n_controls)

    def summarise(self, whole: CoMoments, n_samples: int, confidence: float) -> dict[str, Any]:
        """Return the integral with Student's interval, and the factor of each method."""
        integrand = self.integrand
        values = integrand.groups(len(whole.moments.mean))["values"]
        with np.errstate(all="ignore"):
            value = integrand.adjust(whole.moments.mean, integrand.regress(whole))
            share = 1.0 / whole.moments.count + integrand.leverage(whole)
            error = np.sqrt(integrand.residual_variance(whole) * share)
            factors = _factors(integrand, whole)
        doubts = find_doubts(_take(whole.moments, values), error)
        n = whole.moments.count
        return {
            "notes": (*doubts, *find_contradictions(integrand, whole.moments, whole.moments, n)),
            "variance_reduction": factors,
            **student_interval(*_plain(value, error), integrand.n_degrees(whole), confidence),
        }


@dataclass(frozen=True, slots=True)
class ScrambledMean(_FunctionMean):
    """The integral of a function over scrambled Sobol' points.

    Attributes
    ----------
    integrand : Integrand
        The function and the methods.
    seed : int
        Entropy of the run.
    n_scrambles : int
        Number of independent scrambles. Each block has the next points of every one.
    compiled : bool
        Whether numba compiles any of its functions.
    """

    integrand: Integrand
    seed: int
    n_scrambles: int
    compiled: bool = False
    unit: int = 1
    per_doubling: int = 1

    @property
    def numerics(self) -> str:
        """Hashes of this host's scrambles, and of its numerics of compiled code, if any is used."""
        return f"{fingerprint()} {battery_of_numba() if self.compiled else ''}"

    def __call__(self, start: int, sizes: Iterator[int]) -> Iterator[ScrambledMoments]:
        """Yield the moments of each block."""
        integrand = self.integrand
        for u in scrambled_blocks(self.seed, self.n_scrambles, integrand.dim, start, sizes):
            columns = integrand.evaluate(u)
            with np.errstate(all="ignore"):
                n = len(u) // self.n_scrambles
                means = np.add.reduceat(columns, range(0, len(u), n), axis=0) / n
            yield ScrambledMoments(CoMoments.of(columns, integrand.n_controls), means)

    def summarise(
        self, whole: ScrambledMoments, n_samples: int, confidence: float
    ) -> dict[str, Any]:
        """Return the integral, with an error from the differences between scrambles."""
        integrand, points = self.integrand, whole.whole
        columns = integrand.groups(len(points.moments.mean))["values"]
        with np.errstate(all="ignore"):
            values = Moments.of(integrand.adjust(whole.means, integrand.regress(points)))
            error = values.standard_error
            factors = _factors(integrand, points)
            *_, (_, variance) = integrand.variances(points)
            n_evaluations = integrand.n_evaluations * n_samples
            factors["scrambled Sobol' points"] = _ratio(variance, n_evaluations * error**2)
        doubts = find_doubts(_take(points.moments, columns), error)
        n_each = points.moments.count // self.n_scrambles
        means = Moments.of(whole.means)
        return {
            "notes": (*doubts, *find_contradictions(integrand, points.moments, means, n_each)),
            "variance_reduction": factors,
            **student_interval(*_plain(values.mean, error), self.n_scrambles - 1, confidence),
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
    """Return the factor by which a variance has shrunk; for a vector, the smallest."""
    return float(np.min(np.where(after == 0.0, np.inf, before / after)))
