"""Intervals at the stop, and at every look: they cover what they promise.

Replication i has the seed i. The widths were chosen for their numbers of samples: as many as the
tail of a problem needs for its mean to be approximately normal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import scoopsci
from scoopsci import Engine, Estimate
from scoopsci.estimation.sequences import (
    asymptotic_sequence,
    bernstein_sequence,
    mixture_sequence,
)

Floats = NDArray[np.float64]
Rng = np.random.Generator

N_RUNS = 2_000
#: Runs in CI, and four standard deviations of their count below 95 %.
N_QUICK, LEAST_QUICK = 300, 270

POWERS = np.array([0.5, 1.0, 2.0, 3.0, 4.0])
SIGMA = 0.05


def draw_exponential(rng: Rng, size: int) -> Any:
    return rng.exponential(size=size)


def draw_lognormal(rng: Rng, size: int) -> Any:
    return rng.lognormal(0.0, 1.0, size)


def draw_skewed(rng: Rng, size: int) -> Any:
    return rng.lognormal(0.0, 1.5, size)


def draw_power(rng: Rng, size: int) -> Any:
    return rng.random(size) ** 8


def draw_hits(rng: Rng, size: int) -> Any:
    return rng.random(size) < 0.01


def draw_rare_hits(rng: Rng, size: int) -> Any:
    return rng.random(size) < 0.001


def draw_peak(rng: Rng, size: int) -> Any:
    return find_peak(rng.random((size, 4)))


def find_peak(x: Floats) -> Any:
    return np.exp(-np.square(x - 0.5).sum(axis=1) / (2.0 * SIGMA**2))


def draw_five(rng: Rng, size: int) -> Any:
    return rng.random((size, 5)) ** POWERS


def is_in_ball(x: Floats) -> Any:
    return np.square(x).sum(axis=1) < 1.0


def find_product(x: Floats) -> Any:
    return np.prod(0.5 + x, axis=1)


@dataclass(frozen=True)
class Problem:
    """What is estimated, to which half-width, and the truth."""

    run: Callable[..., Estimate]
    truth: Any
    half_width: float
    block_size: int = 500

    def count_covered(self, n_runs: int, engine: Engine, **options: Any) -> tuple[int, float]:
        """Return how many of the stopped runs cover, and their mean number of samples."""
        n_covered, n_samples = 0, 0
        how = {"half_width": self.half_width, "block_size": self.block_size, "engine": engine}
        for seed in range(n_runs):
            found = self.run(seed=seed, **how, **options)
            low, high = found.interval
            n_covered += bool(np.all((low <= self.truth) & (self.truth <= high)))
            n_samples += found.n_samples
            assert np.max(found.half_width) <= self.half_width
        return n_covered, n_samples / n_runs


def mean_of(draw: Any) -> Callable[..., Estimate]:
    return lambda **options: scoopsci.estimate(draw, **options)


def integral_of(f: Any, lower: float, dim: int, method: Any) -> Callable[..., Estimate]:
    return lambda **options: scoopsci.integrate(f, lower, 1.0, dim=dim, method=method, **options)


PEAK = (SIGMA * math.sqrt(2.0 * math.pi)) ** 4
FIVE = 1.0 / (POWERS + 1.0)
BALL = math.pi**2.5 / math.gamma(3.5)
PROBLEMS = {
    "exponential": Problem(mean_of(draw_exponential), 1.0, 0.025),
    "lognormal": Problem(mean_of(draw_lognormal), math.exp(0.5), 0.05),
    "lognormal of 1.5": Problem(mean_of(draw_skewed), math.exp(1.125), 0.06, 20_000),
    "power": Problem(mean_of(draw_power), 1.0 / 9.0, 0.008),
    "hits": Problem(mean_of(draw_hits), 0.01, 0.002, 2_000),
    "rare hits": Problem(mean_of(draw_rare_hits), 0.001, 0.0003, 10_000),
    "peak": Problem(integral_of(find_peak, 0.0, 4, "mc"), PEAK, 3e-5, 10_000),
    "vector": Problem(mean_of(draw_five), FIVE, 0.01),
    "ball by qmc": Problem(integral_of(is_in_ball, -1.0, 5, "qmc"), BALL, 0.1, 64),
    "product by qmc": Problem(integral_of(find_product, 0.0, 5, "qmc"), 1.0, 5e-4, 64),
}

#: Problems whose samples lie in bounds, and the options of a confidence sequence.
BOUNDED: dict[str, tuple[str, dict[str, Any]]] = {
    "hits": ("hits", {}),
    "rare hits": ("rare hits", {}),
    "hits in bounds": ("hits", {"bounds": (0, 1)}),
    "power": ("power", {"bounds": (0, 1)}),
    "peak": ("peak", {"bounds": (0, 1)}),
    "vector": ("vector", {"bounds": (0, 1)}),
    "ball": ("ball", {}),
    "product": ("product", {"bounds": (0.5**5, 1.5**5)}),
}
MORE = {
    "ball": Problem(integral_of(is_in_ball, -1.0, 5, "mc"), BALL, 0.3, 2_000),
    "product": Problem(integral_of(find_product, 0.0, 5, "mc"), 1.0, 0.02, 1_000),
}


def in_ci_and_slow(names: Any, quick: set[str]) -> list[Any]:
    """Return each problem with the runs of the slow tests, and some with fewer."""
    slow = [pytest.param(name, N_RUNS, id=name, marks=pytest.mark.slow) for name in names]
    return slow + [
        pytest.param(name, N_QUICK, id=f"{name}, fewer runs") for name in names if name in quick
    ]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with scoopsci.open_engine("serial") as opened:
        yield opened


@pytest.mark.timeout(3_600)
@pytest.mark.filterwarnings("ignore::scoopsci.DoubtfulEstimateWarning")
@pytest.mark.parametrize(("name", "n_runs"), in_ci_and_slow(PROBLEMS, {"power", "vector"}))
def test_asymptotic_intervals_cover_at_the_stop(name: str, n_runs: int, engine: Engine) -> None:
    n_covered, n_samples = PROBLEMS[name].count_covered(n_runs, engine)
    print(f"{name}: {n_covered} of {n_runs} cover, after {n_samples:,.0f} samples")
    least, most = (0.93, 0.97) if n_runs == N_RUNS else (LEAST_QUICK / N_QUICK, 1.0)
    assert least <= n_covered / n_runs <= most, f"{n_covered} of {n_runs} cover"


@pytest.mark.timeout(3_600)
@pytest.mark.parametrize(("name", "n_runs"), in_ci_and_slow(BOUNDED, {"power", "vector"}))
def test_anytime_intervals_cover_at_the_stop(name: str, n_runs: int, engine: Engine) -> None:
    problem, options = BOUNDED[name]
    of = {**PROBLEMS, **MORE}[problem]
    n_covered, n_samples = of.count_covered(n_runs, engine, guarantee="anytime", **options)
    print(f"{name}: {n_covered} of {n_runs} cover, after {n_samples:,.0f} samples")
    assert n_covered >= 0.95 * n_runs, f"{n_covered} of {n_runs} cover"


N_LOOKS, PER_LOOK = 1_000, 50


def draw_looks(draw: Any, n_runs: int) -> tuple[Floats, Floats, Floats]:
    """Return count, mean and m2 of the samples between looks, of shape (looks, 1 or runs)."""
    moments = []
    for seed in range(n_runs):
        samples = draw(np.random.default_rng(seed), N_LOOKS * PER_LOOK)
        samples = samples.reshape(N_LOOKS, PER_LOOK).astype(np.float64)
        means = samples.mean(axis=1)
        moments.append((means, np.square(samples - means[:, None]).sum(axis=1)))
    means, m2 = np.array(moments).transpose(1, 2, 0)
    return np.full((N_LOOKS, 1), float(PER_LOOK)), means, m2


@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("width", [1.0, 0.25])
@pytest.mark.parametrize(("name", "n_runs"), in_ci_and_slow(["hits", "power", "peak"], {"power"}))
def test_bounded_samples_are_covered_at_every_look(name: str, n_runs: int, width: float) -> None:
    """In 1,000 looks, to a goal that is reached in the course of them, and to a tighter one."""
    draw = {"hits": draw_hits, "power": draw_power, "peak": draw_peak}[name]
    truth, half_width = PROBLEMS[name].truth, width * PROBLEMS[name].half_width

    def bet(variance: Floats, mean: Floats) -> Floats:
        return half_width / (half_width + variance)

    looks = draw_looks(draw, n_runs)
    centres, reaches = bernstein_sequence(*looks, math.log(2 / 0.05), bet)
    n_missed = int((np.abs(centres - truth) > reaches).any(axis=0).sum())
    print(f"{name}, ± {half_width:g}: {n_missed} of {n_runs} ever exclude the truth")
    assert n_missed <= 0.05 * n_runs


@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("n_runs", [100, pytest.param(N_RUNS, marks=pytest.mark.slow)])
@pytest.mark.parametrize("p", [0.5, 0.01, 0.001])
def test_counts_are_covered_at_every_look(p: float, n_runs: int) -> None:
    hits = np.random.default_rng(1).binomial(PER_LOOK, p, (N_LOOKS, n_runs)).cumsum(axis=0)
    missed = np.zeros(n_runs, bool)
    for look in range(N_LOOKS):
        found = mixture_sequence(hits[look], PER_LOOK * (look + 1), of_each(n_runs))
        low, high = found["interval"]
        missed |= (p < low) | (high < p)
    print(f"p = {p}: {missed.sum()} of {n_runs} ever exclude it")
    assert missed.sum() <= 0.05 * n_runs


def of_each(n_runs: int) -> float:
    """Return the confidence of all runs' intervals together for which each has 95 %."""
    return 1.0 - 0.05 * n_runs


@pytest.mark.parametrize("n_runs", [N_QUICK, pytest.param(N_RUNS, marks=pytest.mark.slow)])
def test_the_asymptotic_sequence_covers_at_every_look(n_runs: int) -> None:
    """Of exponential samples, from 1,000 of them on."""
    counts, means, m2 = draw_looks(draw_exponential, n_runs)
    total = counts.cumsum(axis=0)
    mean = (counts * means).cumsum(axis=0) / total
    squares = (m2 + counts * np.square(means - 1.0)).cumsum(axis=0)
    error = np.sqrt((squares / total - np.square(mean - 1.0)) / (total - 1.0))
    missed = np.zeros(n_runs, bool)
    for look in range(1_000 // PER_LOOK - 1, N_LOOKS):
        n_samples = PER_LOOK * (look + 1)
        found = asymptotic_sequence(mean[look], error[look], n_samples, of_each(n_runs))
        missed |= np.abs(found["value"] - 1.0) > found["half_width"]
    print(f"{missed.sum()} of {n_runs} ever exclude the truth")
    assert missed.sum() <= 0.05 * n_runs
