"""Moments merge to those of the whole, and along the tree to the same bits."""

from itertools import pairwise
from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from scoopsci.estimation.moments import Moments
from scoopsci.road.blocks import Fold, merge_consecutive

Floats = NDArray[np.float64]

shapes = st.one_of(st.tuples(st.integers(2, 60)), st.tuples(st.integers(2, 60), st.integers(1, 3)))
samples_of_any_shape = arrays(np.float64, shapes, elements=st.floats(-1e6, 1e6))


def to_bits(moments: Moments) -> tuple[object, ...]:
    arrays = (moments.mean, moments.m2, moments.minimum, moments.maximum)
    return moments.count, moments.n_nonfinite, *((a.shape, a.tobytes()) for a in arrays)


@given(samples_of_any_shape, st.data())
def test_merge_agrees_with_numpy(samples: Floats, data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(samples) - 1))
    merged = Moments.of(samples[:cut]).merge(Moments.of(samples[cut:]))
    scale = float(np.abs(samples).max())
    assert merged.count == len(samples)
    np.testing.assert_allclose(
        merged.mean, samples.mean(axis=0), rtol=1e-12, atol=1e-12 * scale + 1e-300
    )
    np.testing.assert_allclose(
        merged.m2,
        samples.var(axis=0) * len(samples),
        rtol=1e-9,
        # Below the smallest normal number a float has fewer digits.
        atol=1e-13 * scale * scale * len(samples) + np.finfo(float).tiny,
    )
    assert merged.minimum.tolist() == samples.min(axis=0).tolist()
    assert merged.maximum.tolist() == samples.max(axis=0).tolist()
    assert (merged.m2 >= 0).all()


@given(samples_of_any_shape, st.integers(1, 7), st.sets(st.integers(1, 59)), st.randoms())
def test_any_chunking_gives_the_same_bits(
    samples: Floats, block_size: int, cuts: set[int], random: Random
) -> None:
    n_blocks = -(-len(samples) // block_size)

    def run_block(block: int) -> Moments:
        return Moments.of(samples[block * block_size : (block + 1) * block_size])

    def fold_chunks(ends: list[int]) -> Moments:
        parts = [
            part
            for start, stop in pairwise(ends)
            for part in merge_consecutive(Moments.merge, start, map(run_block, range(start, stop)))
        ]
        random.shuffle(parts)
        fold = Fold(Moments.merge)
        for blocks, partial in parts:
            fold.add(blocks, partial)
        return fold.result()

    singles = fold_chunks(list(range(n_blocks + 1)))
    chunks = fold_chunks([0, *sorted(cut for cut in cuts if cut < n_blocks), n_blocks])
    assert to_bits(chunks) == to_bits(singles)


@given(arrays(np.float64, st.integers(1, 20), elements=st.floats(width=64)))
def test_every_float_is_accepted(samples: Floats) -> None:
    moments = Moments.of(samples).merge(Moments.of(samples[::-1].copy()))
    assert moments.count == 2 * len(samples)
    assert moments.n_nonfinite == 2 * int(np.count_nonzero(~np.isfinite(samples)))
