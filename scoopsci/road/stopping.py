"""When a run may stop: the blocks between two checks, and the criterion of a check.

A run by tolerance draws blocks until its error bar is short enough. It checks at fixed block
indices, so that the number of samples depends on the samples alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
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

#: Samples before the first check, unless a minimum is given: error bars from fewer are rough.
MIN_SAMPLES = 1000

#: An error of zero ends a run at this many times the minimum: as exact, or as no information.
EQUAL_FACTOR = 64

#: Python's sequences cannot be much longer.
MOST_BLOCKS = 1 << 62


@dataclass(frozen=True, kw_only=True, slots=True)
class Goal:
    """An error bar to be reached.

    Attributes
    ----------
    half_width : float
        Upper limit of half the width of the interval.
    relative : bool
        Whether that is a share of the estimate's absolute value.
    min_samples : int
        Samples before the first check.
    max_samples : int or None
        Samples after which the run ends without reaching the goal; None for no limit.
    exact_ok : bool
        Whether an error of zero reaches the goal, after `n_equal` samples.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range.

    Notes
    -----
    The rule of Chow and Robbins [1]_, and for a relative width that of Nádas [2]_: stop at the
    first check at which the interval is short enough. Its coverage is asymptotic: it tends to the
    confidence as the half-width tends to 0, and is somewhat lower for wide intervals.

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
    exact_ok: bool = False

    def __post_init__(self) -> None:
        check_positive("half_width", self.half_width)
        for name in ("relative", "exact_ok"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be True or False, got {getattr(self, name)!r}")
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
        return {f"goal_{name}": value for name, value in asdict(self).items()}

    @property
    def n_equal(self) -> int:
        """Number of samples after which a run without any error so far ends."""
        return EQUAL_FACTOR * self.min_samples

    def excess(self, n_samples: int, value: Any, half_width: Any) -> float:
        """Return how many times too wide an interval is; at most 1 if it reaches the goal.

        Parameters
        ----------
        n_samples : int
            Number of samples.
        value, half_width : float or ndarray
            The estimate. Every component of a vector must reach the goal.

        Returns
        -------
        float
            Infinite if a half-width is zero, which is no information, unless it may be exact; and
            for a relative goal if an estimate is zero.
        """
        half_width = np.asarray(half_width)
        allowed = self.half_width * (np.abs(value) if self.relative else np.ones_like(value))
        with np.errstate(all="ignore"):
            ratio = half_width / allowed
        overflown = np.isinf(ratio) & np.isfinite(half_width) & (allowed > 0)
        ratio = np.where(overflown, np.finfo(float).max, ratio)
        is_exact = self.exact_ok and n_samples >= self.n_equal
        ratio = np.where(half_width == 0, 0.0 if is_exact else np.inf, ratio)
        return float(np.max(np.where(allowed == 0, np.inf, ratio)))

    def explain_zero(self, value: Any) -> tuple[str, str]:
        """Return why an error of zero does not reach the goal, and a remedy."""
        if self.relative and np.any(np.asarray(value) == 0):
            remedy = "give an absolute half-width, or raise min_samples= for a rare event"
            return "the estimate is zero, to which no half-width is relative", remedy
        return (
            "the samples show no error, which is no information",
            "return bool if they are hits and misses, raise min_samples= for a rare event, or pass "
            "exact_ok=True if the estimate is exact",
        )


def next_check(n_blocks: int, *, unit: int = 1, per_doubling: int = 4) -> int:
    """Return the first check after a number of blocks.

    Parameters
    ----------
    n_blocks : int
        Number of blocks.
    unit : int
        Checks lie at multiples of this many blocks.
    per_doubling : int
        Number of checks from one power of two to the next, itself a power of two.

    Returns
    -------
    int
        Number of blocks before the check: ``unit`` times m·2^j, with m from ``per_doubling`` to
        twice that.

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
        First block, and the one after the last.
    block_size : int
        Samples in a block.
    n_samples : int or None
        Samples of the run, which may shorten its last block; None for no limit.
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
    """Describe the block sizes of a range; all are equal, since a shortened block is alone.

    Examples
    --------
    >>> describe_sizes([4096, 4096])
    '4096'
    """
    return " ".join(map(str, sorted(set(sizes))))


class Supply:
    """The blocks that a run may draw, supplied as far as they are needed.

    Chunks end at checks, and a shortened last block is a chunk of its own: so no partial spans a
    check, and the recorded ones can be used by runs that stop elsewhere.

    Parameters
    ----------
    block_size : int
        Samples in a block.
    n_samples : int or None
        Maximum number of samples.
    unit, per_doubling : int
        Positions of the checks; see `next_check`.

    Attributes
    ----------
    block_size : int
        Samples in a block.
    n_blocks : int or None
        Maximum number of blocks; None for no limit.
    n_wanted : int
        Blocks supplied for now; see `want`.
    """

    def __init__(
        self, block_size: int, n_samples: int | None, *, unit: int = 1, per_doubling: int = 4
    ) -> None:
        if n_samples is not None and n_samples // block_size >= MOST_BLOCKS:
            raise ValueError(
                f"a run has fewer than 2**62 blocks, got {n_samples} samples in blocks of "
                f"{block_size}; draw fewer, or take larger blocks"
            )
        self.block_size = block_size
        self._sizes = block_size, n_samples
        self._checks = {"unit": unit, "per_doubling": per_doubling}
        self.n_blocks = None if n_samples is None else -(-n_samples // block_size)
        self.n_wanted = self.n_blocks or 0

    def next_check(self, n_blocks: int) -> int:
        """Return the first check after a number of blocks, at most the end of the run."""
        check = next_check(n_blocks, **self._checks)
        return check if self.n_blocks is None else min(check, self.n_blocks)

    def count_samples(self, n_blocks: int) -> int:
        """Return the number of samples in the first blocks."""
        block_size, n_samples = self._sizes
        whole = n_blocks * block_size
        return whole if n_samples is None else min(whole, n_samples)

    def want(self, n_blocks: int) -> None:
        """Supply at least this many blocks."""
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
                ends.append(n_samples // block_size)  # a shortened block is a separate chunk
            stop = min(ends)
        return BlockSizes(start, max(start, stop), block_size, n_samples)
