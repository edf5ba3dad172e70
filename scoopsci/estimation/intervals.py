"""Confidence intervals: Student's for means, Wilson's for counts."""

from __future__ import annotations

from functools import cache
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoopsci.basics.interrupts import uninterrupted

__all__ = ["as_fields", "import_special", "student_interval", "student_quantile", "wilson_interval"]


@cache
def import_special() -> Any:
    """Import ``scipy.special``, which `import scoopsci` alone does not."""
    with uninterrupted():
        from scipy import special
    return special


def student_quantile(n_degrees: int, share: float) -> float:
    """Return what Student's t exceeds with a probability of `share`."""
    return -float(import_special().stdtrit(n_degrees, share))


def student_interval(mean: Any, error: Any, n_degrees: int, confidence: float) -> dict[str, Any]:
    """Return a mean with Student's interval.

    Parameters
    ----------
    mean, error : float or ndarray, shape (k,)
        The mean and its standard error.
    n_degrees : int
        Degrees of freedom of the error.
    confidence : float
        Within (0, 1). The k intervals of a vector cover simultaneously with this probability, by
        Bonferroni's inequality.

    Returns
    -------
    dict
        ``value``, ``standard_error``, ``half_width`` and ``interval``, as numbers or as arrays
        of shape (k,). With no degrees of freedom the half-width is infinite.
    """
    mean, error = np.asarray(mean), np.asarray(error)
    if n_degrees > 0:
        share = (1.0 - confidence) / (2.0 * mean.size)
        half_width = student_quantile(n_degrees, share) * error
    else:
        half_width = np.full_like(mean, np.inf)
    with np.errstate(invalid="ignore"):
        return as_fields(mean, error, half_width, mean - half_width, mean + half_width)


def wilson_interval(
    n_hits: int | NDArray[np.int64], n_trials: int, confidence: float, *, scale: float = 1.0
) -> dict[str, Any]:
    """Return the proportion of hits with Wilson's score interval, times a scale.

    Parameters
    ----------
    n_hits : int or ndarray of int64, shape (k,)
        Number of hits, or that of each of k columns.
    n_trials : int
        Number of trials.
    confidence : float
        Within (0, 1). The k intervals cover simultaneously with this probability, by Bonferroni's
        inequality.
    scale : float
        Factor applied to every number returned.

    Returns
    -------
    dict
        ``value``, ``standard_error``, ``half_width`` and ``interval``, as numbers or as arrays of
        shape (k,). The interval's centre is shifted towards 1/2: (p + z²/2n) / (1 + z²/n). The
        half-width is the larger distance from the value to an end of the interval.
    """
    share = np.asarray(n_hits / n_trials)
    z = -NormalDist().inv_cdf((1.0 - confidence) / (2.0 * share.size))
    shrink = 1.0 + z * z / n_trials
    centre = (share + z * z / (2 * n_trials)) / shrink
    variance = share * (1.0 - share) / n_trials
    reach = z * np.sqrt(variance + z * z / (4 * n_trials * n_trials)) / shrink
    value = scale * share
    low = scale * np.where(n_hits == 0, 0.0, np.maximum(0.0, centre - reach))
    high = scale * np.where(n_hits == n_trials, 1.0, np.minimum(1.0, centre + reach))
    half_width = np.maximum(value - low, high - value)
    return as_fields(value, scale * np.sqrt(variance), half_width, low, high)


def as_fields(*numbers: Any) -> dict[str, Any]:
    """Return value, error, half-width and the ends of an interval as fields of `Estimate`."""
    value, error, half_width, low, high = (n if n.ndim else float(n) for n in numbers)
    return {
        "value": value,
        "standard_error": error,
        "half_width": half_width,
        "interval": (low, high),
    }
