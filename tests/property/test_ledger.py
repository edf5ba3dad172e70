"""However often a run is stopped, and however it is chunked: same bits, no block run twice."""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from scoopsci.road.blocks import Fold, Range
from scoopsci.road.chunks import CallEach, FoldBlocks
from scoopsci.road.runs import Run
from tests.merging import bracket

CALLS: Counter[int] = Counter()


def name_block(block: int) -> str:
    """Count the calls in this module, even if the function was pickled by value."""
    sys.modules[__name__].CALLS[block] += 1
    return f"[{block}]"


def fold_singles(n_blocks: int) -> str:
    fold = Fold(bracket)
    for block in range(n_blocks):
        fold.add(Range(block, block + 1), f"[{block}]")
    return fold.result()


#: Progress of each run: number of inputs, ranges consumed before it is closed, chunk time.
attempts = st.lists(
    st.tuples(st.integers(1, 60), st.integers(1, 20), st.sampled_from([1e-9, 1e-5, 0.1])),
    max_size=5,
)


@settings(max_examples=60)
@given(attempts, st.sampled_from([1e-9, 1e-5, 0.1]), st.booleans())
def test_any_number_of_attempts(
    attempts: list[tuple[int, int, float]], chunk_target_s: float, in_order: bool
) -> None:
    CALLS.clear()
    attempts = sorted(attempts, key=lambda attempt: attempt[0])  # a run never shrinks
    work = FoldBlocks(CallEach(name_block), bracket)
    with tempfile.TemporaryDirectory() as folder:
        common: Any = {"engine": "serial", "ledger": Path(folder) / "run.ledger", "window": 3}
        told: set[int] = set()
        for n_blocks, n_taken, target_s in attempts:
            common["chunk_target_s"] = target_s
            run = Run(work, range(n_blocks), common, identity={})
            with closing(run.partials(in_order=in_order)) as partials:
                for (blocks, _), _ in zip(partials, range(n_taken), strict=False):
                    told |= set(range(*blocks))
        before = CALLS.copy()
        common["chunk_target_s"] = chunk_target_s
        last = Run(work, range(60), common, identity={})
        fold = Fold(bracket)
        for blocks, partial in last.partials(in_order=in_order):
            assert fold.add(blocks, partial)
    assert fold.result() == fold_singles(60)
    assert {block: CALLS[block] for block in told} == {block: before[block] for block in told}
    n_calls = [CALLS[block] for block in range(60)]
    assert n_calls == [1] * 60, "in a serial run, all blocks that ended are recorded"
    assert last.description["n_recalled_blocks"] == before.total()
