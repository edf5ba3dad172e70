"""Scrambled Sobol' points on smooth integrals in ten dimensions: far more accurate, and covered.

Replication i has the seed i: nothing was chosen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.special import ndtri
from scipy.stats import chi

import scoopsci
from scoopsci import Engine

Floats = NDArray[np.float64]

DIM, N_POINTS = 10, 1 << 20
#: Of ten dimensions the later ones matter less, as in most problems.
WEIGHTS = 1.0 / np.arange(1.0, DIM + 1.0)


def exponential(x: Floats) -> Floats:
    return np.asarray(np.exp((x * WEIGHTS).sum(axis=1)))


def oscillation(x: Floats) -> Floats:
    return np.asarray(np.cos(0.6 * math.pi + (x * WEIGHTS).sum(axis=1)))


def bell(x: Floats) -> Floats:
    return np.asarray(np.exp(-np.square((x - 0.5) * WEIGHTS).sum(axis=1)))


def product(x: Floats) -> Floats:
    return np.asarray(np.prod(1.0 + (x - 0.5) * WEIGHTS, axis=1))


EXACT: dict[Callable[[Floats], Floats], float] = {
    exponential: float(np.prod(np.expm1(WEIGHTS) / WEIGHTS)),
    oscillation: float(
        (np.exp(0.6j * math.pi) * np.prod((np.exp(1j * WEIGHTS) - 1.0) / (1j * WEIGHTS))).real
    ),
    bell: math.prod(math.sqrt(math.pi) / w * math.erf(w / 2.0) for w in WEIGHTS.tolist()),
    product: 1.0,
}
ONE_QUICK = [pytest.param(f, marks=[] if f is bell else [pytest.mark.slow]) for f in EXACT]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with scoopsci.open_engine("serial") as opened:
        yield opened


def find_errors(
    f: Callable[[Floats], Floats], n_seeds: int, n_points: int, **options: Any
) -> list[float]:
    options = {"dim": DIM, "block_size": 4_096, **options}
    return [
        abs(scoopsci.integrate(f, 0.0, 1.0, n_points, seed=seed, **options).value - EXACT[f])
        for seed in range(n_seeds)
    ]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("f", ONE_QUICK)
def test_error_is_fifty_times_below_plain_sampling(
    f: Callable[[Floats], Floats], engine: Engine
) -> None:
    plain = np.median(find_errors(f, 20, N_POINTS, engine=engine))
    scrambled = np.median(find_errors(f, 20, N_POINTS, engine=engine, method="qmc"))
    print(f"{f.__name__}: {plain / scrambled:.0f} times")
    assert plain >= 50.0 * scrambled, f"{plain / scrambled:.1f} times"


@pytest.mark.parametrize("f", ONE_QUICK)
def test_intervals_of_scrambles_cover(f: Callable[[Floats], Floats], engine: Engine) -> None:
    n_covered, n_seeds = 0, 200
    for seed in range(n_seeds):
        found = scoopsci.integrate(
            f, 0.0, 1.0, 1 << 13, dim=DIM, block_size=512, method="qmc", seed=seed, engine=engine
        )
        low, high = found.interval
        n_covered += low <= EXACT[f] <= high
    # Four standard deviations of a binomial count below 95 %.
    assert n_covered >= 177, f"{n_covered} of {n_seeds} cover"


@pytest.mark.parametrize(
    "methods",
    [
        pytest.param([scoopsci.Antithetic()], marks=pytest.mark.slow, id="antithetic"),
        pytest.param(
            [scoopsci.ControlVariates(lambda x: x, [0.5] * DIM)],
            marks=pytest.mark.slow,
            id="control",
        ),
        pytest.param(
            [
                scoopsci.Antithetic(),
                scoopsci.ControlVariates(lambda x: np.square(x), [1 / 3] * DIM),
            ],
            id="both",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:1,000 samples are few for 10 controls")
def test_intervals_of_reduced_variance_cover(methods: list[Any], engine: Engine) -> None:
    n_covered, n_seeds = 0, 1_000
    for seed in range(n_seeds):
        found = scoopsci.integrate(
            exponential, 0.0, 1.0, 1_000, dim=DIM, variance_reduction=methods, seed=seed,
            engine=engine,
        )  # fmt: skip
        low, high = found.interval
        n_covered += low <= EXACT[exponential] <= high
    assert n_covered >= 922, f"{n_covered} of {n_seeds} cover"


def keister(u: Floats) -> Floats:
    """Return π^(d/2) cos ‖x‖ under the normal distribution of variance 1/2."""
    x = ndtri(u) / math.sqrt(2.0)
    return np.asarray(math.pi ** (u.shape[1] / 2) * np.cos(np.sqrt(np.square(x).sum(axis=1))))


def find_keister() -> float:
    """Integrate over the radius, which has the distribution chi with 5 degrees of freedom."""
    found = quad(lambda r: math.cos(r / math.sqrt(2.0)) * chi.pdf(r, 5), 0.0, 40.0)[0]
    return float(math.pi**2.5 * found)


RATES = np.array([1 / 2, 1 / 4, 1 / 8])


def bells(u: Floats) -> Floats:
    """Return exp(-a ‖z‖²) of standard normal variables, whose means are (1 + 2 a)^(-d/2)."""
    return np.asarray(np.exp(-RATES * np.square(ndtri(u)).sum(axis=1)[:, None]))


@pytest.mark.parametrize(
    ("reduction", "most"),
    [([scoopsci.ControlVariates(bells, (1.0 + 2.0 * RATES) ** -2.5)], 20_000), ([], 65_536)],
    ids=["controls", "plain"],
)
def test_keisters_integral_takes_few_points(
    reduction: list[Any], most: int, engine: Engine
) -> None:
    exact, n_covered, taken = find_keister(), 0, []
    assert exact == pytest.approx(1.135323, abs=1e-6)
    for seed in range(50):
        found = scoopsci.integrate(
            keister, 0.0, 1.0, dim=5, half_width=5e-3, method="qmc", seed=seed, engine=engine,
            variance_reduction=reduction,
        )  # fmt: skip
        n_covered += abs(found.value - exact) <= found.half_width
        taken.append(found.n_samples)
    print(f"{np.median(taken):.0f} evaluations, at most {max(taken)}; {n_covered} of 50 cover")
    assert max(taken) <= most
    assert n_covered >= 42
