"""What the samples contradict: when it is tested, and what the notes say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from scoopsci import ControlVariates, ImportanceSampling
from scoopsci.estimation.integrand import Integrand
from scoopsci.estimation.moments import Moments
from scoopsci.estimation.stated import find_contradictions

Floats = NDArray[np.float64]
N = 10_000
UNIFORM = np.random.default_rng(1).random(N)


def make(n_controls: int = 0, *, weighted: bool = False, target: Any = None) -> Integrand:
    """Return an integrand over a box of volume 4, whose functions are not called."""
    methods: list[Any] = []
    if n_controls:
        methods.append(ControlVariates(np.square, [0.5] * n_controls))
    if weighted:
        methods.append(ImportanceSampling(np.square, np.square, target))
    return Integrand.of(np.square, 0.0, 2.0, 2, methods)


def find(integrand: Integrand, *columns: Floats) -> tuple[str, ...]:
    points = Moments.of(np.stack(columns, axis=1))
    return find_contradictions(integrand, points, points, points.count)


def test_the_note_names_the_control_and_both_values() -> None:
    values = np.square(UNIFORM)
    assert find(make(2), UNIFORM, UNIFORM, values) == ()
    (note,) = find(make(2), UNIFORM, UNIFORM + 0.1, values)
    assert note == (
        "The integral of control 1 is 0.6020 ± 0.0029 by the samples, but ControlVariates states "
        "0.5: check h and integrals, the estimate is wrong if they are."
    )


@pytest.mark.parametrize(("n_errors", "n_notes"), [(4.7, 0), (-4.7, 0), (5.1, 1), (-5.1, 1)])
def test_the_limit_is_near_five_standard_errors(n_errors: float, n_notes: int) -> None:
    points = Moments.of(np.stack([UNIFORM, UNIFORM], axis=1))
    off = 0.5 + n_errors * points.standard_error[0]
    points = replace(points, mean=np.array([off, off]))
    assert len(find_contradictions(make(1), points, points, N)) == n_notes


def test_each_of_many_controls_is_tested_more_strictly() -> None:
    points = Moments.of(np.stack([UNIFORM] * 101, axis=1))
    off = np.where(np.arange(101) == 7, 5.5, 0.0) * points.standard_error
    points = replace(points, mean=0.5 + off)
    found = find_contradictions(make(100), points, points, N)
    assert [note[:20] for note in found] == ["10,000 samples are f"]
    again = replace(points, mean=0.5 + off * 1.1)
    assert "control 7 " in find_contradictions(make(100), again, again, N)[1]


def test_many_wrong_controls_are_counted() -> None:
    notes = find(make(12), *[UNIFORM + 0.1] * 12, UNIFORM)
    assert len(notes) == 11
    assert notes[-1] == "2 more controls differ as well."


def test_heavy_tails_are_not_tested() -> None:
    """Their means are below the truth in most runs, by many of the errors that they show."""
    tail = np.exp(7.0 * np.random.default_rng(1).standard_normal(N) - 24.5) / 2.0
    assert abs(tail.mean() - 0.5) > 5 * tail.std() / N**0.5
    assert find(make(1), tail, UNIFORM) == ()


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_whether_a_tail_is_heavy_does_not_depend_on_an_offset(sign: float) -> None:
    tail = np.exp(2.0 * np.random.default_rng(3).normal(size=N))
    for offset in (-1e3, 0.0, 1e3):
        assert find(make(1), offset + sign * tail, UNIFORM) == ()


def test_constants_are_compared_up_to_rounding() -> None:
    assert find(make(1), np.full(N, 0.5 + 1e-15), UNIFORM) == ()
    noisy = np.array([0.6, 0.6 + 1e-16, 0.6 + 2e-16, 0.6, 0.6]).repeat(N // 5)
    for column in (np.full(N, 0.6), noisy):
        (note,) = find(make(1), column, UNIFORM)
        assert "control 0 is 0.6 ± " in note


def test_scrambles_that_agree_may_be_a_point_off() -> None:
    """All of 16 scrambles of 64 points may find 19 of them below 0.3, or 32 below 0.49."""
    points = Moments.of(np.stack([UNIFORM < 0.5, UNIFORM], axis=1).astype(float))
    for n_off, n_notes in ((0.9, 0), (1.1, 1)):
        means = Moments.of(np.full((16, 2), 0.5 + n_off / 64))
        assert len(find_contradictions(make(1), points, means, 64)) == n_notes


def test_weights_come_before_controls_that_they_spoil() -> None:
    weights = 2.0 * UNIFORM
    assert find(make(weighted=True), UNIFORM, UNIFORM, 4.0 * weights) == ()
    (note,) = find(make(1, weighted=True), 2.0 * UNIFORM, UNIFORM, UNIFORM, weights)
    assert note.startswith(
        "The weights of ImportanceSampling, 1 / density(x), have a mean of 1.0041 ± 0.0058, where 4"
        " is expected, the volume of the box: check that density is the one of transform(u)"
    )


def test_weights_of_a_target_have_a_mean_of_one() -> None:
    integrand = make(weighted=True, target=np.square)
    assert find(integrand, UNIFORM, UNIFORM, 2.0 * UNIFORM) == ()
    (note,) = find(integrand, UNIFORM, UNIFORM, UNIFORM)
    assert "target(x) / density(x), have a mean of 0.5020 ± 0.0029, where 1 is expected" in note


def test_few_weights_that_count_are_noted_unless_the_values_are_even() -> None:
    weights = np.where(np.arange(N) < 20, 4.0 * N / 20, 1e-9)
    (note,) = find(make(weighted=True), weights, weights, weights)
    assert "make 10,000 samples worth about 20: a few points have most of the weight" in note
    assert find(make(weighted=True), UNIFORM, weights, weights) == ()


@pytest.mark.parametrize(("c", "n_enough"), [(1, 120), (3, 480), (5, 1_080)])
def test_few_samples_for_the_controls(c: int, n_enough: int) -> None:
    columns = np.random.default_rng(2).random((n_enough, c + 1))
    assert find(make(c), *columns.T) == ()
    (note,) = find(make(c), *columns[1:].T)
    assert note.startswith(f"{n_enough - 1:,} samples are few for {c} control")
    assert f"draw at least {n_enough:,}, or use fewer controls" in note


def test_infinite_samples_are_not_tested() -> None:
    assert find(make(1), np.where(UNIFORM < 0.01, np.inf, UNIFORM), UNIFORM) == ()
