"""The points of π: the published generator, lane by lane, and the same counts by both loops."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from scoopsci.estimation import compiled, kernels
from scoopsci.estimation.kernels import (
    CIRCLE_STREAM,
    COMPILE_AFTER,
    N_LANES,
    N_MIXING,
    compile_counter,
    count_inside,
    count_inside_numpy,
    derive_key,
    seed_lanes,
)

KEYS = [(0, 0), (1, 2), (2**64 - 1, 2**63), derive_key(7)]


def draw_lanes(key: tuple[int, int], block: int, n_steps: int) -> np.ndarray:
    """Return outputs as the kernel draws them, of shape (n_steps, N_LANES)."""
    step = kernels._Lanes(seed_lanes(key, block))
    for _ in range(N_MIXING):
        step.draw()
    return np.array([step.draw().copy() for _ in range(n_steps)])


def draw_by_numpy(key: tuple[int, int], block: int, lane: int, n_steps: int) -> list[int]:
    """Return the same outputs of one lane, by the generator of NumPy."""
    words = [*key, (block * N_LANES + lane) % 2**64, 1]
    generator = np.random.SFC64(0)
    state = generator.state
    state["state"]["state"] = np.array(words, np.uint64)
    generator.state = state
    drawn: list[int] = generator.random_raw(N_MIXING + n_steps).tolist()
    return drawn[N_MIXING:]


def draw_by_formula(words: list[int], n_steps: int) -> list[int]:
    """Return outputs by the formulas of the author, in Python's integers."""
    mask = 2**64 - 1
    (a, b, c), drawn = words, []
    for counter in range(1, n_steps + 1):
        out = a + b + counter & mask
        a, b, c = b ^ b >> 11, c + (c << 3) & mask, ((c << 24 | c >> 40) + out) & mask
        drawn.append(out)
    return drawn


@pytest.mark.parametrize(
    ("seed", "expected"),
    [
        (0xDEADBEAF, [0xA475F55FBB6BC638, 0xB2D594B6C29D971C, 0x275BC4ECE4484FB1]),
        (0, [0x91959E5FB96A6332, 0x3C1DD8A25A7E9F21, 0x657BDFFC99798D9E]),
    ],
)
def test_the_formulas_give_the_published_values(seed: int, expected: list[int]) -> None:
    """Those of 0xdeadbeaf open NumPy's sfc64-testset-1.csv; NumPy is asked for both."""
    words = np.random.SeedSequence(seed).generate_state(3, np.uint64).tolist()
    assert draw_by_formula(words, 15)[12:] == expected
    assert np.random.SFC64(seed).random_raw(3).tolist() == expected


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("block", [0, 1, 12_345, 2**52 - 1])
def test_every_lane_matches_the_generator_of_numpy(key: tuple[int, int], block: int) -> None:
    drawn = draw_lanes(key, block, 20)
    for lane in (0, 1, 31, 32, 2_000, N_LANES - 1):
        assert drawn[:, lane].tolist() == draw_by_numpy(key, block, lane, 20)
        words = [*key, (block * N_LANES + lane) % 2**64]
        assert drawn[:, lane].tolist() == draw_by_formula(words, N_MIXING + 20)[N_MIXING:]


def count_by_definition(key: tuple[int, int], block: int, n_points: int) -> int:
    """Count point by point, in Python's integers."""
    drawn = draw_lanes(key, block, -(-n_points // (2 * N_LANES)))
    points = [
        (as_signed(x), as_signed(y))
        for step in drawn
        for turn in (lambda half: half, turn_half)
        for x, y in ((turn(int(out) >> 32), turn(int(out) & 0xFFFFFFFF)) for out in step)
    ]
    return sum(x * x + y * y < 2**62 for x, y in points[:n_points])


def as_signed(half: int) -> int:
    return half - 2**32 if half >= 2**31 else half


def turn_half(half: int) -> int:
    return half >> 16 | half << 16 & 0xFFFFFFFF


SIZES = [1, 31, 33, N_LANES - 1, N_LANES, N_LANES + 1, 8_191, 8_192, 8_193, 14_000]


@pytest.mark.parametrize("n_points", SIZES)
@pytest.mark.parametrize("key", KEYS)
def test_both_loops_match_the_definition(key: tuple[int, int], n_points: int) -> None:
    compiled_count = compile_counter()
    assert compiled_count is not None
    expected = count_by_definition(key, 3, n_points)
    assert count_inside_numpy(key, 3, n_points) == expected
    assert compiled_count(key, 3, n_points) == expected


@pytest.mark.parametrize("n_points", [*range(1, 100), 4_127, 4_128, 12_287, 65_536, 1_000_003])
def test_both_loops_agree(n_points: int) -> None:
    compiled_count = compile_counter()
    assert compiled_count is not None
    for key, block in itertools.product(KEYS, (0, 2**52 - 1)):
        assert compiled_count(key, block, n_points) == count_inside_numpy(key, block, n_points)


def test_pinned() -> None:
    assert derive_key(7) == (16920295385781661272, 610735763742393210)
    assert count_inside_numpy(derive_key(7), 0, 1_000_000) == 785_507
    assert "SFC64" in CIRCLE_STREAM
    assert CIRCLE_STREAM.endswith("version 2")


def test_a_shorter_block_is_a_prefix_of_a_longer_one() -> None:
    counts = [count_inside_numpy((1, 2), 0, n) for n in range(1, 300)]
    steps = {later - earlier for earlier, later in itertools.pairwise(counts)}
    assert steps == {0, 1}


def test_the_compiled_loop_is_used_once_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    monkeypatch.setattr(kernels, "compile_counter", lambda: taken.append("compiled"))
    monkeypatch.setattr(kernels, "_n_counted", 0)
    count_inside((1, 2), 0, 1_000)
    assert taken == []
    monkeypatch.setattr(kernels, "_n_counted", COMPILE_AFTER)
    assert count_inside((1, 2), 0, 1_000) == count_inside_numpy((1, 2), 0, 1_000)
    assert taken == ["compiled"]


def test_without_numba_the_counts_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = count_inside_numpy((1, 2), 0, 10_000)
    monkeypatch.setattr(compiled, "find_numba", lambda: None)
    monkeypatch.setattr(kernels, "_n_counted", COMPILE_AFTER)
    compile_counter.cache_clear()
    try:
        assert compile_counter() is None
        assert count_inside((1, 2), 0, 10_000) == expected
    finally:
        compile_counter.cache_clear()


def test_the_lattice_points_match_the_area_of_the_circle() -> None:
    """The share of lattice points inside tends to π/4 faster than their distance to 0."""
    for bits, allowed in ((6, 4e-3), (9, 3e-4), (12, 3e-5)):
        x = np.arange(-(2**bits), 2**bits, dtype=np.int64)
        inside = (np.add.outer(x**2, x**2) < 4**bits).mean()
        assert abs(inside - math.pi / 4) < allowed
