"""A chunk reports each of its blocks once, whichever of them fail."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoopsci.road.blocks import Fold, Range, split_into_ranges
from scoopsci.road.chunks import CallEach, FoldBlocks, ListBlocks, RunBlocks, run_chunk
from scoopsci.road.inputs import Inputs
from tests.merging import bracket

ERRORS = (ArithmeticError, StopIteration, SystemExit)

failing_blocks = st.dictionaries(st.integers(0, 40), st.sampled_from(ERRORS))


def fold_range(blocks: Range) -> str:
    fold = Fold(bracket)
    size = blocks.size
    for block in range(size):
        fold.add(Range(block, block + 1), f"[{blocks.start + block}]")
    return fold.result()


def list_range(blocks: Range) -> list[str]:
    return [f"[{block}]" for block in range(blocks.start, blocks.stop)]


@pytest.mark.parametrize("kind", [FoldBlocks, ListBlocks])
@pytest.mark.parametrize("seed", [None, 3])
@given(st.integers(0, 2**70), st.integers(0, 41), failing_blocks, st.booleans())
def test_every_block_is_reported_once(
    kind: type,
    seed: int | None,
    start: int,
    n_blocks: int,
    failing: dict[int, type[BaseException]],
    go_on: bool,
) -> None:
    called: list[int] = []

    def name_block(*arguments: Any) -> str:
        block = arguments[-1]
        called.append(block)
        if error := failing.get(block - start):
            raise error
        return f"[{block}]"

    each = CallEach(name_block, seed=seed)
    work: RunBlocks[Any] = FoldBlocks(each, bracket) if kind is FoldBlocks else ListBlocks(each)
    inputs = range(start, start + n_blocks)
    partials, failures, _ = run_chunk(work, start, inputs, go_on)
    expected = [block for block in inputs if block - start in failing]
    assert [block for block, _ in failures] == (expected if go_on else expected[:1])
    reached = inputs if go_on or not expected else range(start, expected[0] + 1)
    assert called == [*reached], "each is called once, in order"
    ends = [block for block, _ in failures]
    if go_on or not failures:
        ends.append(start + n_blocks)
    ranges = [
        blocks
        for left, right in pairwise([start - 1, *ends])
        for blocks in split_into_ranges(left + 1, right)
    ]
    assert [blocks for blocks, _ in partials] == ranges, "maximal between two failures"
    describe = fold_range if kind is FoldBlocks else list_range
    assert [partial for _, partial in partials] == [*map(describe, ranges)]


@given(st.lists(st.integers(1, 20)), st.integers(0, 60), st.booleans())
def test_inputs_are_taken_once_and_in_order(sizes: list[int], n: int, is_list: bool) -> None:
    values = [*range(n)]
    taker = Inputs(values if is_list else iter(values))
    taken: list[int] = []

    def take() -> Iterator[int]:
        for size in [*sizes, n + 1]:
            start, part = taker.take(size, 60.0)
            assert start == len(taken)
            assert len(part) <= size
            yield from part

    for value in take():
        taken.append(value)
    while len(taken) < n:
        taken.extend(taker.take(n + 1, 60.0)[1])
    assert taken == values
    assert taker.n_taken == n
