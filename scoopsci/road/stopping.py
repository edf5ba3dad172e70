"""When a run may stop: the blocks between two checks, and what a check asks.

A run by tolerance draws blocks until its error bar is as short as was asked for. It looks after
block indices that are fixed, so that the number of samples depends on the samples alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from scoopsci.basics.arguments import check_count, check_positive

__all__ = [
    "MIN_SAMPLES",
    "MOST_BLOCKS",
    "BlockSizes",
    "Goal",
    "Supply",
    "describe_sizes",
    "next_check",
]

#: Samples before the first check, where no other minimum is given: error bars from fewer are rough.
MIN_SAMPLES = 1000

#: Equal samples show no error at all; so many times the minimum must be equal to be believed.
EQUAL_FACTOR = 64

#: Python's own sequences have no longer ones.
MOST_BLOCKS = 1 << 62


@dataclass(frozen=True, kw_only=True, slots=True)
class Goal:
    """An error bar to be reached.

    Attributes
    ----------
    half_width : float
        Half the width of the interval, at most.
    relative : bool
        Whether that is a share of the estimate's absolute value.
    min_samples : int
        Samples before the first check.
    max_samples : int or None
        Samples after which the run gives up.

    Raises
    ------
    ValueError, TypeError
        If one is out of range.

    Notes
    -----
    The rule of Chow and Robbins [1]_, and for a relative width that of Nádas [2]_: stop at the
    first check at which the interval is as short as asked for. Its coverage is asymptotic: it tends
    to the confidence as the half-width tends to 0, and is somewhat below for wide ones.

    References
    ----------
    .. [1] Y. S. Chow, H. Robbins, "On the asymptotic theory of fixed-width sequential confidence
       intervals for the mean", The Annals of Mathematical Statistics 36 (1965) 457-462,
       doi:10.1214/aoms/1177700156.
    .. [2] A. Nádas, "An extension of a theorem of Chow and Robbins on sequential confidence
       intervals for the mean", The Annals of Mathematical Statistics 40 (1969) 667-671,
       doi:10.1214/aoms/1177697740.
    """

    half_width: float
    relative: bool = False
    min_samples: int = MIN_SAMPLES
    max_samples: int | None = None

    def __post_init__(self) -> None:
        check_positive("half_width", self.half_width)
        if not isinstance(self.relative, bool):
            raise TypeError(f"relative must be True or False, got {self.relative!r}")
        check_count("min_samples", self.min_samples, least=2)
        if self.max_samples is not None:
            check_count("max_samples", self.max_samples)
            if self.max_samples < self.min_samples:
                raise ValueError(
                    f"max_samples must be at least min_samples = {self.min_samples}, "
                    f"got {self.max_samples}"
                )

    def describe(self) -> dict[str, Any]:
        """Return it as plain values, for receipts."""
        names = ("half_width", "relative", "min_samples", "max_samples")
        return {f"goal_{name}": getattr(self, name) for name in names}

    def excess(self, n_samples: int, value: Any, half_width: Any) -> float:
        """Return how many times too wide an interval is; at most 1 where it will do.

        Parameters
        ----------
        n_samples : int
            Number of samples.
        value, half_width : float or ndarray
            The estimate. Of a vector, every component must reach the goal.

        Returns
        -------
        float
            Infinite where samples that are all equal show no error yet.
        """
        allowed = self.half_width * (np.abs(value) if self.relative else np.ones_like(value))
        if np.any(np.asarray(half_width) == 0) and n_samples < EQUAL_FACTOR * self.min_samples:
            return np.inf
        with np.errstate(all="ignore"):
            ratio = np.where(np.asarray(half_width) == 0, 0.0, half_width / allowed)
        overflown = np.isinf(ratio) & np.isfinite(half_width) & (allowed > 0)
        ratio = np.where(overflown, np.finfo(float).max, ratio)
        return float(np.max(ratio))


def next_check(n_blocks: int, *, unit: int = 1, per_doubling: int = 4) -> int:
    """Return the first check after so many blocks.

    Parameters
    ----------
    n_blocks : int
        Number of blocks.
    unit : int
        Checks lie at multiples of so many blocks.
    per_doubling : int
        Checks from one power of two to the next, itself a power of two.

    Returns
    -------
    int
        Number of blocks before the check: ``unit`` times m·2^j, with m from ``per_doubling`` up to
        twice as many.

    Examples
    --------
    >>> checks = [1]
    >>> while checks[-1] < 32:
    ...     checks.append(next_check(checks[-1]))
    >>> checks
    [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32]
    """
    n_units = n_blocks // unit + 1
    step = 1 << max(0, (n_units - 1).bit_length() - per_doubling.bit_length())
    return -(-n_units // step) * step * unit


@dataclass(frozen=True, slots=True)
class BlockSizes:
    """The number of samples in each of consecutive blocks.

    Attributes
    ----------
    start, stop : int
        First block, and the one behind the last.
    block_size : int
        Samples in a block.
    n_samples : int or None
        Samples of the run, at which its last block is cut short; None for no end.
    """

    start: int
    stop: int
    block_size: int
    n_samples: int | None = None

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, part: slice) -> BlockSizes:
        start, stop, _ = part.indices(len(self))
        first = self.start
        return BlockSizes(first + start, first + stop, self.block_size, self.n_samples)

    def __iter__(self) -> Iterator[int]:
        for block in range(self.start, self.stop):
            rest = self.block_size
            if self.n_samples is not None:
                rest = min(rest, self.n_samples - block * self.block_size)
            yield rest


def describe_sizes(sizes: Iterable[int]) -> str:
    """Describe the sizes of the blocks of a range: all are equal, as a block cut short is alone.

    Examples
    --------
    >>> describe_sizes([4096, 4096])
    '4096'
    """
    return " ".join(map(str, sorted(set(sizes))))


class Supply:
    """The blocks that a run may have, handed out as far as they are needed.

    Chunks end at checks, so that every partial lies on one side of each, and so does a last block
    that is cut short: whatever is recorded serves runs that stop elsewhere.

    Parameters
    ----------
    block_size : int
        Samples in a block.
    n_samples : int or None
        Samples of the run, at most.
    unit, per_doubling : int
        Where the checks lie; see `next_check`.

    Attributes
    ----------
    n_blocks : int or None
        Blocks in all, if there is an end.
    n_wanted : int
        Blocks that are handed out for now; the run moves it on.
    """

    def __init__(
        self, block_size: int, n_samples: int | None, *, unit: int = 1, per_doubling: int = 4
    ) -> None:
        if n_samples is not None and n_samples // block_size >= MOST_BLOCKS:
            raise ValueError(
                f"a run has fewer than 2**62 blocks, got {n_samples} samples in blocks of "
                f"{block_size}; draw fewer, or take larger blocks"
            )
        self._sizes = block_size, n_samples
        self._checks = {"unit": unit, "per_doubling": per_doubling}
        self.n_blocks = None if n_samples is None else -(-n_samples // block_size)
        self.n_wanted = self.n_blocks or 0

    def next_check(self, n_blocks: int) -> int:
        """Return the first check after so many blocks, the end of the run at the latest."""
        check = next_check(n_blocks, **self._checks)
        return check if self.n_blocks is None else min(check, self.n_blocks)

    def count_samples(self, n_blocks: int) -> int:
        """Return how many samples the first blocks have."""
        block_size, n_samples = self._sizes
        whole = n_blocks * block_size
        return whole if n_samples is None else min(whole, n_samples)

    def want(self, n_blocks: int) -> None:
        """Hand out at least so many blocks."""
        if self.n_blocks is not None:
            n_blocks = min(n_blocks, self.n_blocks)
        self.n_wanted = max(self.n_wanted, n_blocks)

    def __len__(self) -> int:
        return self.n_wanted

    def __iter__(self) -> Iterator[int]:
        return iter(BlockSizes(0, self.n_wanted, *self._sizes))

    def __getitem__(self, part: slice) -> BlockSizes:
        start, stop, _ = part.indices(self.n_wanted)
        block_size, n_samples = self._sizes
        if start < stop:
            ends = [stop, self.next_check(start)]
            if n_samples is not None and start < n_samples // block_size:
                ends.append(n_samples // block_size)  # a block that is cut short is by itself
            stop = min(ends)
        return BlockSizes(start, max(start, stop), block_size, n_samples)
