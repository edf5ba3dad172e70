"""Confidence sequences: against their definitions, computed another way."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import betaln, gammaln

from scoopsci.estimation.intervals import student_interval, wilson_interval
from scoopsci.estimation.sequences import (
    asymptotic_sequence,
    bernstein_sequence,
    mixture_sequence,
)

LARGE = 10**15


def find_excess(p: float, hits: int, misses: int) -> float:
    """Return the logarithm of the mixture over its limit, at 95 %."""
    return float(
        betaln(hits + 0.5, misses + 0.5)
        - math.log(math.pi)
        - (hits * math.log(p) if hits else 0.0)
        - (misses * math.log1p(-p) if misses else 0.0)
        + math.log(0.05)
    )


class TestMixture:
    @pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 1_000, 1_000_000])
    @pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.5, 0.99, 1.0])
    def test_ends_where_the_mixture_reaches_its_limit(self, n: int, share: float) -> None:
        hits = round(n * share)
        found = mixture_sequence(hits, n, 0.95)
        low, high = found["interval"]
        arguments = (hits, n - hits)
        if hits:
            inside = min(hits / n, 1.0 - 1e-16)
            expected = brentq(find_excess, 1e-300, inside, arguments, xtol=1e-300, rtol=1e-14)
            assert low == pytest.approx(expected, rel=1e-8, abs=1e-15)
        else:
            assert low == 0.0
        if hits < n:
            inside = max(hits / n, 1e-300)
            expected = brentq(find_excess, inside, 1.0 - 1e-16, arguments, xtol=1e-300, rtol=1e-14)
            assert high == pytest.approx(expected, rel=1e-8)
        else:
            assert high == 1.0
        assert found["value"] == hits / n
        assert found["half_width"] == max(found["value"] - low, high - found["value"])

    @pytest.mark.parametrize("hits", [1, 3, 40, 10**4])
    def test_few_hits_among_many_are_those_of_a_poisson_count(self, hits: int) -> None:
        """In the limit, the likelihood is that of a Poisson mean, averaged over Γ(1/2, 1)·√n."""

        def exceed(mean: float) -> float:
            posterior = gammaln(hits + 0.5) - 0.5 * math.log(LARGE) - math.log(math.pi)
            return float(posterior - hits * math.log(mean) + mean + math.log(0.05))

        low, high = mixture_sequence(hits, LARGE, 0.95)["interval"]
        assert LARGE * low == pytest.approx(brentq(exceed, 1e-12, hits, xtol=1e-14), rel=1e-6)
        assert LARGE * high == pytest.approx(brentq(exceed, hits, 100 * hits + 100), rel=1e-10)

    @pytest.mark.parametrize("share", [0.5, 0.001, 0.8])
    def test_many_hits_are_those_of_a_normal_mean(self, share: float) -> None:
        found = mixture_sequence(round(LARGE * share), LARGE, 0.95)
        squared = 2.0 * (math.log(20.0) + 0.5 * math.log(math.pi * LARGE / 2.0))
        expected = math.sqrt(squared * share * (1.0 - share) / LARGE)
        assert found["half_width"] == pytest.approx(expected, rel=1e-5)

    @pytest.mark.parametrize("n", [1, 1_000, LARGE])
    def test_no_hits_or_nothing_else(self, n: int) -> None:
        none, every = mixture_sequence(0, n, 0.95), mixture_sequence(n, n, 0.95)
        limit = math.log(20.0) + math.log(math.pi) - float(betaln(0.5, n + 0.5))
        assert none["interval"] == (0.0, pytest.approx(-math.expm1(-limit / n), rel=1e-7))
        assert every["interval"] == (pytest.approx(1.0 - none["interval"][1]), 1.0)
        assert every["half_width"] == pytest.approx(none["half_width"], rel=0.01)

    def test_columns_hold_at_once(self) -> None:
        found = mixture_sequence(np.array([0, 5, 1_000]), 1_000, 0.95, scale=2.0)
        for column, hits in enumerate((0, 5, 1_000)):
            alone = mixture_sequence(hits, 1_000, 1.0 - 0.05 / 3.0, scale=2.0)
            assert alone["value"] == found["value"][column]
            assert alone["half_width"] == pytest.approx(found["half_width"][column], rel=1e-12)

    def test_is_wider_than_wilson_s(self) -> None:
        wilson = wilson_interval(100, 10_000, 0.95)["half_width"]
        assert 1.9 < mixture_sequence(100, 10_000, 0.95)["half_width"] / wilson < 2.2


class TestAsymptotic:
    def test_is_narrowest_where_it_is_tuned_to(self) -> None:
        """For 95 %: √(ρ' + 1 + ...) of the paper's equation (8), with its ρ of equation (13)."""
        alpha, n = 0.05, 10_000
        rho = math.sqrt((-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / n)
        inner = n * rho**2 + 1.0
        expected = math.sqrt(
            2.0 * inner / (n**2 * rho**2) * math.log(math.sqrt(inner) / alpha)
        ) * math.sqrt(n)
        assert asymptotic_sequence(0.0, 1.0, n, 0.95)["half_width"] == pytest.approx(expected)
        student = student_interval(0.0, 1.0, n, 0.95)["half_width"]
        ratios = [
            asymptotic_sequence(0.0, 1.0, size, 0.95)["half_width"] / student
            for size in (1_000, 5_000, 10_000, 20_000, 100_000)
        ]
        assert min(ratios) == ratios[2] == pytest.approx(1.55, abs=0.01)

    def test_a_single_sample_has_no_end(self) -> None:
        found = asymptotic_sequence(1.0, math.nan, 1, 0.95)
        assert found["half_width"] == math.inf

    def test_columns_hold_at_once(self) -> None:
        found = asymptotic_sequence(np.array([1.0, 2.0]), np.array([0.1, 0.2]), 500, 0.95)
        alone = asymptotic_sequence(2.0, 0.2, 500, 0.975)
        assert alone["half_width"] == pytest.approx(found["half_width"][1], rel=1e-12)


def walk_samples(rounds: list[Any], h: float, log_level: float) -> Iterator[tuple[float, float]]:
    """Yield centre and reach after each round, sample by sample as in the theorem."""
    seen: list[float] = []
    weight = weighted = penalty = 0.0
    for samples in rounds:
        guess = (sum(seen) + 0.5) / (len(seen) + 1)
        mean = sum(seen) / len(seen) if seen else 0.0
        variance = (sum((x - mean) ** 2 for x in seen) + 0.25) / (len(seen) + 1)
        bet = min(h / variance, 0.75)
        for x in samples:
            weight += bet
            weighted += bet * x
            penalty += 4.0 * (x - guess) ** 2 * (-math.log(1.0 - bet) - bet) / 4.0
        seen.extend(samples)
        yield weighted / weight, (log_level + penalty) / weight


class TestBernstein:
    @pytest.mark.parametrize("h", [0.001, 0.02, 0.5])
    def test_moments_of_rounds_do_for_the_samples(self, h: float) -> None:
        rng = np.random.default_rng(1)
        rounds = [rng.random(size) ** 3 for size in (5, 5, 10, 1, 40, 200)]
        log_level = math.log(40.0)
        centres, reaches = bernstein_sequence(
            np.array([[float(len(samples))] for samples in rounds]),
            np.array([[samples.mean()] for samples in rounds]),
            np.array([[np.square(samples - samples.mean()).sum()] for samples in rounds]),
            log_level,
            lambda variance, mean: h / variance,
        )
        expected = list(walk_samples([samples.tolist() for samples in rounds], h, log_level))
        assert np.allclose(np.column_stack([centres, reaches]), expected, rtol=1e-10)

    def test_equal_samples_have_an_error_that_shrinks(self) -> None:
        counts, zeros = np.full((9, 1), 1_000.0), np.zeros((9, 1))
        centres, reaches = bernstein_sequence(
            counts, zeros, zeros, math.log(40.0), lambda variance, mean: 0.01 / variance
        )
        assert (centres == 0.0).all()
        assert (np.diff(reaches[:, 0]) < 0.0).all()
        assert 0.0 < reaches[-1, 0] < 1e-3

    def test_no_bet_is_no_information(self) -> None:
        centres, reaches = bernstein_sequence(
            np.ones((2, 1)), np.full((2, 1), 0.3), np.zeros((2, 1)), 3.0,
            lambda variance, mean: np.zeros_like(mean),
        )  # fmt: skip
        assert np.isinf(reaches).all()
        assert (centres == 0.3).all()
