"""Checks of arguments: the rule, then what came."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from scoopsci.basics.arguments import check_count, check_fraction, check_seconds


@pytest.mark.parametrize("confidence", [0.0, 1.0, -0.5, 95, math.nan, math.inf])
def test_confidence_out_of_range(confidence: float) -> None:
    with pytest.raises(ValueError, match=rf"within \(0, 1\), such as 0\.95, got {confidence}"):
        check_fraction("confidence", confidence)


@pytest.mark.parametrize("confidence", ["0.95", None, 0.5j, [0.95]])
def test_confidence_of_another_type(confidence: Any) -> None:
    with pytest.raises(TypeError, match=r"confidence must be .*got"):
        check_fraction("confidence", confidence)


@pytest.mark.parametrize("value", [1e6, "7", None, 2.5, math.nan, np.float64(3)])
def test_count_must_be_an_integer(value: Any) -> None:
    with pytest.raises(TypeError, match="n_samples must be an integer, got"):
        check_count("n_samples", value)


@pytest.mark.parametrize("value", [0, -1, np.int8(-5)])
def test_count_must_be_positive(value: int) -> None:
    with pytest.raises(ValueError, match=f"block_size must be at least 1, got {int(value)}"):
        check_count("block_size", value)


@pytest.mark.parametrize("value", [1, 10**30, np.uint16(9)])
def test_count_is_returned_as_python_has_it(value: int) -> None:
    assert check_count("n", value) == value
    assert type(check_count("n", value)) is int


@pytest.mark.parametrize("seconds", [0, -1.0, math.nan, math.inf])
def test_seconds_out_of_range(seconds: float) -> None:
    with pytest.raises(ValueError, match=f"positive number of seconds, got {seconds}"):
        check_seconds("timeout", seconds)


@pytest.mark.parametrize("seconds", ["3", None, True, 1j])
def test_seconds_of_another_type(seconds: Any) -> None:
    with pytest.raises(TypeError, match="timeout must be a real number, got"):
        check_seconds("timeout", seconds)
