"""Blocks, aligned ranges, and the fixed tree in which partials are merged.

A range is an aligned run of blocks, [k·2^j, (k+1)·2^j): a node of one binary tree over the block
index. Two ranges are nested or disjoint, so partials of ranges of any size, from any worker and
in any order, merge to the same bits.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from typing import Generic, NamedTuple, TypeVar

__all__ = ["Fold", "Range", "split_into_ranges"]

P = TypeVar("P")


class Range(NamedTuple):
    """An aligned run of blocks: its size is a power of two and divides its start.

    Attributes
    ----------
    start, stop : int
        First block, and the one behind the last.
    """

    start: int
    stop: int

    @property
    def size(self) -> int:
        """Number of blocks."""
        return self.stop - self.start

    @property
    def sibling(self) -> Range:
        """The other half of the parent range."""
        start = self.start ^ self.size
        return Range(start, start + self.size)

    def check(self) -> Range:
        """Return the range itself.

        Raises
        ------
        ValueError
            If it is not aligned.
        """
        size = self.size
        if self.start < 0 or size < 1 or size & (size - 1) or self.start % size:
            raise ValueError(
                "a range must be [k·2^j, (k+1)·2^j) with k, j >= 0, "
                f"got [{self.start}, {self.stop})"
            )
        return self


def split_into_ranges(start: int, stop: int) -> Iterator[Range]:
    """Split consecutive blocks into the fewest aligned ranges.

    Parameters
    ----------
    start, stop : int
        First block, and the one behind the last.

    Yields
    ------
    Range
        In ascending order; at most 2·log2(stop - start) + 1 of them.

    Examples
    --------
    >>> [tuple(r) for r in split_into_ranges(3, 12)]
    [(3, 4), (4, 8), (8, 12)]
    """
    if start < 0:
        raise ValueError(f"start must not be negative, got {start}")
    while start < stop:
        largest_aligned = start & -start or 1 << (stop - start).bit_length()
        largest_fitting = 1 << (stop - start).bit_length() - 1
        size = min(largest_aligned, largest_fitting)
        yield Range(start, start + size)
        start += size


class Fold(Generic[P]):
    """Merge partials of ranges, added in any order, along the fixed tree.

    Memory holds one partial for each maximal range that is complete: log2(n) of them once the
    first n blocks are in, and one or so for each range that came early.

    Parameters
    ----------
    merge : callable
        ``merge(left, right)``; the left partial is always that of the lower blocks.

    Examples
    --------
    >>> fold = Fold(lambda left, right: f"({left}{right})")
    >>> for block in (2, 0, 1, 4):
    ...     _ = fold.add(Range(block, block + 1), str(block))
    >>> fold.add(Range(0, 1), "again"), fold.add(Range(3, 4), "3")
    (False, True)
    >>> fold.result()
    '(((01)(23))4)'
    """

    def __init__(self, merge: Callable[[P, P], P]) -> None:
        self._merge = merge
        self._starts: list[int] = []  # ascending; the ranges held are disjoint
        self._held: dict[int, tuple[Range, P]] = {}
        self.n_blocks = 0

    def __iter__(self) -> Iterator[tuple[Range, P]]:
        """Yield the maximal ranges with their partials, in block order."""
        return (self._held[start] for start in self._starts)

    def covers(self, blocks: Range) -> bool:
        """Tell whether every block of a range has been counted."""
        position = bisect_right(self._starts, blocks.start) - 1
        return position >= 0 and self._held[self._starts[position]][0].stop >= blocks.stop

    def add(self, blocks: Range, partial: P) -> bool:
        """Count a range, unless it has been counted already.

        Parameters
        ----------
        blocks : Range
            The range.
        partial : object
            Its partial.

        Returns
        -------
        bool
            False if the range had been counted before, and nothing changed.

        Raises
        ------
        ValueError
            If the range is not aligned.
        """
        blocks.check()
        if self.covers(blocks):
            return False
        while (held := self._held.get(blocks.sibling.start)) and held[0] == blocks.sibling:
            sibling, other = held
            if sibling.start < blocks.start:
                blocks, partial = Range(sibling.start, blocks.stop), self._merge(other, partial)
            else:
                blocks, partial = Range(blocks.start, sibling.stop), self._merge(partial, other)
        # Besides those merged, parts of the range may have come before: the whole has their bits.
        first, stop = (bisect_left(self._starts, block) for block in blocks)
        for start in self._starts[first:stop]:
            self.n_blocks -= self._held.pop(start)[0].size
        self._starts[first:stop] = [blocks.start]
        self._held[blocks.start] = blocks, partial
        self.n_blocks += blocks.size
        return True

    def result(self) -> P:
        """Merge what the tree lacks the right-hand parts for, and return the whole.

        Returns
        -------
        object
            The partial of the blocks 0 to ``n_blocks`` - 1.

        Raises
        ------
        ValueError
            If there is no block, or one is missing in between.
        """
        ranges = list(self)
        expected = 0
        for blocks, _ in ranges:
            if blocks.start != expected:
                break
            expected = blocks.stop
        if not ranges or expected != ranges[-1][0].stop:
            raise ValueError(
                f"every block must be counted before the result, {expected} is missing"
            )
        (_, whole) = ranges.pop()
        while ranges:
            (_, left) = ranges.pop()
            whole = self._merge(left, whole)
        return whole
