"""Monte Carlo with error bars: π, integrals, and means of samples.

Run as a script, also under ``python -m scoop``, this file is the command ``scoopsci pi``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scoopsci.basics.arguments import check_count
from scoopsci.basics.codehash import describe_code, hash_code, hash_values
from scoopsci.estimation.comoments import CO_MOMENTS
from scoopsci.estimation.estimates import DoubtfulEstimateWarning, Estimate, PiEstimate
from scoopsci.estimation.estimators import (
    CircleCount,
    Estimator,
    ReducedMean,
    SampleMean,
    ScrambledMean,
)
from scoopsci.estimation.fused import fuse_sampler
from scoopsci.estimation.integrand import Integrand
from scoopsci.estimation.intervals import student_interval, wilson_interval
from scoopsci.estimation.kernels import CIRCLE_STREAM
from scoopsci.estimation.moments import MOMENTS
from scoopsci.estimation.qmc import N_SCRAMBLES, POINTS_PER_BLOCK, SOBOL_STREAM, check_dim
from scoopsci.estimation.streams import STREAM, block_generator, check_seed
from scoopsci.estimation.variance import Antithetic, ControlVariates, ImportanceSampling, Method
from scoopsci.road.estimating import carry_out
from scoopsci.road.sampling import Sampling, SamplingOptions
from scoopsci.road.stopping import Goal, next_check

__all__ = [
    "Antithetic",
    "ControlVariates",
    "DoubtfulEstimateWarning",
    "Estimate",
    "Estimator",
    "Goal",
    "ImportanceSampling",
    "PiEstimate",
    "Sampling",
    "SamplingOptions",
    "block_generator",
    "estimate",
    "hash_code",
    "integrate",
    "next_check",
    "pi",
    "student_interval",
    "wilson_interval",
]

Floats = NDArray[np.float64]

#: Points of π in a block: enough to hide the cost of initialising 4096 generators.
PI_BLOCK_SIZE = 1 << 22

#: Samples in a block of a user's function: enough to hide the overhead of 25 µs per block.
BLOCK_SIZE = 1 << 12


def estimate(
    fn: Callable[[np.random.Generator, int], ArrayLike],
    n_samples: int | None = None,
    *,
    half_width: float | None = None,
    seed: int | None = None,
    block_size: int = BLOCK_SIZE,
    confidence: float = 0.95,
    **run: Unpack[SamplingOptions],
) -> Estimate:
    """Estimate the mean of the samples that a function draws.

    Parameters
    ----------
    fn : callable
        ``fn(rng, size)`` draws `size` samples with the `numpy.random.Generator` it is given, and no
        other source of randomness. It returns an array of shape ``(size,)`` or ``(size, k)``, of
        bool if the samples are hits and misses. Or ``fn(rng)``, compiled by ``numba.njit``, returns
        one sample, and is called in a fused loop.
    n_samples : int, optional
        Number of samples.
    half_width : float, optional
        Or the half-width of the interval to reach, with as many samples as it takes. With
        ``relative=True`` it is relative to the estimate.
    seed : int, optional
        Entropy of the streams; by default a fresh one, which the result records.
    block_size : int
        Samples in a block. The result depends on it, but not on the engine, workers or chunks.
    confidence : float
        Confidence of the interval, within (0, 1).
    **run
        See `SamplingOptions`, and `RunOptions`.

    Returns
    -------
    Estimate
        Mean, standard error and interval.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range.
    ValueError, TypeError, Exception
        If `fn` returns anything but real numbers of the right shape, or raises; a note names the
        block, the host and the process.
    NotConvergedError
        If the half-width is not reached within ``max_samples``, or cannot be. It carries the
        estimate so far; with a ledger, a run with a higher maximum resumes from there.
    EngineError
        If the engine fails, or the timeout passes. An `EngineTimeoutError`, and the
        KeyboardInterrupt of Ctrl-C, have the attribute ``estimate``: the estimate from the first
        blocks, or None.

    Notes
    -----
    The interval is mean ± t·s/√n, with Student's t of n - 1 degrees of freedom and the sample
    standard deviation s: exact for normal samples, asymptotic for others of finite variance. If all
    samples are bool it is Wilson's, which holds for rare events, seen or not; see `pi`. With a
    half-width, `scoopsci.montecarlo.Goal` describes when a run stops; the result equals, bit for
    bit, that of a run with the resulting n.

    Examples
    --------
    >>> import scoopsci
    >>> def draw(rng, size):
    ...     return rng.exponential(size=size)
    >>> print(scoopsci.estimate(draw, 100_000, seed=1, engine="serial"))
    1.0030 ± 0.0062 (95 %), 100,000 samples
    >>> print(scoopsci.estimate(draw, half_width=0.01, seed=1, engine="serial"))
    1.0102 ± 0.0098 (95 %), 40,960 samples
    """
    if not callable(fn):
        raise TypeError(f"fn must be callable as fn(rng, size), got {fn!r}")
    seed = check_seed(seed)
    sampling: Sampling[Any] = Sampling(n_samples, half_width, block_size, confidence, run)
    code = describe_code(fn)
    what = {"workload": "estimate", "code": code.hash, "stream": STREAM}
    estimator = SampleMean(fuse_sampler(fn) or fn, seed, code.reaches_compiled)
    remedy = "draw from the rng that fn is given"
    return carry_out(
        estimator, sampling, Estimate, what, seed, {"code": code}, remedy, partials=MOMENTS
    )


def integrate(
    f: Callable[[Floats], ArrayLike],
    lower: ArrayLike,
    upper: ArrayLike,
    n_samples: int | None = None,
    *,
    dim: int | None = None,
    method: Literal["mc", "qmc"] = "mc",
    variance_reduction: Sequence[Method] = (),
    n_scrambles: int | None = None,
    half_width: float | None = None,
    seed: int | None = None,
    block_size: int | None = None,
    confidence: float = 0.95,
    **run: Unpack[SamplingOptions],
) -> Estimate:
    """Integrate a function over a box.

    Parameters
    ----------
    f : callable
        ``f(x)`` of points of shape ``(n, dim)``; returns shape ``(n,)``, or ``(n, k)`` for k
        integrals over the same box; bool for the volume of a region, which by ``method="mc"``
        without variance reduction has Wilson's interval. Or f, compiled by ``numba.njit``, maps one
        point of shape ``(dim,)`` to a number, and is called in a fused loop.
    lower, upper : float or array_like, shape (dim,)
        Corners of the box.
    n_samples : int, optional
        Number of points.
    dim : int, optional
        Number of dimensions, if both corners are given as single numbers.
    method : {"mc", "qmc"}
        Plain Monte Carlo, or scrambled Sobol' points, which are far more accurate for smooth
        integrands.
    variance_reduction : sequence
        Any of `Antithetic`, `ControlVariates` and `ImportanceSampling`, each at most once.
    n_scrambles : int, optional
        Independent scrambles of ``method="qmc"``, 16 by default and at least: the error is
        estimated from their differences.
    block_size : int, optional
        Samples in a block, 4096 by default; see `estimate`. With ``method="qmc"`` a block has as
        many points of each scramble, 256 by default: `block_size` must be `n_scrambles` times a
        power of two, and the number of points that times a power of two, at most `n_scrambles`
        times 2**32. A run by half-width checks at these numbers.
    half_width, seed, confidence
        See `estimate`.
    **run
        See `SamplingOptions`, and `RunOptions`.

    Returns
    -------
    Estimate
        The integral.

    Raises
    ------
    ValueError, TypeError, NotConvergedError, EngineError
        See `estimate`; the corners must be finite, and each lower one below the upper.

    Examples
    --------
    >>> import numpy as np, scoopsci
    >>> print(scoopsci.integrate(lambda x: np.exp(-(x**2).sum(axis=1)), 0, 1, 100_000, dim=3,
    ...                          seed=1, engine="serial"))
    0.4170 ± 0.0012 (95 %), 100,000 samples
    """
    if not callable(f):
        raise TypeError(f"f must be callable as f(x), got {f!r}")
    if method not in ("mc", "qmc"):
        raise ValueError(f"method must be 'mc' or 'qmc', got {method!r}")
    if method == "mc" and n_scrambles is not None:
        raise ValueError(f"n_scrambles must come with method='qmc', got n_scrambles={n_scrambles}")
    if not isinstance(variance_reduction, list | tuple):
        raise TypeError(
            f"variance_reduction must be a list, such as [Antithetic()], got {variance_reduction!r}"
        )
    integrand = Integrand.of(f, lower, upper, dim, variance_reduction)
    seed = check_seed(seed)
    if method == "qmc":
        n_scrambles = N_SCRAMBLES if n_scrambles is None else n_scrambles
        n_scrambles = check_count("n_scrambles", n_scrambles, least=16)
    if block_size is None:
        block_size = BLOCK_SIZE if n_scrambles is None else n_scrambles * POINTS_PER_BLOCK
    sampling: Sampling[Any] = Sampling(n_samples, half_width, block_size, confidence, run)
    codes = {"code": describe_code(f)}
    what = {"workload": "integrate", "code": codes["code"].hash}
    options: dict[str, Any] = {"lower": integrand.lower, "upper": integrand.upper, "method": method}
    options["partials"] = CO_MOMENTS if variance_reduction or method == "qmc" else MOMENTS
    if variance_reduction:
        methods = sorted(variance_reduction, key=lambda each: each.name)
        codes["variance_reduction"] = describe_code(*methods)
        options["variance_reduction"] = [f"{each.name} {hash_values([each])}" for each in methods]
    compiled = any(code.reaches_compiled for code in codes.values())
    estimator: Estimator[Any]
    if n_scrambles is not None:
        what["stream"] = SOBOL_STREAM
        options["n_scrambles"] = n_scrambles
        check_dim(integrand.dim)
        sampling.check_scrambles(n_scrambles)
        estimator = ScrambledMean(integrand, seed, n_scrambles, compiled)
    else:
        what["stream"] = STREAM
        if variance_reduction:
            estimator = ReducedMean(integrand, seed, compiled)
        else:
            estimator = SampleMean(integrand.sampler(), seed, compiled, scale=integrand.volume)
    remedy = "an integrand may depend on its points alone: to draw samples, use scoopsci.estimate"
    return carry_out(estimator, sampling, Estimate, what, seed, codes, remedy, **options)


def pi(
    n_points: int | None = None,
    *,
    half_width: float | None = None,
    seed: int | None = None,
    block_size: int = PI_BLOCK_SIZE,
    confidence: float = 0.95,
    **run: Unpack[SamplingOptions],
) -> PiEstimate:
    """Estimate π from random points in the unit square, by counting those in the quarter circle.

    Parameters
    ----------
    n_points : int, optional
        Number of points.
    half_width, seed, block_size, confidence
        See `estimate`.
    **run
        See `SamplingOptions`, and `RunOptions`.

    Returns
    -------
    PiEstimate
        With Wilson's interval.

    Raises
    ------
    ValueError, TypeError, NotConvergedError, EngineError
        See `estimate`.

    Notes
    -----
    Wilson's score interval [1]_ is valid even if all points or none are inside. A point takes 0.1
    to 0.3 ns on one core with numba, 5 ns without.

    References
    ----------
    .. [1] E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
       Journal of the American Statistical Association 22 (1927) 209-212,
       doi:10.1080/01621459.1927.10502953.

    Examples
    --------
    >>> import scoopsci
    >>> scoopsci.pi(1_000_000, seed=7, engine="serial").n_inside
    785507
    """
    seed = check_seed(seed)
    n_points = None if n_points is None else check_count("n_points", n_points)
    sampling: Sampling[int] = Sampling(n_points, half_width, block_size, confidence, run)
    what = {"workload": "pi", "code": "scoopsci.pi, version 2", "stream": CIRCLE_STREAM}
    return carry_out(CircleCount(seed), sampling, PiEstimate, what, seed, unit="points")


if __name__ == "__main__":
    from scoopsci.cli import run_script

    run_script("pi")
