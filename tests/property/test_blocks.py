"""Blocks cover once, and the fold's bits depend on nothing but the blocks."""

from collections.abc import Callable
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoopsci.blocks import Fold, Range, split_into_ranges
from scoopsci.dispatch import run_chunk

N_MOST = 64


def bracket(left: str, right: str) -> str:
    """Merge so that the whole shows every merge: neither associative nor commutative."""
    return f"({left} {right})"


def describe(blocks: Range) -> str:
    """Return the partial of a range by recursion from the top, unlike the fold."""
    if blocks.size == 1:
        return str(blocks.start)
    middle = blocks.start + blocks.size // 2
    left, right = Range(blocks.start, middle), Range(middle, blocks.stop)
    return bracket(describe(left), describe(right))


def fold_in_order(n_blocks: int) -> str:
    fold = Fold(bracket)
    for block in range(n_blocks):
        fold.add(Range(block, block + 1), str(block))
    return fold.result()


def count_fewest(start: int, stop: int) -> int:
    """Return the length of the shortest cover, by trying every aligned first range."""
    fewest = {stop: 0}
    for first in range(stop - 1, start - 1, -1):
        sizes = [1 << j for j in range(stop.bit_length()) if first % (1 << j) == 0]
        fewest[first] = 1 + min(fewest[first + s] for s in sizes if first + s <= stop)
    return fewest[start]


@st.composite
def aligned_ranges(draw: st.DrawFn, n_most: int = N_MOST) -> Range:
    size = 1 << draw(st.integers(0, n_most.bit_length() - 1))
    return Range(start := size * draw(st.integers(0, n_most // size - 1)), start + size)


@given(st.integers(0, 200), st.integers(0, 200))
def test_split_covers_once_with_the_fewest_aligned_ranges(start: int, n_blocks: int) -> None:
    ranges = [blocks.check() for blocks in split_into_ranges(start, start + n_blocks)]
    covered = [block for blocks in ranges for block in range(blocks.start, blocks.stop)]
    assert covered == list(range(start, start + n_blocks))
    assert len(ranges) == count_fewest(start, start + n_blocks)


@given(st.integers(0, 2**80), st.integers(0, 2**80))
def test_split_of_any_size(start: int, n_blocks: int) -> None:
    ranges = [blocks.check() for blocks in split_into_ranges(start, start + n_blocks)]
    ends = [start, *(blocks.stop for blocks in ranges)]
    assert [blocks.start for blocks in ranges] == ends[:-1]
    assert ends[-1] == start + n_blocks
    assert len(ranges) <= 2 * n_blocks.bit_length() + 1


@given(st.integers(1, N_MOST), st.lists(aligned_ranges()), st.randoms(use_true_random=False))
def test_any_ranges_in_any_order_give_the_same_bits(
    n_blocks: int, extra: list[Range], random: Random
) -> None:
    singles = [Range(block, block + 1) for block in range(n_blocks)]
    ranges = [*singles, *singles[::3], *(blocks for blocks in extra if blocks.stop <= n_blocks)]
    random.shuffle(ranges)
    fold, counted = Fold(bracket), set[int]()
    for blocks in ranges:
        new = set(range(blocks.start, blocks.stop)) - counted
        assert fold.covers(blocks) is (not new)
        assert fold.add(blocks, describe(blocks)) is bool(new)
        counted |= new
        assert fold.covers(blocks)
        assert fold.n_blocks == len(counted)
        assert all(partial == describe(held) for held, partial in fold)
    assert fold.result() == fold_in_order(n_blocks)


@given(st.sets(st.integers(0, N_MOST - 1)), st.randoms(use_true_random=False))
def test_held_ranges_are_maximal_and_holes_are_told(blocks: set[int], random: Random) -> None:
    order = sorted(blocks)
    random.shuffle(order)
    fold = Fold(bracket)
    for block in order:
        fold.add(Range(block, block + 1), str(block))
    held = [held for held, _ in fold]
    runs = sorted(block for block in blocks if block - 1 not in blocks)
    expected: list[Range] = []
    for start in runs:
        stop = next(block for block in range(start, N_MOST + 1) if block not in blocks)
        expected.extend(split_into_ranges(start, stop))
    assert held == expected
    if blocks == set(range(len(blocks))) and blocks:
        assert fold.result() == fold_in_order(len(blocks))
    else:
        missing = min(set(range(N_MOST + 1)) - blocks)
        with pytest.raises(ValueError, match=f", {missing} is missing"):
            fold.result()


@given(st.integers(1, N_MOST), st.lists(st.integers(1, N_MOST)), st.randoms(use_true_random=False))
def test_any_chunking_gives_the_same_bits(n_blocks: int, cuts: list[int], random: Random) -> None:
    ends = [0, *sorted({cut for cut in cuts if cut < n_blocks}), n_blocks]
    run_block: Callable[[int, int], str] = lambda block, value: str(value)  # noqa: E731
    chunks = [
        run_chunk(run_block, bracket, start, range(start, stop)) for start, stop in pairwise(ends)
    ]
    for chunk, start, stop in zip(chunks, ends[:-1], ends[1:], strict=True):
        assert [blocks for blocks, _ in chunk] == list(split_into_ranges(start, stop))
    parts = [part for chunk in chunks for part in chunk]
    random.shuffle(parts)
    fold = Fold(bracket)
    assert all(fold.add(blocks, partial) for blocks, partial in parts)
    assert fold.result() == fold_in_order(n_blocks)
