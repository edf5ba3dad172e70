"""Seeds and the stream of a block."""

import re
from typing import Any

import numpy as np
import pytest

from scoopsci.estimation.streams import STREAM, block_generator, check_seed


@pytest.mark.parametrize("seed", [0, 7, 2**31, 2**64, 2**128 + 1, 10**1000, np.int64(7)])
def test_seed_of_any_size_is_kept(seed: Any) -> None:
    assert check_seed(seed) == seed
    assert type(check_seed(seed)) is int


def test_numpy_and_python_integers_are_the_same_seed() -> None:
    seed: Any = np.uint8(7)
    ours, theirs = block_generator(check_seed(seed), 3), block_generator(7, 3)
    assert ours.random(4).tobytes() == theirs.random(4).tobytes()


@pytest.mark.parametrize("seed", [1.0, "7", [7], np.float64(3), 1j, b"7"])
def test_seed_must_be_an_integer(seed: int) -> None:
    with pytest.raises(TypeError, match=f"seed must be an integer.*{re.escape(repr(seed))}"):
        check_seed(seed)


def test_seed_must_not_be_negative() -> None:
    with pytest.raises(ValueError, match="seed must be at least 0, got -1"):
        check_seed(-1)


def test_fresh_seeds_differ() -> None:
    seeds = {check_seed(None) for _ in range(20)}
    assert len(seeds) == 20
    assert all(0 <= seed < 2**128 for seed in seeds)


def test_stream_names_generator_and_version() -> None:
    assert re.fullmatch(r".*PCG64DXSM.*SeedSequence.*version \d+", STREAM)


@pytest.mark.parametrize("seed", [0, 7, 2**200])
def test_stream_matches_that_of_a_spawned_child(seed: int) -> None:
    children = np.random.SeedSequence(seed).spawn(4)
    for block, child in enumerate(children):
        expected = np.random.Generator(np.random.PCG64DXSM(child)).random(100)
        assert block_generator(seed, block).random(100).tobytes() == expected.tobytes()


def test_neighbouring_streams_differ() -> None:
    firsts = {block_generator(seed, block).random() for seed in range(9) for block in range(9)}
    firsts |= {block_generator(0, block).random() for block in (2**32, 2**32 + 1, 2**64, 2**100)}
    assert len(firsts) == 85


def test_block_must_not_be_negative() -> None:
    with pytest.raises(ValueError, match=r"-1|negative"):
        block_generator(7, -1)
