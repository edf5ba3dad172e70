"""Checks of arguments; an error states the rule, then the value that broke it.

Each check takes the argument's name, for the error, and its value. It returns the number, or
raises `TypeError` for a value of another type and `ValueError` for a number out of range.
"""

from __future__ import annotations

import math
import numbers
import operator

__all__ = ["check_count", "check_fraction", "check_positive", "check_seconds"]


def check_count(name: str, value: object, least: int = 1) -> int:
    """Return an integer that is not below `least`.

    Parameters
    ----------
    name : str
        Name of the argument, for the error.
    value : object
        Its value.
    least : int
        The smallest value allowed.
    """
    try:
        count = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None
    if isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if count < least:
        raise ValueError(f"{name} must be at least {least}, got {count}")
    return count


def check_fraction(name: str, value: object) -> float:
    """Return a number within (0, 1); see `check_count`."""
    fraction = _check_real(name, value)
    if not 0.0 < fraction < 1.0:
        raise ValueError(f"{name} must be within (0, 1), such as 0.95, got {value!r}")
    return fraction


def check_seconds(name: str, value: object, *, or_zero: bool = False) -> float:
    """Return a time in seconds, positive and finite, or 0 if `or_zero`; see `check_count`."""
    if or_zero and _check_real(name, value) == 0.0:
        return 0.0
    return check_positive(name, value, "number of seconds" + ", or 0" * or_zero)


def check_positive(name: str, value: object, what: str = "number") -> float:
    """Return a positive, finite number, which the error calls `what`; see `check_count`."""
    number = _check_real(name, value)
    if not 0.0 < number < math.inf:
        raise ValueError(f"{name} must be a positive {what}, got {value!r}")
    return number


def _check_real(name: str, value: object) -> float:
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be a real number, got {value!r}")
    return float(value)
