"""Error bars hold what they promise: intervals cover, and z-scores are normal.

Replication i has the seed i: nothing was chosen.
"""

import math
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

import scoopsci
from scoopsci import Engine, Estimate

N_REPLICATIONS = 2_000
N_SCORES = 200
#: Four standard deviations of a binomial count at 95 %.
N_COVERED, TOLERANCE = 1_900, 39


def estimate_pi(seed: int, engine: Engine) -> Estimate:
    return scoopsci.pi(10_000, seed=seed, engine=engine)


def gauss(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.exp(-np.square(x).sum(axis=1)))


def estimate_integral(seed: int, engine: Engine) -> Estimate:
    return scoopsci.integrate(gauss, 0.0, 1.0, 10_000, dim=3, seed=seed, engine=engine)


def draw_exponential(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    return rng.exponential(size=size)


def estimate_mean(seed: int, engine: Engine) -> Estimate:
    return scoopsci.estimate(draw_exponential, 1_000, seed=seed, engine=engine)


TARGETS: dict[Callable[[int, Engine], Estimate], float] = {
    estimate_pi: math.pi,
    estimate_integral: (math.sqrt(math.pi) / 2 * math.erf(1.0)) ** 3,
    estimate_mean: 1.0,
}
# The largest of 1,000 exponential samples looks like a heavy tail now and then.
pytestmark = pytest.mark.filterwarnings("ignore::scoopsci.DoubtfulEstimateWarning")
workloads = pytest.mark.parametrize("run", TARGETS, ids=lambda run: run.__name__)


@cache
def replicate(run: Callable[[int, Engine], Estimate]) -> list[Estimate]:
    with scoopsci.open_engine("serial") as engine:
        return [run(seed, engine) for seed in range(N_REPLICATIONS)]


def covered(run: Callable[[int, Engine], Estimate]) -> Iterator[bool]:
    for found in replicate(run):
        low, high = found.interval
        yield low <= TARGETS[run] <= high


@workloads
def test_intervals_cover(run: Callable[[int, Engine], Estimate]) -> None:
    n_covered = sum(covered(run))
    assert abs(n_covered - N_COVERED) <= TOLERANCE, f"{n_covered} of {N_REPLICATIONS} cover"


@workloads
@pytest.mark.parametrize("n_scores", [N_SCORES, N_REPLICATIONS])
def test_z_scores_are_normal(run: Callable[[int, Engine], Estimate], n_scores: int) -> None:
    found = replicate(run)[:n_scores]
    scores = [(each.value - TARGETS[run]) / each.standard_error for each in found]
    # The three workloads share a level of 1 %.
    assert stats.kstest(scores, "norm").pvalue > 0.01 / len(TARGETS)


@workloads
def test_mean_of_all_is_unbiased(run: Callable[[int, Engine], Estimate]) -> None:
    values = [each.value for each in replicate(run)]
    error = np.std(values, ddof=1) / math.sqrt(len(values))
    assert abs(np.mean(values) - TARGETS[run]) < 4 * error


@workloads
def test_stated_error_is_the_observed_one(run: Callable[[int, Engine], Estimate]) -> None:
    observed = np.std([each.value for each in replicate(run)], ddof=1)
    stated = np.mean([each.standard_error for each in replicate(run)])
    assert stated == pytest.approx(observed, rel=4 / math.sqrt(2 * N_REPLICATIONS))
