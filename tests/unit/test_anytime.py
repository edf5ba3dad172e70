"""Runs whose intervals hold at every look: what they take, refuse, tell, and that bits agree."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest

import scoopsci
from scoopsci import (
    Antithetic,
    ControlVariates,
    DoubtfulEstimateWarning,
    Engine,
    EngineTimeoutError,
    Estimate,
    ImportanceSampling,
    LedgerError,
    NotConvergedError,
)
from scoopsci.estimation.anytime import BoundedMean
from scoopsci.estimation.estimators import SampleMean
from scoopsci.estimation.moments import Moments
from scoopsci.estimation.sequences import asymptotic_sequence, mixture_sequence
from scoopsci.reporting.progress import Progress

cloudpickle.register_pickle_by_value(sys.modules[__name__])

Rng = np.random.Generator
ANYTIME: Any = {"guarantee": "anytime", "seed": 3}
BOUNDED: Any = {**ANYTIME, "bounds": (0, 1)}


def draw_powers(rng: Rng, size: int) -> Any:
    return rng.random((size, 2)) ** (8.0, 1.0)


def draw_power(rng: Rng, size: int) -> Any:
    return rng.random(size) ** 8


def draw_hits(rng: Rng, size: int) -> Any:
    return rng.random((size, 3)) < (0.5, 0.01, 0.001)


def gauss(x: Any) -> Any:
    return np.exp(-np.square(x).sum(axis=1))


def find_pi(**run: Any) -> Estimate:
    return scoopsci.pi(half_width=0.04, block_size=1_000, **ANYTIME, **run)


def find_hits(**run: Any) -> Estimate:
    return scoopsci.estimate(draw_hits, half_width=0.02, block_size=300, **ANYTIME, **run)


def find_bounded(half_width: float = 0.01, **run: Any) -> Estimate:
    options: Any = {"half_width": half_width, "block_size": 300, **BOUNDED, **run}
    return scoopsci.estimate(draw_powers, **options)


def find_pairs(**run: Any) -> Estimate:
    methods = [Antithetic()]
    options: Any = {"half_width": 0.03, "block_size": 300, "variance_reduction": methods, **BOUNDED}
    return scoopsci.integrate(gauss, -1.0, 1.0, dim=3, **options, **run)


def find_normal(**run: Any) -> Estimate:
    options: Any = {"half_width": 0.03, "block_size": 300, **ANYTIME, **run}
    return scoopsci.estimate(lambda rng, size: rng.normal(2.0, 1.0, size), **options)


RUNS: list[Callable[..., Estimate]] = [find_pi, find_hits, find_bounded, find_pairs, find_normal]
every_run = pytest.mark.parametrize("run", RUNS, ids=lambda run: run.__name__)
pytestmark = pytest.mark.filterwarnings("ignore:The interval is an asymptotic:UserWarning")


def to_bits(found: Estimate) -> tuple[Any, ...]:
    numbers = (found.value, found.standard_error, found.half_width, *found.interval)
    numbers += tuple(found.convergence.values())
    return (found.n_samples, found.n_blocks, *(np.asarray(n).tobytes() for n in numbers))


@pytest.fixture(scope="module", params=["processes", "pool"])
def workers(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with scoopsci.open_engine(request.param, n_workers=2) as engine:
        yield engine


class Stopped(Exception):
    """Ends a run from its progress."""


@every_run
def test_workers_give_the_same_bits(run: Callable[..., Estimate], workers: Engine) -> None:
    expected = to_bits(run(engine="serial"))
    assert to_bits(run(engine=workers, chunk_target_s=1e-4)) == expected


@every_run
def test_a_resumed_run_gives_the_same_bits(run: Callable[..., Estimate], tmp_path: Path) -> None:
    def stop(state: Progress) -> None:
        if state.n_done >= 7:
            raise Stopped

    how: Any = {"ledger": tmp_path / "run.ledger", "chunk_target_s": 1e-9, "engine": "serial"}
    with pytest.raises(Stopped):
        run(**how, progress=stop)
    found = run(**how)
    assert to_bits(found) == to_bits(run(engine="serial"))
    assert 7 <= found.receipt["run"]["n_recalled_blocks"] < found.n_blocks


@pytest.mark.parametrize("n_samples", [5_000, 30_011])
def test_a_number_of_samples_gives_the_same_bits(n_samples: int, workers: Engine) -> None:
    """Also where the partials arrive in any order, and the last block is shortened."""
    options: Any = {"n_samples": n_samples, "block_size": 300, **BOUNDED}
    expected = scoopsci.estimate(draw_powers, engine="serial", **options)
    found = scoopsci.estimate(draw_powers, engine=workers, chunk_target_s=1e-4, **options)
    assert to_bits(found) == to_bits(expected)


@every_run
def test_the_value_is_that_of_a_run_without_the_guarantee(run: Callable[..., Estimate]) -> None:
    found = run(engine="serial")
    low, high = found.interval
    assert np.all(low <= found.value)
    assert np.all(found.value <= high)
    assert np.allclose(found.half_width, np.maximum(found.value - low, high - found.value))
    options: Any = {"seed": 3, "block_size": 300, "engine": "serial"}
    if run is find_bounded:
        plain = scoopsci.estimate(draw_powers, found.n_samples, **options)
    elif run is find_hits:
        plain = scoopsci.estimate(draw_hits, found.n_samples, **options)
    else:
        return
    assert np.array_equal(found.value, plain.value)
    assert np.array_equal(found.standard_error, plain.standard_error)
    assert np.all(found.half_width > 1.3 * plain.half_width)


class TestKinds:
    def test_counts_have_the_mixture(self) -> None:
        found = find_hits(engine="serial")
        n_hits = np.rint(found.value * found.n_samples).astype(int)
        expected = mixture_sequence(n_hits, found.n_samples, 0.95)
        assert np.array_equal(found.interval, expected["interval"])
        assert found.guarantee == "anytime, by a beta-binomial mixture"
        circle: Any = find_pi(engine="serial")
        expected = mixture_sequence(circle.n_inside, circle.n_samples, 0.95, scale=4.0)
        assert circle.interval == expected["interval"]
        assert circle.guarantee == found.guarantee

    def test_a_volume_is_a_count(self) -> None:
        found = scoopsci.integrate(
            lambda x: x.sum(axis=1) < 0.0, -1.0, 1.0, 4_000, dim=2, engine="serial", **ANYTIME
        )
        n_hits = round(found.value / 4.0 * 4_000)
        expected = mixture_sequence(n_hits, 4_000, 0.95, scale=4.0)
        assert found.half_width == expected["half_width"]

    def test_other_samples_have_an_asymptotic_sequence_which_is_named(self) -> None:
        with pytest.warns(DoubtfulEstimateWarning, match="an asymptotic confidence sequence: it"):
            found = find_normal(engine="serial")
        expected = asymptotic_sequence(found.value, found.standard_error, found.n_samples, 0.95)
        assert found.half_width == expected["half_width"]
        assert found.guarantee == "anytime, by an asymptotic confidence sequence"
        assert "asymptotic confidence sequence" in str(found)

    @pytest.mark.parametrize(
        "method",
        [
            ControlVariates(lambda x: x, [0.5, 0.5]),
            ImportanceSampling(lambda u: u, lambda x: np.ones(len(x))),
        ],
    )
    def test_controls_and_weights_have_an_asymptotic_one(self, method: Any) -> None:
        found = scoopsci.integrate(
            gauss, 0.0, 1.0, 4_000, dim=2, variance_reduction=[method], engine="serial", **ANYTIME
        )
        assert found.guarantee == "anytime, by an asymptotic confidence sequence"
        assert 1.5 < found.half_width / found.standard_error / 1.96 < 1.8

    def test_bounds_have_the_bernstein_sequence(self) -> None:
        found = find_bounded(engine="serial")
        assert found.guarantee.startswith("anytime, by an empirical-Bernstein sequence")
        assert found.notes == ()
        assert "(95 %, at every look" in str(
            scoopsci.estimate(draw_power, 9_000, engine="serial", **BOUNDED)
        )

    def test_bounds_and_half_width_are_in_the_units_of_the_function(self) -> None:
        """The same samples on another scale: the same run, but for rounding."""
        one = scoopsci.estimate(draw_power, half_width=0.01, engine="serial", **BOUNDED)
        other = scoopsci.estimate(
            lambda rng, size: 8.0 * draw_power(rng, size) - 16.0,
            half_width=0.08, bounds=(-16.0, -8.0), engine="serial", **ANYTIME,
        )  # fmt: skip
        assert other.n_samples == one.n_samples
        assert other.half_width == pytest.approx(8.0 * one.half_width)
        low, high = other.interval
        assert (low + 16.0, high + 16.0) == pytest.approx(np.multiply(8.0, one.interval))

    def test_the_interval_reaches_to_a_mean_beyond_the_sequence(self) -> None:
        """The first round has a small weight in the sequence, and a large one in the mean."""
        first, second = (Moments.of(np.full(4_000, x)) for x in (0.52, 0.5))
        mean = BoundedMean(SampleMean(draw_power, 1), (0.0, 1.0), 0.001, False, None)
        whole = mean.merge(mean.place(1, first), mean.place(2, second))
        found = mean.summarise(whole, 8_000, 0.95)
        low, high = found["interval"]
        assert high == found["value"] == pytest.approx(0.51)
        assert low < 0.5
        assert found["half_width"] == found["value"] - low

    def test_bounds_of_an_integrand_are_not_those_of_the_integral(self) -> None:
        found = find_pairs(engine="serial")
        truth = (math.sqrt(math.pi) * math.erf(1.0)) ** 3
        low, high = found.interval
        assert low <= truth <= high
        assert found.half_width <= 0.03
        plain = scoopsci.integrate(
            gauss, -1.0, 1.0, half_width=0.03, dim=3, block_size=300, engine="serial", **BOUNDED
        )
        assert plain.interval[0] <= truth <= plain.interval[1]

    def test_a_number_of_samples_tunes_the_bets(self) -> None:
        found = scoopsci.estimate(draw_power, 20_000, engine="serial", **BOUNDED)
        optimal = math.sqrt(2.0 * math.log(40.0)) * found.standard_error
        assert 1.0 < found.half_width / optimal < 1.25

    def test_a_relative_half_width(self) -> None:
        found = scoopsci.estimate(
            draw_power, half_width=0.1, relative=True, block_size=300, engine="serial", **BOUNDED
        )
        assert found.half_width <= 0.1 * found.value
        assert found.interval[0] <= 1.0 / 9.0 <= found.interval[1]
        assert 2_000 < found.n_samples < 6_000

    @pytest.mark.filterwarnings("ignore::scoopsci.DistantGoalWarning")
    def test_a_narrow_half_width_within_bounds_is_not_hopeless_at_the_first_look(self) -> None:
        """The width shrinks by 1/n at first, not by 1/√n: the run goes on until its timeout."""
        with pytest.raises(EngineTimeoutError):
            scoopsci.estimate(draw_power, half_width=1e-10, timeout=0.5, engine="serial", **BOUNDED)

    def test_equal_samples_within_bounds_reach_a_half_width(self) -> None:
        found = scoopsci.estimate(
            lambda rng, size: np.zeros(size), half_width=0.01, engine="serial", **BOUNDED
        )
        assert found.interval[0] == 0.0
        assert 0.0 < found.half_width <= 0.01

    @pytest.mark.filterwarnings("ignore::scoopsci.DoubtfulEstimateWarning")
    def test_equal_samples_without_bounds_reach_nothing(self) -> None:
        with pytest.raises(NotConvergedError, match="no error, which is no information"):
            scoopsci.estimate(
                lambda rng, size: np.ones(size), half_width=0.1, engine="serial", **ANYTIME
            )

    def test_columns_hold_at_once(self) -> None:
        options: Any = {"n_samples": 20_000, "engine": "serial"}
        both = scoopsci.estimate(draw_powers, confidence=0.9, **options, **BOUNDED)
        one = scoopsci.estimate(
            lambda rng, size: draw_powers(rng, size)[:, 0], confidence=0.95, **options, **BOUNDED
        )
        assert both.half_width[0] == pytest.approx(one.half_width)


class TestRefused:
    @pytest.mark.parametrize("value", [1.5, -0.25, math.nan, math.inf])
    @pytest.mark.parametrize("size", [{"half_width": 0.01}, {"n_samples": 9_000}])
    def test_a_sample_outside_of_the_bounds(self, value: float, size: Any) -> None:
        def draw(rng: Rng, size: int) -> Any:
            samples = rng.random(size)
            samples[-1] = value
            return samples

        told = rf"samples must lie within bounds=\(0.0, 1.0\), got {value!r}; give bounds that hold"
        with pytest.raises(ValueError, match=told):
            scoopsci.estimate(draw, **size, engine="serial", **BOUNDED)

    def test_a_value_of_an_integrand_outside_of_the_bounds(self) -> None:
        with pytest.raises(ValueError, match=r"within bounds=\(0.5, 1.0\), got \d.*e-"):
            scoopsci.integrate(
                gauss, -5.0, 5.0, 9_000, dim=3, bounds=(0.5, 1.0), engine="serial", **ANYTIME
            )

    @pytest.mark.parametrize(
        ("options", "error", "told"),
        [
            ({"guarantee": "always"}, ValueError, "'asymptotic' or 'anytime', got 'always'"),
            ({"bounds": (0, 1)}, ValueError, "bounds must come with guarantee='anytime'"),
            ({**ANYTIME, "bounds": (1, 0)}, ValueError, r"the lower one first, got \(1, 0\)"),
            ({**ANYTIME, "bounds": (0, math.inf)}, ValueError, "finite numbers, the lower"),
            ({**ANYTIME, "bounds": (-1e308, 1e308)}, ValueError, "finite numbers, the lower"),
            ({**ANYTIME, "bounds": 1}, TypeError, r"two numbers \(a, b\), got 1"),
            ({**ANYTIME, "bounds": (0, 1, 2)}, TypeError, r"two numbers \(a, b\), got \(0, 1, 2\)"),
        ],
    )
    def test_wrong_options(self, options: Any, error: type[Exception], told: str) -> None:
        with pytest.raises(error, match=told):
            scoopsci.estimate(draw_power, 2_000, engine="serial", **options)

    def test_scrambled_points(self) -> None:
        with pytest.raises(ValueError, match=r"16 scrambles .*; use method='mc', or guarantee="):
            scoopsci.integrate(
                gauss, 0.0, 1.0, half_width=0.1, dim=2, method="qmc", engine="serial", **ANYTIME
            )

    @pytest.mark.parametrize(
        "method",
        [
            ControlVariates(lambda x: x, [0.5, 0.5]),
            ImportanceSampling(lambda u: u, lambda x: np.ones(len(x))),
        ],
    )
    def test_bounds_of_weighted_or_controlled_samples(self, method: Any) -> None:
        told = f"do not hold for its samples by {method.name}"
        with pytest.raises(ValueError, match=told):
            scoopsci.integrate(
                gauss, 0.0, 1.0, 4_000, dim=2, variance_reduction=[method, Antithetic()],
                engine="serial", **BOUNDED,
            )  # fmt: skip

    def test_bounds_of_pi(self) -> None:
        with pytest.raises(TypeError, match="with a function whose mean is estimated, got bounds"):
            scoopsci.pi(4_000, engine="serial", **BOUNDED)


class TestLedger:
    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"half_width": 0.004}, r'"half_width": 0.01, .* there and .*"half_width": 0.004, '),
            ({"half_width": 0.02}, r'"half_width": 0.01, .* there and .*"half_width": 0.02, '),
            ({"relative": True}, r'"relative": false.* there and .*"relative": true'),
            ({"bounds": (0, 2)}, r"\[0.0, 1.0\].* there and .*\[0.0, 2.0\]"),
            ({"half_width": None, "n_samples": 9_000}, r'there and .*"n_samples": 9000'),
        ],
    )
    def test_a_goal_chosen_after_looking_is_refused(
        self, change: Any, told: str, tmp_path: Path
    ) -> None:
        how: Any = {"ledger": tmp_path / "run.ledger", "engine": "serial"}
        find_bounded(**how)
        with pytest.raises(LedgerError, match=told) as caught:
            find_bounded(**{**how, **change})
        assert "stated before the first sample, and later ones would void it" in str(caught.value)

    def test_samples_seen_without_a_stated_goal_are_refused(self, tmp_path: Path) -> None:
        ledger = tmp_path / "run.ledger"
        options: Any = {"half_width": 0.05, "block_size": 300, "seed": 3, "engine": "serial"}
        scoopsci.estimate(draw_powers, ledger=ledger, **options)
        with pytest.raises(LedgerError, match=r"void it: declared is not given there and"):
            find_bounded(ledger=ledger, engine="serial")

    def test_a_number_of_samples_is_a_goal(self, tmp_path: Path) -> None:
        options: Any = {"ledger": tmp_path / "run.ledger", "engine": "serial", **BOUNDED}
        scoopsci.estimate(draw_powers, 9_000, **options)
        for change in ({"n_samples": 10_000}, {"n_samples": 9_000, "confidence": 0.9}):
            with pytest.raises(LedgerError, match="later ones would void it"):
                scoopsci.estimate(draw_powers, **change, **options)

    def test_a_maximum_and_a_minimum_are_none(self, tmp_path: Path) -> None:
        how: Any = {"ledger": tmp_path / "run.ledger", "engine": "serial"}
        with pytest.raises(NotConvergedError):
            find_bounded(**how, max_samples=4_000)
        found = find_bounded(**how, min_samples=5_000)
        assert found.receipt["run"]["n_recalled_blocks"] > 0
        assert to_bits(found)[0] == find_bounded(engine="serial").n_samples
        assert found.half_width.tobytes() == find_bounded(engine="serial").half_width.tobytes()

    @pytest.mark.parametrize("run", [find_pi, find_hits, find_normal])
    def test_sequences_that_follow_no_goal_take_up_any_run(
        self, run: Callable[..., Estimate], tmp_path: Path
    ) -> None:
        with pytest.raises(NotConvergedError):
            run(ledger=tmp_path / "run.ledger", engine="serial", max_samples=2_000)
        found = run(ledger=tmp_path / "run.ledger", engine="serial")
        assert to_bits(found) == to_bits(run(engine="serial"))


def test_the_receipt_carries_it() -> None:
    found = find_bounded(engine="serial")
    told = found.receipt["options"]
    assert (told["guarantee"], told["bounds"]) == ("anytime", [0.0, 1.0])
    assert found.receipt["result"]["guarantee"] == found.guarantee
    plain = scoopsci.estimate(draw_power, 2_000, seed=1, engine="serial")
    assert plain.receipt["options"]["guarantee"] == plain.guarantee == "asymptotic"


def test_bounds_that_are_stated_cost_two_to_three_times_the_samples() -> None:
    plain, bounded = 0, 0
    for seed in range(20):
        options: Any = {"half_width": 0.008, "seed": seed, "block_size": 200, "engine": "serial"}
        plain += scoopsci.estimate(draw_power, **options).n_samples
        found = scoopsci.estimate(draw_power, guarantee="anytime", bounds=(0, 1), **options)
        bounded += found.n_samples
    assert 1.9 < bounded / plain < 3.0
