"""Randomised quasi-Monte Carlo: scrambled Sobol' points, in independent scrambles."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from itertools import islice
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoopsci.basics.interrupts import uninterrupted

__all__ = [
    "MOST_POINTS",
    "N_SCRAMBLES",
    "POINTS_PER_BLOCK",
    "SOBOL_STREAM",
    "check_dim",
    "fingerprint",
    "scrambled_blocks",
    "scrambled_points",
]

#: Identity of the points; part of every receipt.
SOBOL_STREAM = (
    "scipy.stats.qmc.Sobol of 32 bits, SeedSequence(seed, spawn_key=(scramble,)), version 1"
)

#: Independent scrambles: with fewer, the error itself is poorly estimated.
N_SCRAMBLES = 16

#: Points of each scramble in a block: 4,096 in all, so that a run by half-width may end as early.
POINTS_PER_BLOCK = 256

#: Most coordinates computed in advance: SciPy takes 10 µs to compute any number of points.
MOST_AHEAD = 1 << 18

#: Bits of a coordinate: with more, SciPy 1.17 cannot skip points.
N_BITS = 32

#: Points of a scramble.
MOST_POINTS = 1 << N_BITS


def scrambled_blocks(
    seed: int, n_scrambles: int, dim: int, start: int, sizes: Iterator[int]
) -> Iterator[NDArray[np.float64]]:
    """Yield the points of consecutive blocks, each of which continues all scrambles.

    Parameters
    ----------
    seed, n_scrambles, dim : int
        Entropy of the run, number of scrambles, number of dimensions.
    start : int
        Index of the first block.
    sizes : iterator of int
        Number of points of each block, the same for all.

    Yields
    ------
    ndarray of float64, shape (size, dim)
        The points of the first scramble, then those of the next.
    """
    for size in sizes:
        n_ahead = max(0, MOST_AHEAD // (size * dim) - 1)
        n_blocks = 1 + sum(1 for _ in islice(sizes, n_ahead))
        n = size // n_scrambles
        sets = [
            scrambled_points(seed, scramble, dim, start * n, n_blocks * n)
            for scramble in range(n_scrambles)
        ]
        for first in range(0, n_blocks * n, n):
            yield np.concatenate([points[first : first + n] for points in sets])
        start += n_blocks


def scrambled_points(
    seed: int, scramble: int, dim: int, start: int, size: int
) -> NDArray[np.float64]:
    """Return consecutive points of a scrambled Sobol' sequence.

    Parameters
    ----------
    seed : int
        Entropy of the run.
    scramble : int
        Which of the independent scrambles.
    dim : int
        Number of dimensions.
    start, size : int
        Index of the first point, and the number of points.

    Returns
    -------
    ndarray of float64, shape (size, dim)
        Each point is uniform in the unit cube, on the centres of 2**32 cells along each axis: 0,
        whose quantile may be infinite, does not occur.

    Notes
    -----
    The direction numbers of Joe and Kuo [1]_, a random linear scramble and a digital shift [2]_, by
    SciPy. Skipping a point takes about 1 ns per dimension; a process continues its last sequence.

    References
    ----------
    .. [1] S. Joe, F. Y. Kuo, "Constructing Sobol sequences with better two-dimensional
       projections", SIAM Journal on Scientific Computing 30 (2008) 2635-2654,
       doi:10.1137/070709359.
    .. [2] J. Matoušek, "On the L2-discrepancy for anchored boxes", Journal of Complexity 14 (1998)
       527-556, doi:10.1006/jcom.1998.0489.
    """
    with _lock:  # threads share the sequences
        sequence = _find_sequence(seed, scramble, dim)
        if sequence.num_generated > start:
            sequence.reset()
        if sequence.num_generated < start:
            sequence.fast_forward(start - sequence.num_generated)
        points: NDArray[np.float64] = sequence.random(size)
    points += 0.5 / 2**N_BITS
    return points


_lock = Lock()
_sequences: dict[tuple[int, int], dict[int, Any]] = {}


@cache
def _import_sobol() -> Any:
    with uninterrupted():
        from scipy.stats.qmc import Sobol
    return Sobol


def _find_sequence(seed: int, scramble: int, dim: int) -> Any:
    """Return a sequence as it was left; those of one run are kept, 0.4 kB per dimension each."""
    if (seed, dim) not in _sequences:
        _sequences.clear()
    kept = _sequences.setdefault((seed, dim), {})
    if scramble not in kept:
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(scramble,)))
        kept[scramble] = _import_sobol()(dim, scramble=True, bits=N_BITS, rng=rng)
    return kept[scramble]


def check_dim(dim: int) -> None:
    """Raise a `ValueError` if SciPy has no Sobol' points in `dim` dimensions."""
    most = _import_sobol().MAXDIM
    if dim > most:
        raise ValueError(f"dim must be at most {most} for qmc, got {dim}; use method='mc'")


@cache
def fingerprint() -> str:
    """Hash some points of this host's SciPy: its versions may scramble differently."""
    points = scrambled_points(0, 0, 3, 0, 8)
    return "sobol-" + hashlib.sha256(points.tobytes()).hexdigest()[:8]
