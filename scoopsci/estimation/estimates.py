"""Estimates: a value, its error, and doubts about either."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from scoopsci.basics.wording import format_with_error, plural
from scoopsci.estimation.moments import Moments
from scoopsci.reporting.markup import as_facts, as_notes, as_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "DistantGoalWarning",
    "DoubtfulEstimateWarning",
    "Estimate",
    "PiEstimate",
    "find_doubts",
    "format_with_error",
]

#: A single sample with more than this share of the sum of squares makes the error bar doubtful.
HEAVY_SHARE = 0.1

#: Most columns that a note names.
MOST_NAMED = 10

#: Most rows in the table of a vector.
MOST_ROWS = 20


class DoubtfulEstimateWarning(UserWarning):
    """An estimate or its error bar may be misleading, for the reason given."""


class DistantGoalWarning(UserWarning):
    """A half-width takes far more samples or time than the run has; it goes on nevertheless."""


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
        Larger distance from the value to an end of the interval; half its width for Student's.
    interval : tuple of two float or ndarray
        Confidence interval: Student's t for means, Wilson's for counts and samples that are bool,
        or that of a confidence sequence. The intervals of a vector are simultaneous.
    confidence : float
        Probability that the interval covers the true value, or that all intervals cover theirs.
    guarantee : str
        "asymptotic", or "anytime, by" the confidence sequence to which the interval belongs.
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
        power of two and at the end, each an array of shape (m,) or (m, k).
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
    guarantee: str = "asymptotic"
    notes: tuple[str, ...] = ()
    receipt: dict[str, Any] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        level = self._describe_level()
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

    def _describe_level(self) -> str:
        always = ", at every look" if self.guarantee.startswith("anytime") else ""
        return f"{100 * self.confidence:.12g} %{always}"

    def _repr_html_(self) -> str:
        level = self._describe_level()
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


def find_doubts(moments: Moments, error: Any) -> tuple[str, ...]:
    """List the reasons to doubt a mean or its error.

    Parameters
    ----------
    moments : Moments
        Moments of the samples.
    error : float or ndarray
        The standard error, which methods of variance reduction may make zero.

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
    if moments.n_hits is not None:
        return ()  # Wilson's interval holds for any number of hits
    if moments.count == 1:
        return ("A single sample has no error bar; draw at least two.",)
    if not (np.isfinite(moments.mean).all() and np.isfinite(moments.m2).all()):
        return ("The samples are finite, but their sum or squares overflow; scale them down.",)
    with np.errstate(all="ignore"):
        extreme = np.maximum(moments.maximum - moments.mean, moments.mean - moments.minimum)
        differ = (moments.m2 > 0) & (moments.maximum > moments.minimum)
        share = np.max(np.where(differ, np.square(extreme) / moments.m2, 0.0))
    notes = []
    are_equal = moments.maximum == moments.minimum
    if are_equal.any():
        notes.append(
            f"All {moments.count:,} samples{_name_columns(are_equal)} are equal: the variance is "
            "zero, which says nothing about events too rare to be sampled."
        )
    if (underflow := ~are_equal & (moments.m2 == 0)).any():
        notes.append(
            f"The samples{_name_columns(underflow)} differ, but their squares underflow to a "
            "variance of zero; scale them up."
        )
    if (vanishes := ~are_equal & (moments.m2 > 0) & np.equal(error, 0)).any():
        notes.append(
            f"The error{_name_columns(vanishes)} is zero although the samples differ: unless the "
            "method is exact for this function, that is chance, and no error bar."
        )
    # With few samples, each has a large share anyway.
    if share > max(HEAVY_SHARE, 50.0 / moments.count):
        notes.append(
            f"One of {moments.count:,} samples makes up {100 * share:.0f} % of the variance: the "
            "tail is heavy or the event rare, and the error bar may be far too short."
        )
    return tuple(notes)


def _name_columns(which: NDArray[np.bool_]) -> str:
    """Name the columns of a vector for which something holds, by their indices."""
    if which.size == 1:
        return ""
    found = np.flatnonzero(which).tolist()
    more = f" and {len(found) - MOST_NAMED:,} more" if len(found) > MOST_NAMED else ""
    names = ", ".join(map(str, found[:MOST_NAMED]))
    return f" of column{'s' * (len(found) > 1)} {names}{more}"
