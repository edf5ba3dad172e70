"""Constants that a user states: wrong ones are noted in every run, right ones in none.

Replication i has the seed i: nothing was chosen.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtri

import scoopsci
from scoopsci import (
    Antithetic,
    ControlVariates,
    DoubtfulEstimateWarning,
    Engine,
    Estimate,
    ImportanceSampling,
)

N_SEEDS = 200
N = 1 << 12


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with scoopsci.open_engine("serial") as opened:
        yield opened


def exponential(x: Any) -> Any:
    return np.exp(x.sum(axis=1))


def both(x: Any) -> Any:
    return np.stack([exponential(x), x[:, 0] ** 5], axis=1)


def slope(factor: float = 1.0) -> ImportanceSampling:
    """Points of density 1/2 + x on each axis, stated as `factor` times that."""
    return ImportanceSampling(
        lambda u: (np.sqrt(1.0 + 8.0 * u) - 1.0) / 2.0,
        lambda x: factor * np.prod(0.5 + x, axis=1),
    )


def normal(x: Any, mean: float = 0.0, sigma: float = 1.0) -> Any:
    z = (x[:, 0] - mean) / sigma
    return np.exp(-np.square(z) / 2.0) / math.sqrt(2.0 * math.pi) / sigma


def shifted(mean: float, sigma: float, factor: float = 1.0) -> ImportanceSampling:
    """Points of a normal distribution, for a mean under the standard one times `factor`."""
    return ImportanceSampling(
        lambda u: ndtri(u) * sigma + mean,
        lambda x: normal(x, mean, sigma),
        lambda x: factor * normal(x),
    )


def half(u: Any) -> Any:
    return np.concatenate([u[:, :1] / 2.0, u[:, 1:]], axis=1)


def tilted_half(u: Any) -> Any:
    """Points of density (1/2 + 4 x) on the first half of the first axis: not constant."""
    return np.concatenate([(np.sqrt(1.0 + 32.0 * u[:, :1] * 0.75) - 1.0) / 8.0, u[:, 1:]], axis=1)


HALVES = [
    ImportanceSampling(half, lambda x: np.full(len(x), 2.0)),
    ImportanceSampling(tilted_half, lambda x: (0.5 + 4.0 * x[:, 0]) / 0.75),
]
SQUARES = ControlVariates(np.square, [1 / 3, 1 / 3])
STEP = ControlVariates(lambda x: x[:, 0] < 0.3, 0.3)
LINEAR = ControlVariates(lambda x: x, [0.5, 0.5])


def collect(
    engine: Engine, methods: list[Any], n_seeds: int, f: Callable[[Any], Any] = both,
    lower: Any = 0.0, upper: Any = 1.0, **options: Any,
) -> list[Estimate]:  # fmt: skip
    options = {"dim": 2, "block_size": 1 << 8, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DoubtfulEstimateWarning)
        return [
            scoopsci.integrate(
                f, lower, upper, N, variance_reduction=methods, seed=seed, engine=engine, **options
            )
            for seed in range(n_seeds)
        ]


#: What CI runs.
QUICK = (("linear", 0, "mc"), ("step", 0, "qmc"), ("both", 1, "mc"))
CASES: dict[str, list[Any]] = {
    "linear": [LINEAR],
    "squares": [SQUARES],
    "step": [STEP],
    "density": [slope()],
    "both": [slope(), SQUARES],
}
RIGHT = [
    pytest.param([*methods, *pairs], method, id=f"{name}{'-pairs' * len(pairs)}-{method}",
                 marks=[] if (name, len(pairs), method) in QUICK else [pytest.mark.slow])
    for name, methods in CASES.items()
    for pairs in ([], [Antithetic()])
    for method in ("mc", "qmc")
]  # fmt: skip


@pytest.mark.parametrize(("methods", "method"), RIGHT)
def test_right_constants_are_never_doubted(methods: list[Any], method: str, engine: Engine) -> None:
    runs = collect(engine, methods, N_SEEDS, method=method)
    assert {found.notes for found in runs} == {()}


TARGETS: dict[str, tuple[float, float, Callable[[Any], Any]]] = {
    "wide": (0.0, 1.5, lambda x: x[:, 0] ** 2),
    "tail": (2.0, 1.0, lambda x: x[:, 0] > 2.0),
    "far tail": (4.75, 1.0, lambda x: x[:, 0] > 4.75),
}


@pytest.mark.parametrize("method", ["mc", pytest.param("qmc", marks=pytest.mark.slow)])
@pytest.mark.parametrize(("mean", "sigma", "f"), TARGETS.values(), ids=list(TARGETS))
def test_right_densities_of_a_target_are_never_doubted(
    mean: float, sigma: float, f: Callable[[Any], Any], method: str, engine: Engine
) -> None:
    """The weights of a far tail vary beyond all testing, but not where the integrand counts."""
    methods = [shifted(mean, sigma)]
    runs = collect(engine, methods, N_SEEDS, f, -np.inf, np.inf, dim=1, method=method)
    assert {found.notes for found in runs} == {()}


@pytest.mark.parametrize("method", ["mc", "qmc"])
@pytest.mark.parametrize(
    ("methods", "told"),
    [
        ([ControlVariates(lambda x: x, [0.5, 0.7])], "integral of control 1 is 0.*states 0.7:"),
        ([ControlVariates(lambda x: x, [0.7, 0.5])], "integral of control 0 is 0.*states 0.7:"),
        ([ControlVariates(lambda x: x, [0.7, 0.5]), Antithetic()], "integral of control 0 is 0.5"),
        ([slope(), ControlVariates(lambda x: x, [0.5, 0.7])], "integral of control 1 is"),
        ([slope(1.1)], r"weights .* mean of 0\.(89|9)\d* ± .* where 1 is expected, the volume"),
        ([slope(0.5), LINEAR, Antithetic()], r"weights .* mean of (1\.9|2\.0)"),
        ([HALVES[0]], r"weights .* mean of 0\.5 ± 0, where 1 is"),
        ([HALVES[1]], r"weights .* mean of 0\.\d* ± .*, where 1 is"),
    ],
)
def test_wrong_constants_are_noted(
    methods: list[Any], told: str, method: str, engine: Engine
) -> None:
    for f in (exponential, both):
        for found in collect(engine, methods, 10, f, method=method):
            (note,) = found.notes
            assert re.search(told, note), note


@pytest.mark.parametrize("method", ["mc", "qmc"])
def test_a_target_that_is_no_density_is_noted(method: str, engine: Engine) -> None:
    """Three halves of one."""
    methods = [shifted(0.0, 1.5, 1.5)]
    for found in collect(
        engine, methods, 20, lambda x: x[:, 0] ** 2, -np.inf, np.inf, dim=1, method=method
    ):
        (note,) = found.notes
        assert re.search(r"mean of 1\.\d* ± .* where 1 is expected, the integral", note), note


@pytest.mark.parametrize("method", ["mc", "qmc"])
def test_concentrated_weights_are_noted(method: str, engine: Engine) -> None:
    """A density that is far narrower than the target: a few points have most of the weight."""
    methods = [shifted(3.0, 0.4)]
    runs = collect(
        engine, methods, 20, lambda x: x[:, 0] ** 2, -np.inf, np.inf, dim=1, method=method
    )
    n_noted = sum("samples worth about" in " ".join(found.notes) for found in runs)
    assert all(found.notes for found in runs)
    print(f"{n_noted} of {len(runs)} are told the effective sample size")
    assert n_noted >= 15


def power(x: Any) -> Any:
    return x[:, :1] ** np.arange(1, 4)


def test_few_samples_for_the_controls_are_noted(engine: Engine) -> None:
    """Exp, with three powers as controls: .76 of the intervals at 95 % from 20 samples cover."""
    method = ControlVariates(power, [1 / 2, 1 / 3, 1 / 4])
    covered = {}
    for n in (20, 480):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DoubtfulEstimateWarning)
            runs = [
                scoopsci.integrate(
                    lambda x: np.exp(x[:, 0]), 0.0, 1.0, n, dim=1, seed=seed, engine=engine,
                    variance_reduction=[method],
                )
                for seed in range(1_000)
            ]  # fmt: skip
        covered[n] = sum(abs(found.value - (math.e - 1)) <= found.half_width for found in runs)
        is_noted = {any("few for 3 controls" in note for note in found.notes) for found in runs}
        assert is_noted == {n == 20}
    print(covered)
    assert covered[20] < 820
    assert covered[480] > 922
