"""Blocks, aligned ranges, and the fixed tree in which partials are merged.

A range is an aligned run of blocks, [k·2^j, (k+1)·2^j): a node of one binary tree over the block
index. Two ranges are nested or disjoint, so partials of ranges of any size, from any worker and
in any order, merge to the same bits.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, NamedTuple, TypeVar

__all__ = ["Fold", "MergeError", "Prefixes", "Range", "merge_consecutive", "split_into_ranges"]

P = TypeVar("P")


class Range(NamedTuple):
    """An aligned range of blocks: its size is a power of two and divides its start.

    Attributes
    ----------
    start, stop : int
        Index of the first block, and of the one after the last.
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
        """Return the range itself, or raise a ValueError if it is not aligned."""
        size = self.size
        if self.start < 0 or size < 1 or size & (size - 1) or self.start % size:
            raise ValueError(
                "a range must be [k·2^j, (k+1)·2^j) with k, j >= 0, "
                f"got [{self.start}, {self.stop})"
            )
        return self


def split_into_ranges(start: int, stop: int) -> Iterator[Range]:
    """Split consecutive blocks into the fewest aligned ranges.

    They ascend; there are at most 2·log2(stop - start) + 1.

    Parameters
    ----------
    start, stop : int
        Index of the first block, and of the one after the last.

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


class MergeError(Exception):
    """A merge of two partials raised the exception that is the argument."""

    def __str__(self) -> str:
        return f"blocks cannot be merged: {self.args[0]!r}"


def merge_consecutive(
    merge: Callable[[P, P], P], start: int, partials: Iterable[P]
) -> Iterator[tuple[Range, P]]:
    """Yield the partials of maximal ranges, in block order, with the same bits as `Fold`.

    Ranges merge as in a binary counter: log2(n) partials are held, and each block takes about
    0.1 µs.

    Parameters
    ----------
    merge : callable
        ``merge(left, right)`` of two partials.
    start : int
        Index of the first block.
    partials : iterable
        One for each block. If it raises, the blocks before the error are yielded first.

    Raises
    ------
    MergeError
        At once, if a merge raises: it may have modified its arguments.

    Examples
    --------
    >>> list(merge_consecutive(lambda left, right: f"({left}{right})", 3, "abcd"))
    [(Range(start=3, stop=4), 'a'), (Range(start=4, stop=6), '(bc)'), (Range(start=6, stop=7), 'd')]
    """
    held: list[P] = []
    stop = start
    try:
        for partial in partials:
            first, size = stop, 1
            while first & size and first - size >= start:
                try:
                    partial = merge(held.pop(), partial)
                except Exception as error:
                    raise MergeError(error) from error
                first -= size
                size *= 2
            held.append(partial)
            stop += 1
    except MergeError:
        raise
    except BaseException:
        yield from zip(split_into_ranges(start, stop), held, strict=True)
        raise
    yield from zip(split_into_ranges(start, stop), held, strict=True)


class Fold(Generic[P]):
    """Merge partials of ranges, added in any order, along the fixed tree.

    It holds one partial for each maximal range that is complete: log2(n) once the first n blocks
    have been added, and about one for each range that was added early.

    Parameters
    ----------
    merge : callable
        ``merge(left, right)``; the left partial is always that of the lower blocks.
    note : callable, optional
        ``note(n_blocks, partial)`` gets the partial of the first 1, 2, 4, … blocks once it is
        known, except those that were added as parts of a merged range.

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

    def __init__(
        self, merge: Callable[[P, P], P], note: Callable[[int, P], object] | None = None
    ) -> None:
        self._merge = merge
        self._note = note
        self._starts: list[int] = []  # ascending; the ranges held are disjoint
        self._held: dict[int, tuple[Range, P]] = {}
        self.n_blocks = 0

    def __iter__(self) -> Iterator[tuple[Range, P]]:
        """Yield the maximal ranges with their partials, in block order."""
        return (self._held[start] for start in self._starts)

    def covers(self, blocks: Range) -> bool:
        """Return whether every block of a range has been counted."""
        position = bisect_right(self._starts, blocks.start) - 1
        return position >= 0 and self._held[self._starts[position]][0].stop >= blocks.stop

    def add(self, blocks: Range, partial: P) -> bool:
        """Count a range with its partial, unless all of it has been counted before.

        Returns
        -------
        bool
            Whether it was counted now. A range that is not aligned raises a ValueError.
        """
        blocks.check()
        if self.covers(blocks):
            return False
        while True:
            if self._note is not None and blocks.start == 0:
                self._note(blocks.stop, partial)
            held = self._held.get(blocks.sibling.start)
            if held is None or held[0] != blocks.sibling:
                break
            sibling, other = held
            if sibling.start < blocks.start:
                blocks, partial = Range(sibling.start, blocks.stop), self._merge(other, partial)
            else:
                blocks, partial = Range(blocks.start, sibling.stop), self._merge(partial, other)
        # Parts of the range may also have come before: the whole contains them, bit for bit.
        first, stop = (bisect_left(self._starts, block) for block in blocks)
        for start in self._starts[first:stop]:
            self.n_blocks -= self._held.pop(start)[0].size
        self._starts[first:stop] = [blocks.start]
        self._held[blocks.start] = blocks, partial
        self.n_blocks += blocks.size
        return True

    def leading(self) -> Iterator[tuple[int, P]]:
        """Yield numbers of first blocks, none of them missing, with their partial.

        One for each range held; they are merged from the left.
        """
        n_blocks, whole = 0, None
        for blocks, partial in self:
            if blocks.start != n_blocks:
                return
            n_blocks, whole = blocks.stop, self._merge(whole, partial) if n_blocks else partial  # type: ignore[arg-type]
            yield n_blocks, whole

    def result(self) -> P:
        """Return the partial of blocks 0 to ``n_blocks`` - 1, the ranges merged from the left.

        Raises
        ------
        ValueError
            If there is no block, or one is missing.
        """
        n_leading = 0
        for n_leading, whole in self.leading():
            if n_leading == self.n_blocks:
                return whole
        raise ValueError(f"every block must be counted before the result, {n_leading} is missing")


class Prefixes(Generic[P]):
    """Merge ranges that come in block order, and return the whole up to each of them.

    Examples
    --------
    >>> prefixes = Prefixes()
    >>> [prefixes.add(lambda a, b: f"({a}{b})", Range(i, i + 1), str(i)) for i in range(4)]
    ['0', '(01)', '((01)2)', '((01)(23))']
    """

    def __init__(self) -> None:
        # Maximal ranges from block 0 on, each with its partial and that of all blocks to its end.
        self._held: list[tuple[Range, P, P]] = []

    def copy(self) -> Prefixes[P]:
        """Return an independent copy."""
        other: Prefixes[P] = Prefixes()
        other._held = self._held.copy()
        return other

    def add(self, merge: Callable[[P, P], P], blocks: Range, partial: P) -> P:
        """Add the next range, and return what `Fold.result` gives for all blocks to its end."""
        n_merged = 0
        while n_merged < len(self._held) and self._held[-1 - n_merged][0] == blocks.sibling:
            n_merged += 1
            partial = merge(self._held[-n_merged][1], partial)
            blocks = Range(blocks.start - blocks.size, blocks.stop)
        kept = self._held[: len(self._held) - n_merged]
        whole = merge(kept[-1][2], partial) if kept else partial
        self._held = [*kept, (blocks, partial, whole)]
        return whole
