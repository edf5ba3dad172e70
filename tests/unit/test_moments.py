"""Moments by example; their merge as a law is in tests/property."""

from dataclasses import FrozenInstanceError, replace
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from scoopsci.estimation.moments import Moments


def test_scalars() -> None:
    moments = Moments.of(np.array([1.0, 2.0, 6.0]))
    assert moments.count == 3
    assert [array.shape for array in (moments.mean, moments.m2, moments.minimum)] == [()] * 3
    assert (float(moments.mean), float(moments.m2)) == (3.0, 14.0)
    assert (float(moments.minimum), float(moments.maximum)) == (1.0, 6.0)
    assert float(moments.standard_error) == np.sqrt(14 / 2 / 3)


def test_columns() -> None:
    samples = np.array([[1.0, -1.0], [3.0, -1.0]])
    moments = Moments.of(samples).merge(Moments.of(samples + 4.0))
    assert moments.count == 4
    assert moments.mean.tolist() == [4.0, 1.0]
    assert moments.m2.tolist() == [20.0, 16.0]
    assert moments.minimum.tolist() == [1.0, -1.0]
    assert moments.maximum.tolist() == [7.0, 3.0]


def test_hits_are_counted_only_if_both_sides_count_them() -> None:
    moments = Moments.of(np.array([[1.0, 0.0], [1.0, 1.0]]))
    counted = replace(moments, n_hits=np.array([2, 1]))
    both = counted.merge(counted).n_hits
    assert both is not None
    assert both.tolist() == [4, 2]
    assert counted.merge(moments).n_hits is moments.merge(counted).n_hits is None


def test_single_sample_has_no_error() -> None:
    moments = Moments.of(np.array([[2.0, 3.0]]))
    assert moments.m2.tolist() == [0.0, 0.0]
    assert np.isnan(moments.standard_error).tolist() == [True, True]


@pytest.mark.parametrize(
    ("samples", "n_nonfinite"),
    [
        ([1.0, np.nan, 2.0], 1),
        ([np.inf, -np.inf, 1.0, np.nan], 3),
        ([[np.nan, np.nan], [1.0, np.inf], [1.0, 2.0]], 2),
    ],
)
def test_samples_that_are_not_finite_are_counted(samples: list[float], n_nonfinite: int) -> None:
    moments = Moments.of(np.array(samples))
    assert moments.n_nonfinite == n_nonfinite
    assert not np.isfinite(moments.mean).all()
    assert moments.merge(Moments.of(np.array(samples))).n_nonfinite == 2 * n_nonfinite


@pytest.mark.parametrize("offset", [0.0, 1e6, 1e9, -1e11])
def test_deviations_are_exact_despite_an_offset(offset: float) -> None:
    samples = offset + np.random.default_rng(5).integers(-8, 8, size=4096) / 8
    exact = [Fraction(float(sample)) for sample in samples]
    mean = sum(exact) / len(exact)
    m2 = sum((sample - mean) ** 2 for sample in exact)
    whole = Moments.of(samples)
    halves = Moments.of(samples[:1000]).merge(Moments.of(samples[1000:]))
    for moments in (whole, halves):
        assert float(moments.m2) == pytest.approx(float(m2), rel=1e-6)
        assert float(moments.mean) == pytest.approx(float(mean), rel=1e-15, abs=1e-15)


@pytest.mark.parametrize("value", [0.1, 0.3, 0.7])
def test_equal_samples_have_no_error_despite_rounding(value: float) -> None:
    merged = Moments.of(np.full(1_000, value)).merge(Moments.of(np.full(5, value)))
    assert merged.m2 > 0, "the mean of one block is rounded"
    assert merged.standard_error == 0.0


def test_two_samples_have_an_error() -> None:
    assert Moments.of(np.array([1.0, 3.0])).standard_error == 1.0


def test_moments_are_immutable() -> None:
    with pytest.raises(FrozenInstanceError):
        Moments.of(np.ones(2)).count = 3  # type: ignore[misc]


@pytest.mark.parametrize(("left", "right"), [((4,), (4, 3)), ((4, 1), (4, 3)), ((4, 2), (4, 3))])
def test_moments_of_different_shapes_do_not_merge(
    left: tuple[int, ...], right: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match="shape"):
        Moments.of(np.ones(left)).merge(Moments.of(np.ones(right)))
    with pytest.raises(ValueError, match="shape"):
        Moments.of(np.ones(right)).merge(Moments.of(np.ones(left)))


@pytest.mark.parametrize("order", ["C", "F"])
def test_input_is_not_modified(order: str) -> None:
    samples: NDArray[np.float64] = np.arange(12.0).reshape(4, 3)
    samples = np.asfortranarray(samples) if order == "F" else samples
    before = samples.copy()
    samples.setflags(write=False)
    moments = Moments.of(samples)
    assert moments.mean.tolist() == before.mean(axis=0).tolist()
