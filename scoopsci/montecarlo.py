"""Monte Carlo with error bars: π, integrals, and the mean of anything that can be sampled.

Run as a script, also under ``python -m scoop``, this file is the command ``scoopsci pi``.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scoopsci.arguments import check_count, check_fraction
from scoopsci.chunks import CallEach
from scoopsci.codehash import hash_code
from scoopsci.estimates import (
    DoubtfulEstimateWarning,
    Estimate,
    PiEstimate,
    find_doubts,
    student_interval,
    wilson_interval,
)
from scoopsci.moments import Moments
from scoopsci.options import RunOptions
from scoopsci.receipts import make_receipt
from scoopsci.runs import fold_run
from scoopsci.streams import STREAM, block_generator, check_seed

__all__ = ["Estimate", "PiEstimate", "estimate", "integrate", "pi"]

Floats = NDArray[np.float64]

#: Points of π in a block, and those that are held at once: 8192 pairs stay in the cache.
PI_BLOCK_SIZE = 1 << 16
PI_BATCH_SIZE = 1 << 13

#: Samples in a block of a user's function: enough to hide the 25 µs that a block costs.
BLOCK_SIZE = 1 << 12


def estimate(
    fn: Callable[[np.random.Generator, int], ArrayLike],
    n_samples: int,
    *,
    seed: int | None = None,
    block_size: int = BLOCK_SIZE,
    confidence: float = 0.95,
    **run: Unpack[RunOptions],
) -> Estimate:
    """Estimate the mean of what a function samples.

    Parameters
    ----------
    fn : callable
        ``fn(rng, size)`` draws `size` samples with the `numpy.random.Generator` it is given, and
        with nothing else random. It returns an array of shape ``(size,)`` or ``(size, k)``.
    n_samples : int
        Number of samples.
    seed : int, optional
        Entropy of the streams; a fresh one by default, told in the result.
    block_size : int
        Samples in a block; the result depends on it, but on no engine, worker or chunk.
    confidence : float
        Of the interval, within (0, 1).
    **run
        See `RunOptions`.

    Returns
    -------
    Estimate
        Mean, standard error and interval.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range.
    TaskError
        If `fn` raises, or returns something else than real numbers of the right shape.
    EngineError
        If the engine fails, or the time is up.

    Notes
    -----
    The interval is mean ± t·s/√n, with Student's t of n - 1 degrees of freedom and the sample
    standard deviation s: exact for normal samples, asymptotic for any of finite variance.

    Examples
    --------
    >>> import scoopsci
    >>> result = scoopsci.estimate(lambda rng, size: rng.exponential(size=size), 100_000,
    ...                            seed=1, engine="serial")
    >>> print(result)
    1.0030 ± 0.0062 (95 %), 100,000 samples
    """
    if not callable(fn):
        raise TypeError(f"fn must be callable as fn(rng, size), got {fn!r}")
    what = {"workload": "estimate", "code": hash_code(fn)}
    return _estimate_mean(fn, n_samples, seed, block_size, confidence, what, run)


def _estimate_mean(
    fn: Callable[[np.random.Generator, int], ArrayLike],
    n_samples: int,
    seed: int | None,
    block_size: int,
    confidence: float,
    what: dict[str, Any],
    run: RunOptions,
    **more_options: Any,
) -> Estimate:
    seed, confidence = check_seed(seed), check_fraction("confidence", confidence)
    n_samples = check_count("n_samples", n_samples)
    block_size = check_count("block_size", block_size)
    run_block = _SampleBlock(fn, seed, block_size, n_samples)
    what = {**what, "stream": STREAM}
    size = {"n_samples": n_samples, "seed": seed, "block_size": block_size, **more_options}
    n_blocks = -(-n_samples // block_size)
    moments, done = fold_run(
        CallEach(run_block),
        Moments.merge,
        range(n_blocks),
        run,
        identity={**what, **size},
        n_blocks=n_blocks,
    )
    notes = find_doubts(moments)
    for note in notes:
        warnings.warn(note, DoubtfulEstimateWarning, stacklevel=3)
    result = student_interval(moments, confidence)
    common: dict[str, Any] = {
        "confidence": confidence,
        "n_samples": n_samples,
        "n_blocks": n_blocks,
        "seed": seed,
    }
    receipt = make_receipt(
        **what,
        options={**common, **size},
        result={**result, "notes": list(notes)},
        **done,
    )
    return Estimate(**result, **common, **_summary(done), notes=notes, receipt=receipt)


def integrate(
    f: Callable[[Floats], ArrayLike],
    lower: ArrayLike,
    upper: ArrayLike,
    n_samples: int,
    *,
    dim: int | None = None,
    seed: int | None = None,
    block_size: int = BLOCK_SIZE,
    confidence: float = 0.95,
    **run: Unpack[RunOptions],
) -> Estimate:
    """Integrate a function over a box.

    Parameters
    ----------
    f : callable
        ``f(x)`` of points of shape ``(n, dim)``; returns shape ``(n,)``, or ``(n, k)`` for k
        integrals over the same box.
    lower, upper : float or array_like, shape (dim,)
        Corners of the box.
    n_samples : int
        Number of points.
    dim : int, optional
        Number of dimensions, where both corners are given as one number.
    seed, block_size, confidence
        See `estimate`.
    **run
        See `RunOptions`.

    Returns
    -------
    Estimate
        The integral.

    Raises
    ------
    ValueError, TypeError, TaskError, EngineError
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
    low, high = _check_box(lower, upper, dim)
    fn = _BoxSampler(f, low, high)
    what = {"workload": "integrate", "code": hash_code(f)}
    return _estimate_mean(
        fn, n_samples, seed, block_size, confidence, what, run, lower=low, upper=high
    )


def pi(
    n_points: int,
    *,
    seed: int | None = None,
    block_size: int = PI_BLOCK_SIZE,
    confidence: float = 0.95,
    **run: Unpack[RunOptions],
) -> PiEstimate:
    """Estimate π by points in the unit square, counting those inside the quarter circle.

    Parameters
    ----------
    n_points : int
        Number of points.
    seed, block_size, confidence
        See `estimate`.
    **run
        See `RunOptions`.

    Returns
    -------
    PiEstimate
        With Wilson's interval.

    Raises
    ------
    ValueError, TypeError, EngineError
        See `estimate`.

    Notes
    -----
    Wilson's score interval [1]_ covers also where all points or none are inside. About 4 ns a
    point on one core.

    References
    ----------
    .. [1] E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
       Journal of the American Statistical Association 22 (1927) 209-212,
       doi:10.1080/01621459.1927.10502953.

    Examples
    --------
    >>> import scoopsci
    >>> scoopsci.pi(1_000_000, seed=7, engine="serial").n_inside
    785351
    """
    seed, confidence = check_seed(seed), check_fraction("confidence", confidence)
    n_points = check_count("n_points", n_points)
    block_size = check_count("block_size", block_size)
    n_blocks = -(-n_points // block_size)
    run_block = _CircleBlock(seed, block_size, n_points)
    what = {"workload": "pi", "code": "scoopsci.pi, version 1", "stream": STREAM}
    size = {"n_points": n_points, "seed": seed, "block_size": block_size}
    n_inside, done = fold_run(
        CallEach(run_block),
        operator.add,
        range(n_blocks),
        run,
        identity={**what, **size},
        n_blocks=n_blocks,
    )
    result = wilson_interval(n_inside, n_points, confidence, scale=4.0)
    common: dict[str, Any] = {"confidence": confidence, "n_blocks": n_blocks, "seed": seed}
    receipt = make_receipt(
        **what,
        options={**common, **size},
        result={**result, "n_inside": n_inside},
        **done,
    )
    return PiEstimate(
        **result, **common, **_summary(done), n_samples=n_points, n_inside=n_inside, receipt=receipt
    )


def _summary(done: dict[str, Any]) -> dict[str, Any]:
    return {key: done[key] for key in ("engine", "n_workers", "elapsed_s")}


@dataclass(frozen=True, slots=True)
class _CircleBlock:
    """Counts the points of one block inside the quarter circle."""

    seed: int
    block_size: int
    n_points: int

    def __call__(self, block: int) -> int:
        rng = block_generator(self.seed, block)
        remaining = min(self.block_size, self.n_points - block * self.block_size)
        n_inside = 0
        while remaining:
            batch = rng.random((2, min(remaining, PI_BATCH_SIZE)))
            np.square(batch, out=batch)
            n_inside += int(np.count_nonzero(batch[0] + batch[1] <= 1.0))
            remaining -= batch.shape[1]
        return n_inside


@dataclass(frozen=True, slots=True)
class _SampleBlock:
    """Draws the samples of one block with a user's function."""

    fn: Callable[[np.random.Generator, int], ArrayLike]
    seed: int
    block_size: int
    n_samples: int

    def __call__(self, block: int) -> Moments:
        size = min(self.block_size, self.n_samples - block * self.block_size)
        drawn = self.fn(block_generator(self.seed, block), size)
        if np.ma.is_masked(drawn):
            raise TypeError("samples must not be masked; leave out or replace what is masked")
        samples = np.asarray(drawn)
        if samples.dtype.kind not in "buif":
            raise TypeError(f"samples must be real numbers, got an array of {samples.dtype}")
        if samples.ndim not in (1, 2) or len(samples) != size or samples.size == 0:
            raise ValueError(
                f"samples must be of shape (size,) or (size, k) with size = {size}, "
                f"got shape {samples.shape}"
            )
        return Moments.of(samples.astype(np.float64, copy=False))


@dataclass(frozen=True, slots=True)
class _BoxSampler:
    """Samples an integrand, uniformly over a box and weighted with its volume."""

    f: Callable[[Floats], ArrayLike]
    lower: Floats
    upper: Floats

    def __call__(self, rng: np.random.Generator, size: int) -> ArrayLike:
        x = self.lower + (self.upper - self.lower) * rng.random((size, len(self.lower)))
        values = np.asarray(self.f(x))
        if values.dtype.kind not in "buif":
            return values  # refused by the block, with its dtype
        # A product in the order of the axes: np.prod may choose another one on another machine.
        volume = 1.0
        for width in (self.upper - self.lower).tolist():
            volume *= width
        return values.astype(np.float64) * volume


def _check_box(lower: ArrayLike, upper: ArrayLike, dim: int | None) -> tuple[Floats, Floats]:
    try:
        low, high = (np.atleast_1d(np.asarray(c, dtype=np.float64)) for c in (lower, upper))
    except (TypeError, ValueError):
        raise TypeError(
            f"lower and upper must be numbers, or arrays of them, got {lower!r} and {upper!r}"
        ) from None
    n_dim = max(len(low), len(high)) if dim is None else check_count("dim", dim)
    if low.ndim > 1 or high.ndim > 1 or {len(low), len(high)} - {1, n_dim} or n_dim < 1:
        raise ValueError(
            f"lower and upper must be numbers or of shape ({n_dim},), "
            f"got shapes {np.shape(lower)} and {np.shape(upper)}"
        )
    low, high = np.broadcast_to(low, n_dim).copy(), np.broadcast_to(high, n_dim).copy()
    with np.errstate(all="ignore"):
        usable = np.isfinite(low) & np.isfinite(high) & (low < high) & np.isfinite(high - low)
    if not usable.all():
        raise ValueError(
            "lower and upper must be finite and so must their distance, each lower bound below "
            f"its upper one, got {low.tolist()} and {high.tolist()}"
        )
    return low, high


if __name__ == "__main__":
    from scoopsci.cli import run_script

    run_script("pi")
