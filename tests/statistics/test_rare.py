"""Rare events and heavy tails: intervals that cover, or a doubt, and never a silent 0 ± 0.

Replication i has the seed i: nothing was chosen.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

import scoopsci
from scoopsci import DoubtfulEstimateWarning, Engine, Estimate, NotConvergedError

N_RUNS = 200
#: Two standard deviations of a binomial count below 95 %.
LEAST = 0.92 * N_RUNS

Rng = np.random.Generator


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with scoopsci.open_engine("serial") as opened:
        yield opened


def hit(p: float, rng: Rng, size: int) -> Any:
    return rng.random(size) < p


@pytest.mark.parametrize(
    ("p", "half_width", "block_size"),
    [
        (1e-3, 5e-4, 1 << 10),
        (1e-4, 5e-5, 1 << 13),
        (1e-5, 1e-5, 100_000),
        pytest.param(1e-6, 1e-6, 1_000_000, marks=pytest.mark.slow),
    ],
)
def test_rare_hits_are_covered(
    p: float, half_width: float, block_size: int, engine: Engine
) -> None:
    draw = partial(hit, p)
    runs = [
        scoopsci.estimate(draw, half_width=half_width, seed=seed, block_size=block_size,
                          engine=engine)
        for seed in range(N_RUNS)
    ]  # fmt: skip
    n_covered = sum(found.interval[0] <= p <= found.interval[1] for found in runs)
    n_within = sum(abs(found.value - p) <= found.half_width for found in runs)
    print(f"{n_covered} of {N_RUNS} cover by interval, {n_within} by value ± half_width")
    assert n_covered >= LEAST
    assert n_within >= LEAST
    assert all(0.0 < found.half_width <= half_width for found in runs)


@pytest.mark.parametrize("n_columns", [1, 5])
def test_intervals_of_rare_columns_cover_at_once(n_columns: int, engine: Engine) -> None:
    p = np.geomspace(1e-4, 1e-2, n_columns)

    def draw(rng: Rng, size: int) -> Any:
        return rng.random((size, n_columns)) < p

    runs = [scoopsci.estimate(draw, 30_000, seed=seed, engine=engine) for seed in range(N_RUNS)]
    n_covered = sum(
        bool(np.all((found.interval[0] <= p) & (p <= found.interval[1]))) for found in runs
    )
    assert n_covered >= LEAST, f"{n_covered} of {N_RUNS} cover"


def test_a_small_region_is_covered(engine: Engine) -> None:
    """Of volume 4 · 1e-4, in a box of volume 4."""

    def is_inside(x: Any) -> Any:
        return (np.abs(x) < 0.01).all(axis=1)

    n_covered = 0
    for seed in range(N_RUNS):
        found = scoopsci.integrate(is_inside, -1.0, 1.0, 20_000, dim=2, seed=seed, engine=engine)
        n_covered += abs(found.value - 4e-4) <= found.half_width
        assert found.notes == ()
    assert n_covered >= LEAST, f"{n_covered} of {N_RUNS} cover"


def test_rare_payoffs_are_covered_or_doubted(engine: Engine) -> None:
    """Of weighted hits of probability 1e-5: what is neither covered nor doubted is an error."""

    def draw(rng: Rng, size: int) -> Any:
        return np.where(rng.random(size) < 1e-5, rng.exponential(size=size), 0.0)

    n_silent = 0
    for seed in range(100):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DoubtfulEstimateWarning)
            try:
                found = scoopsci.estimate(
                    draw, half_width=1e-5, seed=seed, block_size=1 << 16, engine=engine,
                    min_samples=4_096,
                )  # fmt: skip
            except NotConvergedError as error:
                found = error.estimate
                assert (found.value, found.half_width) == (0.0, 0.0)
        n_silent += abs(found.value - 1e-5) > found.half_width and not found.notes
    assert n_silent <= 10, f"{n_silent} of 100 miss in silence"


def pareto(rng: Rng, size: int) -> Any:
    return rng.pareto(1.5, size)


def lognormal(rng: Rng, size: int) -> Any:
    return rng.lognormal(0.0, 3.0, size)


def draw_tail(name: str) -> Callable[[Rng, int], Any]:
    return {
        "cauchy": lambda rng, size: rng.standard_cauchy(size),
        "pareto": pareto,
        "lognormal": lognormal,
        "exponential": lambda rng, size: rng.exponential(size=size),
        "normal": lambda rng, size: rng.standard_normal(size),
    }[name]


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("cauchy", 200, 200),
        ("pareto", 194, 200),
        ("lognormal", 198, 200),
        ("exponential", 0, 0),
        ("normal", 0, 0),
    ],
)
def test_heavy_tails_are_noted_and_light_ones_are_not(
    name: str, least: int, most: int, engine: Engine
) -> None:
    draw, n_noted = draw_tail(name), 0

    def estimate(seed: int) -> Estimate:
        return scoopsci.estimate(draw, 100_000, seed=seed, engine=engine)

    for seed in range(N_RUNS):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DoubtfulEstimateWarning)
            n_noted += any("tail is heavy" in note for note in estimate(seed).notes)
    print(f"{name}: {n_noted} of {N_RUNS} noted")
    assert least <= n_noted <= most
