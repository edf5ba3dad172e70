"""Inner loops for points in the quarter circle, counted with integers.

Many generators run side by side, one in each lane of a vector. The loop exists in two forms, one in
NumPy and one compiled by numba, which do the same integer arithmetic and give the same counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from itertools import count as counting
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CIRCLE_STREAM",
    "N_LANES",
    "compile_counter",
    "count_inside",
    "count_inside_numpy",
    "derive_key",
    "seed_lanes",
]

#: Identity of the points; part of every receipt. New bits need a new version.
CIRCLE_STREAM = (
    "SFC64, lanes (k0, k1, 4096·block + lane), 18 steps unused, k = SeedSequence(seed); two points "
    "of an output; version 2"
)

#: Generators side by side: enough to hide NumPy's 0.4 µs per call, few enough for the cache.
N_LANES = 4096

#: Lanes that the compiled form keeps in registers: 32 took 0.25 ns a point, 8 far more.
N_IN_REGISTERS = 32

#: 64-bit words in a cache line, which an AVX-512 vector fills.
WORDS_OF_A_LINE = 8

#: Discarded outputs. The author's own seeding takes 12 or 18 to mix three words.
N_MIXING = 18

#: Mask of the upper 16 bits of each half of an output.
UPPER_OF_HALVES = 0xFFFF0000FFFF0000

#: Loading the compiled form takes 0.35 s, in which the other form counts this many points.
COMPILE_AFTER = 1 << 26

_n_counted = 0


def derive_key(seed: int) -> tuple[int, int]:
    """Return the two words that all lanes of a run share.

    Parameters
    ----------
    seed : int
        Entropy of the run.

    Returns
    -------
    tuple of two int
        Of 64 bits each, hashed from the seed.
    """
    first, second = np.random.SeedSequence(seed).generate_state(2, np.uint64).tolist()
    return first, second


def count_inside(key: tuple[int, int], block: int, n_points: int) -> int:
    """Count the random points of a block that lie inside the quarter circle.

    Parameters
    ----------
    key : tuple of two int
        See `derive_key`.
    block : int
        Index of the block, below 2**52.
    n_points : int
        Number of points.

    Returns
    -------
    int
        The count, the same by both forms of the loop.

    Notes
    -----
    Lane l of block b is the generator SFC64 [1]_ with the state (k0, k1, 4096 b + l) and the
    counter 1. A step is a bijection of state and counter, and all lanes take it in lockstep: lanes
    that differ at the start always differ, and no two streams of a run meet within the 2**64 steps
    of the counter. SFC64 passes PractRand, by the same author, on 32 TB and more [1]_, and NumPy
    provides it, too. The probability that two seeds share a key is 2**-128.

    An output gives two points. Its halves are the coordinates of the first, signed integers x and y
    of 32 bits; inside means x² + y² < 2**62, over the full circle, whose lattice points differ from
    its area by so little [2]_ that π changes by less than 1e-11. For the second point the upper and
    lower 16 bits of each half are swapped. Both points are uniform. The upper bits of a point
    decide whether it is inside, except in the cells at the rim, 6 of 100,000, so that the two
    points are independent but for these: their correlation is about -0.15 · 2**-16, or -2e-6, by
    which the error bar is too long (counted over all outputs of fewer bits in
    tests/statistics/test_streams.py). Points 8192 s to 8192 s + 4095 are the first points of the
    lanes in step s, the next 4096 their second points.

    The compiled form is used if numba is installed, once the process has counted enough points for
    loading it to pay.

    References
    ----------
    .. [1] C. Doty-Humphrey, "PractRand: RNG engines", https://pracrand.sourceforge.net.
    .. [2] M. N. Huxley, "Exponential sums and lattice points III", Proceedings of the London
       Mathematical Society 87 (2003) 591-609, doi:10.1112/S0024611503014485.
    """
    global _n_counted
    _n_counted += n_points
    compiled = compile_counter() if _n_counted > COMPILE_AFTER else None
    return (compiled or count_inside_numpy)(key, block, n_points)


def seed_lanes(key: tuple[int, int], block: int, n_lanes: int = N_LANES) -> NDArray[np.uint64]:
    """Return the initial states of the lanes of a block, before mixing.

    Parameters
    ----------
    key, block
        See `count_inside`.
    n_lanes : int
        Number of lanes, from the first.

    Returns
    -------
    ndarray of uint64, shape (3, n_lanes)
        The words a, b and c.
    """
    states = np.empty((3, n_lanes), np.uint64)
    states[0], states[1] = key
    states[2] = np.arange(n_lanes, dtype=np.uint64) + np.uint64(block * N_LANES)
    return states


def count_inside_numpy(key: tuple[int, int], block: int, n_points: int) -> int:
    """Count as `count_inside` does, in NumPy."""
    n_lanes = min(N_LANES, n_points)
    n_steps, n_rest = divmod(n_points, 2 * N_LANES)
    lanes = _Lanes(seed_lanes(key, block, n_lanes))
    for _ in range(N_MIXING):
        lanes.draw()
    n_outside = np.zeros(n_lanes, np.uint64)
    for _ in range(n_steps):
        for outside in lanes.find_outside():
            n_outside += outside
    for n_before, outside in zip((0, N_LANES), lanes.find_outside(), strict=True):
        part = slice(max(0, n_rest - n_before))
        n_outside[part] += outside[part]
    return n_points - int(n_outside.sum())


class _Lanes:
    """The lanes of a block, which step together."""

    def __init__(self, states: NDArray[np.uint64]) -> None:
        self._a, self._b, self._c = states
        self._counter = counting(1)
        self._drawn, self._scratch = np.empty_like(states[:2])
        self._x, self._y = np.empty(states[:2].shape, np.int64)

    def draw(self) -> NDArray[np.uint64]:
        """Return the next output of each lane, in an array that the next call reuses."""
        a, b, c, drawn, scratch = self._a, self._b, self._c, self._drawn, self._scratch
        np.add(a, b, out=drawn)
        np.add(drawn, np.uint64(next(self._counter)), out=drawn)
        np.right_shift(b, 11, out=a)
        np.bitwise_xor(a, b, out=a)
        np.left_shift(c, 3, out=b)
        np.add(b, c, out=b)
        np.right_shift(c, 40, out=scratch)
        np.left_shift(c, 24, out=c)
        np.bitwise_or(c, scratch, out=c)
        np.add(c, drawn, out=c)
        return drawn  # type: ignore[no-any-return]

    def find_outside(self) -> Iterator[NDArray[np.uint64]]:
        """Yield 1 for each lane whose next point is outside, else 0; then of the second points."""
        drawn = self.draw()
        yield self._test(drawn.view(np.int64))
        halves, turned = drawn.view(np.uint32), self._scratch.view(np.uint32)
        np.right_shift(halves, 16, out=turned)
        np.left_shift(halves, 16, out=halves)
        np.bitwise_or(halves, turned, out=halves)
        yield self._test(drawn.view(np.int64))

    def _test(self, drawn: NDArray[np.int64]) -> NDArray[np.uint64]:
        x, y = self._x, self._y
        np.right_shift(drawn, 32, out=x)
        np.left_shift(drawn, 32, out=y)
        np.right_shift(y, 32, out=y)
        np.multiply(x, x, out=x)
        np.multiply(y, y, out=y)
        np.add(x, y, out=x)
        squares = x.view(np.uint64)
        np.right_shift(squares, 62, out=squares)
        return squares  # type: ignore[no-any-return]


@cache
def compile_counter() -> Callable[[tuple[int, int], int, int], int] | None:
    """Return `count_inside` compiled by numba, or None if numba is not installed."""
    from scoopsci.estimation.compiled import compile_once, find_numba

    if find_numba() is None:
        return None
    u64, i64 = "uint64", "int64"
    loop = compile_once(_count_outside, f"{u64}({u64}, {u64}, {u64}, {i64})")

    def count(key: tuple[int, int], block: int, n_points: int) -> int:
        n_outside = loop(np.uint64(key[0]), np.uint64(key[1]), np.uint64(block * N_LANES), n_points)
        return n_points - int(n_outside)

    return count


def _count_outside(k0: Any, k1: Any, first_lane: Any, n_points: int) -> Any:
    """Count the points outside; compiled by numba, where every number here is a uint64."""
    n_outside = np.uint64(0)
    # A vector that spans two cache lines costs up to twice as much.
    words = np.empty(4 * N_IN_REGISTERS + WORDS_OF_A_LINE, np.uint64)
    start = -(words.ctypes.data // words.itemsize) % WORDS_OF_A_LINE
    lanes = words[start : start + 4 * N_IN_REGISTERS].reshape(4, N_IN_REGISTERS)
    # First points are counted in the lower half of a number, second ones in the upper.
    a, b, c, outside = lanes[0], lanes[1], lanes[2], lanes[3]
    n_steps, n_rest = n_points // (2 * N_LANES), n_points % (2 * N_LANES)
    for group in range(0, min(N_LANES, n_points), N_IN_REGISTERS):
        for i in range(N_IN_REGISTERS):
            a[i], b[i], c[i] = k0, k1, first_lane + np.uint64(group) + np.uint64(i)
        counter = np.uint64(1)
        n_first = min(max(n_rest - group, 0), N_IN_REGISTERS)
        n_second = min(max(n_rest - N_LANES - group, 0), N_IN_REGISTERS)
        # The lanes are mixed, take all full steps, and those with a part in the last step take it.
        for n, n_one, n_two in (
            (N_MIXING, 0, 0),
            (n_steps, N_IN_REGISTERS, N_IN_REGISTERS),
            (1, n_first, n_second),
        ):
            outside[:] = 0
            for _ in range(n):
                for i in range(N_IN_REGISTERS):
                    drawn = a[i] + b[i] + counter
                    a[i] = b[i] ^ (b[i] >> np.uint64(11))
                    b[i] = c[i] + (c[i] << np.uint64(3))
                    c[i] = ((c[i] << np.uint64(24)) | (c[i] >> np.uint64(40))) + drawn
                    x, y = np.int64(drawn) >> 32, np.int64(np.int32(drawn))
                    one = np.uint64(x * x + y * y) >> np.uint64(62)
                    upper = (drawn << np.uint64(16)) & np.uint64(UPPER_OF_HALVES)
                    turned = upper | ((drawn >> np.uint64(16)) & ~np.uint64(UPPER_OF_HALVES))
                    x, y = np.int64(turned) >> 32, np.int64(np.int32(turned))
                    two = np.uint64(x * x + y * y) >> np.uint64(62)
                    outside[i] += one + (two << np.uint64(32))
                counter += np.uint64(1)
            for i in range(n_one):
                n_outside += outside[i] & np.uint64(0xFFFFFFFF)
            for i in range(n_two):
                n_outside += outside[i] >> np.uint64(32)
    return n_outside
