"""Estimates: a value, its error, and doubts about either."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cache
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scoopsci.basics.interrupts import uninterrupted
from scoopsci.basics.wording import format_with_error, plural
from scoopsci.estimation.moments import Moments
from scoopsci.reporting.markup import as_facts, as_notes, as_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "DoubtfulEstimateWarning",
    "Estimate",
    "PiEstimate",
    "find_doubts",
    "format_with_error",
    "student_interval",
    "wilson_interval",
]

#: A single sample with more than this share of the sum of squares makes the error bar doubtful.
HEAVY_SHARE = 0.1

#: Most rows in the table of a vector.
MOST_ROWS = 20


class DoubtfulEstimateWarning(UserWarning):
    """An estimate or its error bar may be misleading, for the reason given."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Estimate:
    """A mean with its error.

    Attributes
    ----------
    value : float or ndarray, shape (k,)
        The estimate.
    standard_error : float or ndarray
        Its standard error; NaN for a single sample.
    half_width : float or ndarray
        Half the width of the interval.
    interval : tuple of two float or ndarray
        Confidence interval: Student's t for means, Wilson's for counts. The intervals of a vector
        are simultaneous.
    confidence : float
        Probability that the interval covers the true value, or that all intervals cover theirs.
    n_samples, n_blocks : int
        Number of samples, and of the blocks that they were drawn in.
    seed : int
        Entropy of the streams: it reproduces the run to the last bit.
    engine : str
        Engine that ran it.
    n_workers : int
        Number of its workers.
    elapsed_s : float
        Seconds that the run took.
    convergence : dict
        The ``value`` and ``half_width`` of the first ``n_samples``, where the number of blocks is a
        power of two and at the end, each an array of shape (m,) or (m, k). For scrambled points,
        only where all scrambles have the same number of points.
    variance_reduction : dict
        For each method of variance reduction that was used, by its name, the factor by which it
        reduced the evaluations needed for the same error.
    notes : tuple of str
        Doubts about the estimate; also given as `DoubtfulEstimateWarning`.
    receipt : dict
        Provenance of the result; see `scoopsci.report.make_receipt`.
    """

    value: Any
    standard_error: Any
    half_width: Any
    interval: tuple[Any, Any]
    confidence: float
    n_samples: int
    n_blocks: int
    seed: int
    engine: str
    n_workers: int
    elapsed_s: float
    convergence: dict[str, Any] = field(default_factory=dict, repr=False)
    variance_reduction: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    receipt: dict[str, Any] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        level = f"{100 * self.confidence:.12g} %"
        if np.ndim(self.value) == 0:
            text = f"{format_with_error(self.value, self.half_width)} ({level})"
            low, high = self.interval
            if abs((low + high) / 2 - self.value) > 0.05 * self.half_width:
                text += f", interval {low:.6g} to {high:.6g}"
        else:
            text = f"{self.value} ± {self.half_width} ({level}, all at once)"
        factors = [
            f"variance reduced by {name}: {factor:.3g} times"
            for name, factor in self.variance_reduction.items()
        ]
        return "\n".join([f"{text}, {self.n_samples:,} samples", *factors, *self.notes])

    def _repr_html_(self) -> str:
        level = f"{100 * self.confidence:.12g} %"
        columns = np.atleast_1d(self.value, self.half_width, self.standard_error, *self.interval)
        rows = [
            [format_with_error(value, half_width), f"{error:.3g}", f"{low:.6g} to {high:.6g}"]
            for value, half_width, error, low, high in zip(*columns, strict=True)
        ]
        if len(rows) > MOST_ROWS:
            rows = [*rows[:MOST_ROWS], [f"and {len(rows) - MOST_ROWS:,} more", "", ""]]
        all_at_once = ", all at once" if len(rows) > 1 else ""
        facts = {
            "samples": f"{self.n_samples:,} in {plural(self.n_blocks, 'block')}",
            "seed": str(self.seed),
            "engine": f"{self.engine}, {plural(self.n_workers, 'worker')}, {self.elapsed_s:.2f} s",
        }
        for name, factor in self.variance_reduction.items():
            facts[f"variance reduced by {name}"] = f"{factor:.3g} times"
        header = ["estimate", "standard error", f"interval ({level}{all_at_once})"]
        return as_table(header, rows, n_words=3) + as_facts(facts) + as_notes(self.notes)

    def plot(
        self,
        kind: Literal["convergence", "workers", "hosts", "times"] = "convergence",
        *,
        truth: float | None = None,
        ax: Axes | None = None,
    ) -> Axes:
        """Draw the estimate, or the run that it comes from.

        Parameters
        ----------
        kind : str
            "convergence", how the estimate converges; "workers", when each was busy; "hosts", the
            throughput of each; or "times", how the time was spent.
        truth : float, optional
            The true value, drawn with the convergence.
        ax : Axes, optional
            Where to draw; by default into a new figure.

        Returns
        -------
        Axes
            See `scoopsci.report.plot_receipt`.

        Raises
        ------
        ValueError
            If `kind` is unknown.
        ExtraMissingError
            If Matplotlib is not installed.
        """
        from scoopsci.reporting import plots

        if kind == "convergence":
            return plots.plot_convergence(self.convergence, truth=truth, ax=ax)
        if truth is not None:
            raise ValueError(f"truth is drawn with the convergence, got kind {kind!r}")
        return plots.plot_receipt(kind, self.receipt, ax=ax)


@dataclass(frozen=True, kw_only=True, eq=False)
class PiEstimate(Estimate):
    """An estimate of π.

    Attributes
    ----------
    n_inside : int
        Points inside the quarter circle.
    """

    n_inside: int


@cache
def _import_special() -> Any:
    with uninterrupted():
        from scipy import special
    return special


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
        half_width = -_import_special().stdtrit(n_degrees, share) * error
    else:
        half_width = np.full_like(mean, np.inf)
    with np.errstate(invalid="ignore"):
        values: list[Any] = [mean, error, half_width, mean - half_width, mean + half_width]
    if mean.ndim == 0:
        values = [float(value) for value in values]
    names = ("value", "standard_error", "half_width")
    return {**dict(zip(names, values, strict=False)), "interval": (values[3], values[4])}


def wilson_interval(
    n_hits: int, n_trials: int, confidence: float, *, scale: float = 1.0
) -> dict[str, Any]:
    """Return the proportion of hits with Wilson's score interval, times a scale.

    Parameters
    ----------
    n_hits, n_trials : int
        Counts.
    confidence : float
        Within (0, 1).
    scale : float
        Factor applied to every number returned.

    Returns
    -------
    dict
        ``value``, ``standard_error``, ``half_width`` and ``interval``. The interval's centre is
        shifted towards 1/2: (p + z²/2n) / (1 + z²/n).
    """
    share = n_hits / n_trials
    z = -NormalDist().inv_cdf((1.0 - confidence) / 2.0)
    shrink = 1.0 + z * z / n_trials
    centre = (share + z * z / (2 * n_trials)) / shrink
    variance = share * (1.0 - share) / n_trials
    half_width = z * math.sqrt(variance + z * z / (4 * n_trials * n_trials)) / shrink
    return {
        "value": scale * share,
        "standard_error": scale * math.sqrt(variance),
        "half_width": scale * half_width,
        "interval": (
            scale * (max(0.0, centre - half_width) if n_hits else 0.0),
            scale * (min(1.0, centre + half_width) if n_hits < n_trials else 1.0),
        ),
    }


def find_doubts(moments: Moments) -> tuple[str, ...]:
    """List the reasons to doubt a mean or its error.

    Parameters
    ----------
    moments : Moments
        Moments of the samples.

    Returns
    -------
    tuple of str
        A sentence for each doubt; empty if there is none.
    """
    if moments.n_nonfinite:
        return (
            f"{moments.n_nonfinite:,} of {moments.count:,} samples are infinite or NaN, and so is "
            "the estimate; fix the function, or let it leave such samples out.",
        )
    if moments.count == 1:
        return ("A single sample has no error bar; draw at least two.",)
    if not (np.isfinite(moments.mean).all() and np.isfinite(moments.m2).all()):
        return ("The samples are finite, but their sum or squares overflow; scale them down.",)
    with np.errstate(all="ignore"):
        extreme = np.maximum(moments.maximum - moments.mean, moments.mean - moments.minimum)
        differ = (moments.m2 > 0) & (moments.maximum > moments.minimum)
        share = np.max(np.where(differ, np.square(extreme) / moments.m2, 0.0))
    notes = []
    if np.any(moments.maximum == moments.minimum):
        notes.append(
            f"All {moments.count:,} samples are equal: the variance is zero, which says nothing "
            "about events too rare to be sampled."
        )
    elif np.any(moments.m2 == 0):
        notes.append(
            "The samples differ, but their squares underflow to a variance of zero; scale them up."
        )
    # With few samples, each has a large share anyway.
    if share > max(HEAVY_SHARE, 50.0 / moments.count):
        notes.append(
            f"One of {moments.count:,} samples makes up {100 * share:.0f} % of the variance: the "
            "tail is heavy, and the error bar is too short if the variance is infinite."
        )
    return tuple(notes)
