"""Ranges cover each block once, and the bits of a fold depend on the blocks alone."""

from collections.abc import Iterator
from functools import reduce
from itertools import count, pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoopsci.road.blocks import (
    Fold,
    MergeError,
    Prefixes,
    Range,
    merge_consecutive,
    split_into_ranges,
)

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
    """Return the whole by definition: maximal ranges, merged from the left."""
    return reduce(bracket, map(describe, split_into_ranges(0, n_blocks)))


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
def test_held_ranges_are_maximal_and_gaps_are_reported(blocks: set[int], random: Random) -> None:
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
    chunks = [
        list(merge_consecutive(bracket, start, map(str, range(start, stop))))
        for start, stop in pairwise(ends)
    ]
    for chunk, (start, stop) in zip(chunks, pairwise(ends), strict=True):
        assert [blocks for blocks, _ in chunk] == list(split_into_ranges(start, stop))
        assert [partial for _, partial in chunk] == [describe(blocks) for blocks, _ in chunk]
    parts = [part for chunk in chunks for part in chunk]
    random.shuffle(parts)
    fold = Fold(bracket)
    assert all(fold.add(blocks, partial) for blocks, partial in parts)
    assert fold.result() == fold_in_order(n_blocks)


@given(st.integers(0, 2**70), st.integers(0, N_MOST), st.integers(0, N_MOST))
def test_consecutive_blocks_merge_up_to_the_one_that_raises(
    start: int, n_blocks: int, n_before: int
) -> None:
    def give() -> Iterator[str]:
        for block in range(start, start + n_blocks):
            if block == start + n_before:
                raise ArithmeticError(f"block {block}")
            yield str(block)

    found, raised = [], False
    try:
        for part in merge_consecutive(bracket, start, give()):
            found.append(part)
    except ArithmeticError:
        raised = True
    n_found = min(n_blocks, n_before)
    assert raised is (n_before < n_blocks)
    assert [blocks for blocks, _ in found] == list(split_into_ranges(start, start + n_found))
    assert [partial for _, partial in found] == [describe(blocks) for blocks, _ in found]


@given(st.integers(1, N_MOST), st.integers(0, N_MOST), st.integers(0, 200))
def test_a_merge_that_raises_yields_nothing(n_blocks: int, start: int, n_merges: int) -> None:
    calls = count(1)

    def merge(left: str, right: str) -> str:
        if next(calls) > n_merges:
            raise ArithmeticError
        return bracket(left, right)

    merged = merge_consecutive(merge, start, map(str, range(start, start + n_blocks)))
    n_ranges = len([*split_into_ranges(start, start + n_blocks)])
    if n_blocks - n_ranges <= n_merges:
        assert len([*merged]) == n_ranges
        return
    with pytest.raises(MergeError) as caught:
        next(merged)
    assert isinstance(caught.value.args[0], ArithmeticError)


@given(st.integers(1, N_MOST), st.lists(st.integers(1, N_MOST)))
def test_prefixes_equal_the_results_of_the_fold(n_blocks: int, cuts: list[int]) -> None:
    ends = [0, *sorted({cut for cut in cuts if cut < n_blocks}), n_blocks]
    prefixes: Prefixes[str] = Prefixes()
    for start, stop in pairwise(ends):
        for blocks in split_into_ranges(start, stop):
            assert prefixes.add(bracket, blocks, describe(blocks)) == fold_in_order(blocks.stop)


@given(st.integers(0, N_MOST), st.integers(1, N_MOST))
def test_copies_of_prefixes_are_independent(n_before: int, n_behind: int) -> None:
    prefixes: Prefixes[str] = Prefixes()
    for block in range(n_before):
        prefixes.add(bracket, Range(block, block + 1), str(block))
    other = prefixes.copy()
    for block in range(n_before, n_before + n_behind):
        found = other.add(bracket, Range(block, block + 1), str(block))
        assert found == fold_in_order(block + 1)
    here = Range(n_before, n_before + 1)
    assert prefixes.add(bracket, here, str(n_before)) == fold_in_order(n_before + 1)
