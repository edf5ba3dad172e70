"""Count, mean, sum of squared deviations and extremes, mergeable without loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["MOMENTS", "Moments"]

Floats = NDArray[np.float64]

#: Layout of the moments; part of the identity of a run, so that a ledger never mixes two.
MOMENTS = "moments, version 2"


@dataclass(frozen=True, slots=True)
class Moments:
    """Moments of samples of shape ``(k,)``, or of scalars, where every array has shape ``()``.

    Attributes
    ----------
    count : int
        Number of samples.
    mean : ndarray of float64
        Their mean.
    m2 : ndarray of float64
        Sum of the squared deviations from the mean.
    minimum, maximum : ndarray of float64
        The extremes.
    n_nonfinite : int
        Number of samples that contain an infinity or a NaN.
    n_hits : ndarray of int64 or None
        Number of samples that are true, if all samples are bool; None otherwise.

    Notes
    -----
    Two passes over a block compute the mean first, then sums of deviations rather than of squares,
    as Welford's recurrence [1]_ does, but vectorised. Two blocks are merged by the pairwise update
    of Chan, Golub and LeVeque [2]_. Only sums, products and quotients are used, so that hosts agree
    to the last bit.

    References
    ----------
    .. [1] B. P. Welford, "Note on a method for calculating corrected sums of squares and
       products", Technometrics 4 (1962) 419-420, doi:10.1080/00401706.1962.10490022.
    .. [2] T. F. Chan, G. H. Golub, R. J. LeVeque, "Algorithms for computing the sample variance:
       analysis and recommendations", The American Statistician 37 (1983) 242-247,
       doi:10.1080/00031305.1983.10483115.

    Examples
    --------
    >>> a, b = Moments.of(np.array([1.0, 2.0])), Moments.of(np.array([6.0]))
    >>> float(a.merge(b).mean), float(a.merge(b).m2)
    (3.0, 14.0)
    """

    count: int
    mean: Floats
    m2: Floats
    minimum: Floats
    maximum: Floats
    n_nonfinite: int
    n_hits: NDArray[np.int64] | None = None

    @classmethod
    def of(cls, samples: Floats, *, overwrite: bool = False) -> Moments:
        """Return the moments of samples.

        Parameters
        ----------
        samples : ndarray of float64, shape (n,) or (n, k)
            At least one sample.
        overwrite : bool
            Whether the array may be overwritten, rather than another one of its size be made.

        Returns
        -------
        Moments
            Of shape () or (k,).
        """
        minimum, maximum = np.min(samples, axis=0), np.max(samples, axis=0)
        n_nonfinite = 0
        if not (np.isfinite(minimum).all() and np.isfinite(maximum).all()):
            finite = np.isfinite(samples).reshape(len(samples), -1).all(axis=1)
            n_nonfinite = int(np.count_nonzero(~finite))
        with np.errstate(all="ignore"):
            mean = np.mean(samples, axis=0)
            deviations = np.subtract(samples, mean, out=samples if overwrite else None)
            # The mean of the deviations is the rounding error of the mean.
            rounding = np.sum(deviations, axis=0)
            squares = np.square(deviations, out=deviations)
            m2 = np.sum(squares, axis=0) - rounding * (rounding / len(samples))
        return cls(
            count=len(samples),
            mean=np.asarray(mean),
            m2=np.asarray(m2),
            minimum=np.asarray(minimum),
            maximum=np.asarray(maximum),
            n_nonfinite=n_nonfinite,
        )

    def merge(self, other: Moments) -> Moments:
        """Return the moments of both sets of samples.

        Parameters
        ----------
        other : Moments
            Moments of the later blocks, of the same shape.

        Returns
        -------
        Moments
            Moments of the union.

        Raises
        ------
        ValueError
            If the shapes differ.
        """
        if self.mean.shape != other.mean.shape:
            raise ValueError(
                f"all blocks must give samples of one shape, got {self.mean.shape} "
                f"and {other.mean.shape}"
            )
        count = self.count + other.count
        n_hits = None
        if self.n_hits is not None and other.n_hits is not None:
            n_hits = np.asarray(self.n_hits + other.n_hits)
        with np.errstate(all="ignore"):
            delta = other.mean - self.mean
            mean = self.mean + delta * (other.count / count)
            m2 = self.m2 + other.m2 + np.square(delta) * (self.count * other.count / count)
        return Moments(
            count=count,
            mean=np.asarray(mean),
            m2=np.asarray(m2),
            minimum=np.asarray(np.minimum(self.minimum, other.minimum)),
            maximum=np.asarray(np.maximum(self.maximum, other.maximum)),
            n_nonfinite=self.n_nonfinite + other.n_nonfinite,
            n_hits=n_hits,
        )

    @property
    def standard_error(self) -> Floats:
        """Standard error of the mean; NaN for a single sample."""
        with np.errstate(all="ignore"):
            if self.count < 2:
                return np.asarray(np.full_like(self.m2, np.nan))
            # The rounding error of the mean would give equal samples a variance.
            are_equal = (self.maximum == self.minimum) & np.isfinite(self.maximum)
            m2 = np.where(are_equal, 0.0, self.m2)
            return np.asarray(np.sqrt(m2 / (self.count - 1) / self.count))
