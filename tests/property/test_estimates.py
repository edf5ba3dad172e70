"""Intervals compared with SciPy's, and properties that hold for every interval."""

from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import stats

from scoopsci.estimation.estimates import format_with_error
from scoopsci.estimation.intervals import student_interval, wilson_interval
from scoopsci.estimation.moments import Moments

Floats = NDArray[np.float64]
confidences = st.floats(1e-6, 1 - 1e-12)


@st.composite
def counts(draw: st.DrawFn, n_most: int = 10**12) -> tuple[int, int]:
    n_trials = draw(st.integers(1, n_most))
    return draw(st.one_of(st.sampled_from([0, n_trials]), st.integers(0, n_trials))), n_trials


@given(counts(), confidences, st.sampled_from([1.0, 4.0]))
def test_wilson_lies_within_0_and_1_and_contains_the_share(
    hits: tuple[int, int], confidence: float, scale: float
) -> None:
    found = wilson_interval(*hits, confidence, scale=scale)
    low, high = found["interval"]
    assert found["value"] == scale * (hits[0] / hits[1])
    assert 0.0 <= low <= found["value"] <= high <= scale
    assert found["half_width"] == max(found["value"] - low, high - found["value"])
    assert found["standard_error"] >= 0


@given(counts(10**6), st.floats(0.01, 0.9999))
def test_wilson_agrees_with_scipy(hits: tuple[int, int], confidence: float) -> None:
    found = wilson_interval(*hits, confidence)
    expected = stats.binomtest(*hits).proportion_ci(confidence, method="wilson")
    assert found["interval"] == pytest.approx((expected.low, expected.high), rel=1e-9, abs=1e-13)


@given(counts(10**9), confidences)
def test_wilson_solves_its_own_equation(hits: tuple[int, int], confidence: float) -> None:
    """Both ends p satisfy |share - p| = z·√(p(1 - p)/n): that is Wilson's definition."""
    n_hits, n_trials = hits
    z = stats.norm.isf((1 - confidence) / 2)
    for end in wilson_interval(n_hits, n_trials, confidence)["interval"]:
        distance = (n_hits / n_trials - end) ** 2
        scale = z * z / n_trials
        assert distance == pytest.approx(
            scale * end * (1 - end), rel=1e-5, abs=1e-12 * scale + 1e-17
        )


def find_student(samples: Floats, confidence: float) -> dict[str, Any]:
    moments = Moments.of(samples)
    return student_interval(moments.mean, moments.standard_error, moments.count - 1, confidence)


@given(
    arrays(np.float64, st.integers(2, 50), elements=st.floats(-1e3, 1e3)),
    st.floats(0.001, 0.999999),
)
def test_student_agrees_with_scipy(samples: Floats, confidence: float) -> None:
    found = find_student(samples, confidence)
    mean, error = float(np.mean(samples)), float(stats.sem(samples))
    close = partial(pytest.approx, rel=1e-7, abs=1e-9)
    assert found["value"] == close(mean)
    assert found["standard_error"] == close(error)
    if error > 1e-6:
        expected = stats.t.interval(confidence, len(samples) - 1, loc=mean, scale=error)
        assert found["interval"] == close(expected)


@given(
    arrays(np.float64, st.tuples(st.integers(2, 20), st.integers(1, 4)), elements=st.floats(-9, 9))
)
def test_student_of_columns_is_that_of_each_column(samples: Floats) -> None:
    found = find_student(samples, 0.9)
    for k in range(samples.shape[1]):
        column = find_student(samples[:, k].copy(), 1 - 0.1 / samples.shape[1])
        for key in ("value", "standard_error", "half_width"):
            assert found[key][k] == pytest.approx(column[key], rel=1e-9, abs=1e-12)
        ends = [end[k] for end in found["interval"]]
        assert ends == pytest.approx(list(column["interval"]), rel=1e-9, abs=1e-12)


@given(st.floats(-1e6, 1e6), st.floats(1e-9, 1e3))
def test_formatted_numbers_are_those_given(value: float, half_width: float) -> None:
    shown = [float(part) for part in format_with_error(value, half_width).split(" ± ")]
    assert shown[1] == pytest.approx(half_width, rel=0.06)
    assert shown[0] == pytest.approx(value, abs=0.06 * half_width + 1e-9 * abs(value))
