"""Tests of what a user states, by the samples: integrals of controls, and densities."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from scoopsci.basics.wording import format_with_error, plural
from scoopsci.estimation.integrand import Integrand
from scoopsci.estimation.intervals import student_quantile
from scoopsci.estimation.moments import Moments

__all__ = ["find_contradictions"]

Floats = NDArray[np.float64]

#: Probability that a right constant is doubted, over all tests of a run: one run in a million.
FALSE_ALARM = 1e-6

#: A column is tested only if no sample contributes more than this share of its variance, since
#: Student's t fails for heavy tails. Of 2e4 means each of lognormal and Pareto samples of any tail,
#: from 20 to 1e4 samples, none was doubted wrongly; without this limit, up to nine in ten.
MOST_SHARE = 0.02

#: A constant that is right up to this relative error is right up to rounding.
ROUNDING = 1e-9

#: Fewer samples than this times (c + 1)² are too few for c controls, by simulation; see
#: `scoopsci.ControlVariates`.
FEW_SAMPLES = 30

#: Weights that amount to fewer samples make error bars too short.
FEW_EFFECTIVE = 100

#: Most controls that get a note of their own.
MOST_NOTES = 10


def find_contradictions(
    integrand: Integrand, points: Moments, means: Moments, n_each: int
) -> tuple[str, ...]:
    """List what the samples contradict in the methods of an integrand, or are too few for.

    Parameters
    ----------
    integrand : Integrand
        With its methods.
    points : Moments
        Moments of the columns of `Integrand.evaluate`.
    means : Moments
        Moments of independent samples of these columns: of the points, or of scrambles' means.
    n_each : int
        Number of points that resolve such a sample's mean: those of a scramble, or all.

    Returns
    -------
    tuple of str
        A sentence for each contradiction; empty if there is none.

    Notes
    -----
    Student's test of the means of controls and weights against what is stated. If that is right,
    any of them is doubted with a probability of `FALSE_ALARM`, by Bonferroni's inequality: 4.9
    standard errors for one constant and many points, 7.9 for 16 scrambles. Where all scrambles
    agree, as on a step, they may still be a point's worth off.

    Weights may vary wildly where the integrand is zero: they are concentrated only if the values,
    too, are worth few samples [1]_.

    References
    ----------
    .. [1] M. Evans, T. Swartz, "Methods for approximating integrals in statistics with special
       emphasis on Bayesian integration problems", Statistical Science 10 (1995) 254-272,
       doi:10.1214/ss/1177009938.
    """
    if points.n_nonfinite:
        return ()
    groups = integrand.groups(len(points.mean))
    stated = {"controls": integrand.known}
    if integrand.importance is not None:
        stated["weights"] = np.array([integrand.volume])
    share = FALSE_ALARM / sum(map(len, stated.values()), start=1)
    differ = {
        name: _differ(points, means, groups[name], known, n_each, share)
        for name, known in stated.items()
    }
    notes = [*_tell_few(integrand, points)]
    if integrand.importance is not None:
        weights = groups["weights"]
        if differ["weights"].any():  # then the means of controls differ as well
            return (*notes, _tell_weights(integrand, means, weights.start))
        notes += _tell_concentration(points, groups["values"], weights.start)
    return (*notes, *_tell_controls(integrand, means, np.flatnonzero(differ["controls"])))


def _differ(
    points: Moments, means: Moments, columns: slice, stated: Floats, n_each: int, share: float
) -> NDArray[np.bool_]:
    """Test the means of some columns against what is stated, each with a probability of error."""
    mean, m2 = points.mean[columns], points.m2[columns]
    low, high = points.minimum[columns], points.maximum[columns]
    with np.errstate(all="ignore"):
        reach = student_quantile(means.count - 1, share / 2.0) * means.standard_error[columns]
        size = np.maximum(np.maximum(np.abs(low), np.abs(high)), np.abs(stated))
        resolution = (high - low) / n_each + ROUNDING * size
        is_heavy = np.square(np.maximum(high - mean, mean - low)) > MOST_SHARE * m2
        is_far = np.abs(means.mean[columns] - stated) > reach + resolution
        is_constant = high - low <= ROUNDING * size
        return np.asarray(is_far & (is_constant | ~is_heavy))


def _tell_few(integrand: Integrand, points: Moments) -> Iterator[str]:
    """Tell that there are too few samples for the number of controls."""
    c = integrand.n_controls
    n_enough = FEW_SAMPLES * (c + 1) ** 2
    if c and points.count < n_enough:
        yield (
            f"{points.count:,} samples are few for {plural(c, 'control')}: the coefficients follow "
            "the samples, and the interval may cover far less often than it says; draw at least "
            f"{n_enough:,}, or use fewer controls."
        )


def _tell_weights(integrand: Integrand, means: Moments, column: int) -> str:
    assert integrand.importance is not None
    if integrand.importance.target is None:
        weights, known = "1 / density(x)", "the volume of the box"
        check = (
            "that density is the one of transform(u), and that these points reach all of the box"
        )
        rest = "; only where f is zero may they leave a part out"
    else:
        weights, known = "target(x) / density(x)", "the integral of a density"
        check = "that target and density integrate to 1, and density is the one of transform(u)"
        rest = "; only where f is zero may its points leave a part out"
    return (
        f"The weights of ImportanceSampling, {weights}, have a mean of "
        f"{_format(means, column)}, where {integrand.volume:.10g} is expected, {known}: check "
        f"{check}{rest}."
    )


def _tell_concentration(points: Moments, values: slice, column: int) -> Iterator[str]:
    """Tell that few points have most of the weight, unless the integrand makes up for it."""
    n_weights, n_values = (
        float(np.min(_count_effective(points, part)))
        for part in (slice(column, column + 1), values)
    )
    few = min(FEW_EFFECTIVE, points.count / 2.0)
    if n_weights < few and n_values < few:
        yield (
            f"The weights of ImportanceSampling make {points.count:,} samples worth about "
            f"{n_weights:.3g}: a few points have most of the weight, and the error bar may be far "
            "too short; choose a density that is nowhere much smaller than what it replaces."
        )


def _count_effective(points: Moments, columns: slice) -> Floats:
    """Return the squares of the sums, divided by the sums of the squares."""
    square = np.square(points.mean[columns])
    with np.errstate(all="ignore"):
        found = points.count * square / (square + points.m2[columns] / points.count)
    return np.asarray(np.nan_to_num(found, nan=0.0))


def _tell_controls(integrand: Integrand, means: Moments, wrong: NDArray[np.intp]) -> Iterator[str]:
    for column in wrong[:MOST_NOTES].tolist():
        yield (
            f"The integral of control {column} is {_format(means, column)} by the samples, but "
            f"ControlVariates states {integrand.known[column]:.10g}: check h and integrals, the "
            "estimate is wrong if they are."
        )
    if len(wrong) > MOST_NOTES:
        yield f"{plural(len(wrong) - MOST_NOTES, 'more control')} differ as well."


def _format(means: Moments, column: int) -> str:
    return format_with_error(float(means.mean[column]), float(means.standard_error[column]))
