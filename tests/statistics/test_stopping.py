"""Error bars of runs that stop when theirs is short enough: they cover what they promise.

Replication i has the seed i, and the widths were chosen for their numbers of samples, about 1,500
to 25,000: nothing else was.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import scoopsci
from scoopsci import Engine, Estimate

N_REPLICATIONS = 2_000
#: Four standard deviations of a binomial count below 95 %.
LEAST = 1_861

Run = Callable[..., Estimate]


def stop_pi(**run: Any) -> Estimate:
    return scoopsci.pi(block_size=500, **run)


def gauss(x: Any) -> Any:
    return np.exp(-np.square(x).sum(axis=1))


def stop_integral(**run: Any) -> Estimate:
    return scoopsci.integrate(gauss, 0.0, 1.0, dim=3, block_size=500, **run)


def stop_mean(**run: Any) -> Estimate:
    return scoopsci.estimate(lambda rng, n: rng.exponential(size=n), block_size=500, **run)


MEANS = np.array([1.0, 2.0, 0.0, 0.5, 3.0])


def stop_vector(**run: Any) -> Estimate:
    """Draw five numbers of unit variance, some dependent on others, of various shapes."""

    def draw(rng: np.random.Generator, n: int) -> Any:
        common = rng.standard_normal(n)
        columns = [rng.exponential(size=n), 2.0 + common, 0.6 * common + 0.8 * rng.normal(size=n),
                   0.5 + math.sqrt(12) * (rng.random(n) - 0.5), 3.0 - common]  # fmt: skip
        return np.stack(columns, axis=1)

    return scoopsci.estimate(draw, block_size=500, **run)


INTEGRAL = (math.sqrt(math.pi) / 2 * math.erf(1.0)) ** 3
CASES: list[tuple[Run, Any, tuple[float, float, float]]] = [
    (stop_pi, math.pi, (0.08, 0.04, 0.02)),
    (stop_integral, INTEGRAL, (0.01, 0.005, 0.0025)),
    (stop_mean, 1.0, (0.05, 0.025, 0.0125)),
    (stop_vector, MEANS, (0.065, 0.0325, 0.01625)),
]
#: What CI runs.
QUICK = ((stop_pi, 0.08), (stop_mean, 0.05))
PARAMETERS = [
    pytest.param(run, truth, width, id=f"{run.__name__}-{width}",
                 marks=[] if (run, width) in QUICK else [pytest.mark.slow])
    for run, truth, widths in CASES
    for width in widths
]  # fmt: skip


@pytest.fixture(scope="module")
def engine() -> Any:
    with scoopsci.open_engine("serial") as opened:
        yield opened


@pytest.mark.filterwarnings("ignore::scoopsci.DoubtfulEstimateWarning")
@pytest.mark.parametrize(("run", "truth", "width"), PARAMETERS)
def test_stopped_intervals_cover(run: Run, truth: Any, width: float, engine: Engine) -> None:
    n_covered = 0
    for seed in range(N_REPLICATIONS):
        found = run(half_width=width, seed=seed, engine=engine)
        low, high = found.interval
        n_covered += bool(np.all((low <= truth) & (truth <= high)))
        assert np.max(found.half_width) <= width
    assert n_covered >= LEAST, f"{n_covered} of {N_REPLICATIONS} cover"
    print(f"{n_covered} of {N_REPLICATIONS} cover")
