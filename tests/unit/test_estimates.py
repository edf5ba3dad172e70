"""Intervals and doubts by example; agreement with SciPy is in tests/property."""

import math
import pickle
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from scoopsci.estimation.estimates import (
    Estimate,
    find_doubts,
    format_with_error,
)
from scoopsci.estimation.intervals import student_interval, wilson_interval
from scoopsci.estimation.moments import Moments

FIELDS: dict[str, Any] = {
    "value": 3.14159,
    "standard_error": 0.001,
    "half_width": 0.00196,
    "interval": (3.13963, 3.14355),
    "confidence": 0.95,
    "n_samples": 10_000,
    "n_blocks": 1,
    "seed": 7,
    "engine": "serial",
    "n_workers": 1,
    "elapsed_s": 0.1,
}


def make_estimate(**changes: Any) -> Estimate:
    return Estimate(**{**FIELDS, **changes})


@pytest.mark.parametrize(
    ("n_hits", "interval"),
    [(0, (0.0, 0.27753279)), (10, (0.72246721, 1.0)), (5, (0.2365931, 0.7634069))],
)
def test_wilson_intervals_match_the_textbook(n_hits: int, interval: tuple[float, float]) -> None:
    found = wilson_interval(n_hits, 10, 0.95)
    assert found["interval"] == pytest.approx(interval, abs=1e-7)
    assert found["value"] == n_hits / 10
    assert found["standard_error"] == pytest.approx(math.sqrt(n_hits * (10 - n_hits) / 1000))
    reach = max(found["value"] - interval[0], interval[1] - found["value"])
    assert found["half_width"] == pytest.approx(reach, abs=1e-7)


def test_wilson_intervals_of_a_vector_are_simultaneous() -> None:
    found = wilson_interval(np.array([0, 3, 10]), 10, 0.95, scale=2.0)
    for k, n_hits in enumerate((0, 3, 10)):
        alone = wilson_interval(n_hits, 10, 1 - 0.05 / 3, scale=2.0)
        for name in ("value", "standard_error", "half_width"):
            assert found[name][k] == pytest.approx(alone[name], rel=1e-12)
        assert [end[k] for end in found["interval"]] == pytest.approx(alone["interval"], rel=1e-12)


@pytest.mark.parametrize("confidence", [1e-300, 1e-17, 1 - 1e-12, 1 - 1e-15, 1 - 2.0**-53])
def test_any_confidence_gives_finite_intervals(confidence: float) -> None:
    wilson = wilson_interval(785, 1_000, confidence, scale=4.0)
    student = find_student(np.arange(1_000.0), confidence)
    for found in (wilson, student):
        assert all(map(math.isfinite, [found["half_width"], *found["interval"]]))
        assert found["interval"][0] <= found["value"] <= found["interval"][1]


def find_student(samples: Any, confidence: float) -> dict[str, Any]:
    moments = Moments.of(samples)
    return student_interval(moments.mean, moments.standard_error, moments.count - 1, confidence)


def test_student_intervals_of_a_vector_are_simultaneous() -> None:
    """By Bonferroni's inequality: each of k components misses with a k-th of the odds."""
    column = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    found = find_student(np.stack([column] * 5, axis=1), 0.95)
    alone = find_student(column, 0.99)
    assert found["half_width"] == pytest.approx([alone["half_width"]] * 5, rel=1e-12)


def test_student_intervals_match_the_table() -> None:
    found = find_student(np.array([1.0, 2.0, 3.0, 4.0, 5.0]), 0.95)
    assert found["value"] == 3.0
    assert found["standard_error"] == pytest.approx(math.sqrt(0.5))
    assert found["half_width"] == pytest.approx(2.7764451 * math.sqrt(0.5), rel=1e-7)
    assert all(isinstance(found[key], float) for key in ("value", "standard_error", "half_width"))


def test_student_of_one_sample() -> None:
    found = find_student(np.array([[3.0, 4.0]]), 0.95)
    assert np.isnan(found["standard_error"]).all()
    assert found["half_width"].tolist() == [math.inf] * 2
    assert found["interval"][0].tolist() == [-math.inf] * 2


DOUBTS = {
    "one": ([5.0], "single sample"),
    "nan": ([1.0, math.nan, 2.0], "1 of 3 samples are infinite or NaN"),
    "infinite": ([math.inf, math.nan, 2.0], "2 of 3 samples are infinite or NaN"),
    "equal": ([0.3] * 1_000, "variance is zero"),
    "equal in one column": ([[float(i), 1.0] for i in range(100)], "variance is zero"),
    "heavy": ([*[0.0, 1.0] * 500, 1e6], "tail is heavy"),
    "heavy below": ([*[0.0, 1.0] * 500, -1e6], "tail is heavy"),
    "sum overflows": ([1.0e308, 1.2e308, 1.4e308], "overflow|infinite"),
    "squares overflow": ([1.0e200, 1.2e200, 1.4e200], "overflow|infinite"),
    "squares underflow": ([1.0e-200, 1.2e-200, 1.4e-200], "underflow|variance is zero|too small"),
}


def doubt(samples: Any) -> tuple[str, ...]:
    moments = Moments.of(np.array(samples))
    return find_doubts(moments, moments.standard_error)


@pytest.mark.parametrize("name", DOUBTS)
def test_doubts(name: str) -> None:
    samples, told = DOUBTS[name]
    found = doubt(samples)
    assert len(found) == 1, found
    assert re.search(told, found[0])


@pytest.mark.parametrize("n_samples", [2, 5, 50, 100, 1_000, 100_000])
@pytest.mark.parametrize("draw", ["random", "normal"])
def test_no_doubt_without_reason(n_samples: int, draw: str) -> None:
    samples = getattr(np.random.default_rng(3), draw)(size=n_samples)
    assert doubt(samples) == ()


def test_equal_samples_are_noted_once_despite_rounding() -> None:
    moments = Moments.of(np.full(1_000, 0.3)).merge(Moments.of(np.full(1, 0.3)))
    assert moments.m2 > 0
    (note,) = find_doubts(moments, moments.standard_error)
    assert note.startswith("All 1,001 samples are equal")


@pytest.mark.parametrize("offset", [-1e4, 1e4])
@pytest.mark.parametrize("outlier", [None, -1e3, 1e3])
def test_doubts_do_not_depend_on_an_offset(offset: float, outlier: float | None) -> None:
    samples = np.random.default_rng(3).normal(size=1_000)
    if outlier is not None:
        samples[17] = outlier
    assert bool(doubt(samples)) == bool(doubt(samples + offset)) == (outlier is not None)


def test_doubts_name_the_columns() -> None:
    samples = np.random.default_rng(3).random((100, 14))
    samples[:, [0, 3]] = 1.0
    assert doubt(samples)[0].startswith("All 100 samples of columns 0, 3 are equal")
    samples[:, 3] = samples[:, 2] * 1e-200
    (equal, underflow) = doubt(samples)
    assert equal.startswith("All 100 samples of column 0 are equal")
    assert underflow.startswith("The samples of column 3 differ")
    samples[:, :13] = 1.0
    assert " of columns 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 3 more are" in doubt(samples)[0]


def test_an_error_of_zero_of_samples_that_differ_is_doubtful() -> None:
    moments = Moments.of(np.random.default_rng(3).random((100, 2)))
    (told,) = find_doubts(moments, np.array([0.1, 0.0]))
    assert told.startswith("The error of column 1 is zero although the samples differ")


def test_hits_are_not_doubted() -> None:
    moments = replace(Moments.of(np.zeros(100)), n_hits=np.asarray(0))
    assert find_doubts(moments, 0.0) == ()


@pytest.mark.parametrize("count", [10**5, 10**7])
@pytest.mark.parametrize("weigh", ["constant", "uniform", "exponential", "lognormal"])
@pytest.mark.parametrize("expected", [1, 2, 3, 5, 8, 12, 16, 20])
def test_few_hits_of_a_weighted_payoff_are_covered_or_doubted(
    expected: int, weigh: str, count: int
) -> None:
    """An interval that misses without a doubt is at most one of ten, however few the hits."""
    rng = np.random.default_rng(expected)
    n_runs = n_silent = 1_000
    weights: dict[str, tuple[Any, float]] = {
        "constant": (np.ones, 1.0),
        "uniform": (rng.random, 0.5),
        "exponential": (lambda n: rng.exponential(size=n), 1.0),
        "lognormal": (lambda n: rng.lognormal(size=n), math.exp(0.5)),
    }
    draw, mean = weights[weigh]
    zero = np.asarray(0.0)
    for _ in range(n_runs):
        hits = draw(rng.poisson(expected))
        misses = Moments(count - len(hits), zero, zero, zero, zero, 0)
        moments = misses.merge(Moments.of(hits)) if len(hits) else misses
        error = float(moments.standard_error)
        low, high = student_interval(moments.mean, error, count - 1, 0.95)["interval"]
        covers = low <= expected * mean / count <= high
        n_silent -= covers or find_doubts(moments, error) != ()
    assert n_silent <= 0.1 * n_runs, f"{n_silent} of {n_runs} miss in silence"


@pytest.mark.parametrize(
    ("value", "half_width", "text"),
    [
        (3.14159265, 0.000123, "3.14159 ± 0.00012"),
        (-2.5, 0.5, "-2.50 ± 0.50"),
        (1234.5678, 12.3, "1235 ± 12"),
        (1.0, 0.0, "1 ± 0"),
        (1.5, math.inf, "1.5 ± inf"),
        (math.nan, math.nan, "nan ± nan"),
    ],
)
def test_format(value: float, half_width: float, text: str) -> None:
    assert format_with_error(value, half_width) == text


@pytest.mark.parametrize(("value", "half_width"), [(1.5e-200, 1e-203), (1.5e200, 1e197)])
def test_format_stays_short(value: float, half_width: float) -> None:
    text = format_with_error(value, half_width)
    assert len(text) < 50
    assert float(text.split(" ± ")[0]) == pytest.approx(value)


def test_text_of_an_estimate() -> None:
    assert str(make_estimate()) == "3.1416 ± 0.0020 (95 %), 10,000 samples"
    assert str(make_estimate(notes=("Doubtful.",))).endswith("\nDoubtful.")
    vector = str(make_estimate(value=np.array([1.0, 2.0]), half_width=np.array([0.1, 0.2])))
    assert vector == "[1. 2.] ± [0.1 0.2] (95 %, all at once), 10,000 samples"


def test_confidence_in_text_and_table() -> None:
    estimate = make_estimate(confidence=0.875)
    assert "(87.5 %)" in str(estimate)
    assert "(87.5 %)" in estimate._repr_html_()


def test_representation_is_short() -> None:
    estimate = make_estimate(convergence={"value": "long"}, receipt={"run": "longer"})
    assert "long" not in repr(estimate)


@pytest.mark.parametrize("value", [1.0, np.array([1.0, 2.0])], ids=["number", "vector"])
def test_estimate_is_a_value(value: Any) -> None:
    estimate = make_estimate(value=value)
    again = pickle.loads(pickle.dumps(estimate))
    assert isinstance(again == estimate, bool)
    assert str(again) == str(estimate)
