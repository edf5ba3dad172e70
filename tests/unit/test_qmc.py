"""Scrambled Sobol' points: consecutive, distinct between scrambles, and balanced."""

from __future__ import annotations

import math
import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from scipy.stats import qmc

import scoopsci
from scoopsci.estimation.qmc import (
    MOST_AHEAD,
    N_BITS,
    fingerprint,
    scrambled_blocks,
    scrambled_points,
)


@pytest.mark.parametrize("parts", [[(0, 64)], [(0, 16), (16, 48)], [(32, 32), (0, 32)], [(63, 1)]])
def test_points_match_the_sequence(parts: list[tuple[int, int]]) -> None:
    """Whatever was asked for before: a process goes on, or begins anew."""
    rng = np.random.default_rng(np.random.SeedSequence(5, spawn_key=(2,)))
    whole = qmc.Sobol(3, scramble=True, bits=N_BITS, rng=rng).random(64) + 0.5**33
    for start, size in parts:
        found = scrambled_points(5, 2, 3, start, size)
        assert found.tolist() == whole[start : start + size].tolist()


@pytest.mark.parametrize(("dim", "n_blocks"), [(2, 9), (400, 4)])
def test_blocks_continue_every_scramble(dim: int, n_blocks: int) -> None:
    """Whether they are computed in advance or, with many dimensions, one by one."""
    assert (dim * 32 * 16 * n_blocks > MOST_AHEAD) == (dim == 400)
    found = [*scrambled_blocks(3, 16, dim, 5, iter([16 * 32] * n_blocks))]
    assert len(found) == n_blocks
    for block, points in enumerate(found, 5):
        for scramble, part in enumerate(np.split(points, 16)):
            assert (part == scrambled_points(3, scramble, dim, 32 * block, 32)).all()


def test_scrambles_and_seeds_differ() -> None:
    sets = [scrambled_points(seed, scramble, 2, 0, 64) for seed in (1, 2) for scramble in (0, 1)]
    flat = {tuple(points.ravel()) for points in sets}
    assert len(flat) == 4


def test_each_scramble_is_balanced_and_inside() -> None:
    """Of 2^m points, each of 2^m slices of an axis has exactly one."""
    points = scrambled_points(9, 4, 5, 0, 256)
    for axis in range(5):
        assert sorted((points[:, axis] * 256).astype(int)) == [*range(256)]
    assert points.min() > 0.0
    assert points.max() < 1.0


def test_fingerprint_hashes_these_points() -> None:
    assert fingerprint().startswith("sobol-")
    assert len(fingerprint()) == 14


def test_threads_do_not_interfere() -> None:
    def draw(part: int) -> bytes:
        return scrambled_points(7, 1, 6, 512 * part, 512).tobytes()

    parts = [*range(16)] * 8
    random.Random(1).shuffle(parts)
    expected = {part: draw(part) for part in range(16)}
    with ThreadPoolExecutor(8) as pool:
        for part, found in zip(parts, pool.map(draw, parts), strict=True):
            assert found == expected[part]


def smooth(x: Any) -> Any:
    return np.prod(1.0 + (x - 0.5) / (1.0 + np.arange(x.shape[1])), axis=1)


def integrate(**options: Any) -> scoopsci.Estimate:
    options = {"n_samples": 1 << 14, "seed": 1, "engine": "serial", "block_size": 256, **options}
    return scoopsci.integrate(smooth, 0.0, 1.0, dim=4, method="qmc", **options)


class TestIntegral:
    def test_value_and_error_come_from_the_scrambles(self) -> None:
        found = integrate()
        means = [
            smooth(scrambled_points(1, scramble, 4, 0, 1 << 10)).mean() for scramble in range(16)
        ]
        assert found.value == pytest.approx(np.mean(means), rel=1e-14)
        assert found.standard_error == pytest.approx(np.std(means, ddof=1) / 4.0, rel=1e-6)
        assert found.half_width == pytest.approx(2.131449546 * found.standard_error, rel=1e-8)
        assert found.n_samples == 1 << 14
        assert found.n_blocks == 64

    def test_the_factor_is_relative_to_plain_sampling(self) -> None:
        found = integrate()
        plain = scoopsci.integrate(smooth, 0.0, 1.0, 1 << 14, dim=4, seed=1, engine="serial")
        factor = (plain.standard_error / found.standard_error) ** 2
        (told,) = found.variance_reduction.values()
        assert told == pytest.approx(factor, rel=0.05)
        assert told > 100.0

    def test_a_tolerance(self) -> None:
        found = integrate(n_samples=None, half_width=1e-5)
        assert found.half_width <= 1e-5
        assert found.n_samples // 256 in {2**j for j in range(20)}
        assert abs(found.value - 1.0) < 4 * found.standard_error

    def test_a_run_to_a_wide_half_width_takes_a_block(self) -> None:
        found = integrate(n_samples=None, half_width=0.1, block_size=None)
        assert (found.n_samples, found.n_blocks) == (4_096, 1)
        assert found.receipt["options"]["block_size"] == 4_096
        more = integrate(n_samples=None, half_width=0.1, block_size=None, n_scrambles=20)
        assert (more.n_samples, more.n_blocks) == (20 * 256, 1)
        assert abs(more.value - 1.0) < 4 * more.standard_error

    def test_the_blocks_are_those_of_any_number_of_workers(self) -> None:
        serial = integrate(n_samples=1 << 13)
        with ThreadPoolExecutor(3) as pool:
            found = integrate(n_samples=1 << 13, engine=pool, n_workers=3, chunk_target_s=1e-3)
        assert (found.value, found.half_width) == (serial.value, serial.half_width)

    def test_more_scrambles(self) -> None:
        found = integrate(n_scrambles=32)
        assert found.receipt["options"]["n_scrambles"] == 32
        assert abs(found.value - 1.0) < 4 * found.standard_error

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ({"n_samples": 1_000_000}, r"such as 1,048,576; got 1,000,000"),
            ({"n_samples": 100}, r"such as 256; got 100"),
            ({"n_samples": 768}, r"times blocks of 256 for qmc, such as 1,024; got 768"),
            (
                {"n_scrambles": 20},
                "block_size must be .* 20 scrambles for qmc, such as 320; got 256",
            ),
            (
                {"block_size": 100},
                "must be a power of two times 16 scrambles for qmc, such as 128; got 100",
            ),
            (
                {"n_samples": None, "half_width": 0.2, "max_samples": 10_000},
                "max_samples must be a power of two times blocks .*, such as 16,384; got 10,000",
            ),
            ({"n_scrambles": 15}, "n_scrambles must be at least 16, got 15"),
        ],
    )
    def test_wrong_numbers(self, options: dict[str, Any], told: str) -> None:
        with pytest.raises(ValueError, match=told):
            integrate(**options)

    def test_too_many_dimensions_are_refused(self) -> None:
        with pytest.raises(ValueError, match="dim must be at most 21201 for qmc, got 30000"):
            scoopsci.integrate(smooth, 0.0, 1.0, 1 << 14, dim=30_000, method="qmc")

    def test_the_numbers_suggested_by_an_error_are_accepted(self) -> None:
        assert integrate(n_samples=4_096).n_samples == 4_096
        assert math.isfinite(integrate(n_samples=4_096).half_width)
