"""Means and co-moments of columns, mergeable without loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoopsci.estimation.moments import Moments

__all__ = ["CoMoments"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CoMoments:
    """Moments of m columns, and the sums of products of their deviations.

    Attributes
    ----------
    moments : Moments
        Moments of each column, of shape (m,).
    products : ndarray of float64, shape (m, m)
        Sums of products of deviations from the means; symmetric, with ``moments.m2`` on the
        diagonal.

    Notes
    -----
    The pairwise update of Chan, Golub and LeVeque, see `Moments`, also applies to products. Sums
    are NumPy's: in a linear algebra library their order depends on the processor.
    """

    moments: Moments
    products: Floats

    @classmethod
    def of(cls, columns: Floats) -> CoMoments:
        """Return the co-moments of samples.

        Parameters
        ----------
        columns : ndarray of float64, shape (n, m)
            At least one sample.
        """
        moments = Moments.of(columns)
        m = columns.shape[1]
        products = np.empty((m, m))
        with np.errstate(all="ignore"):
            deviations = (columns - moments.mean).T.copy()
            for i in range(m):
                products[i, i] = moments.m2[i]
                for j in range(i):
                    products[i, j] = products[j, i] = np.sum(deviations[i] * deviations[j])
        return cls(moments, products)

    def merge(self, other: CoMoments) -> CoMoments:
        """Return the co-moments of both sets of samples.

        Parameters
        ----------
        other : CoMoments
            Co-moments of the later blocks, with the same columns.

        Raises
        ------
        ValueError
            If the numbers of columns differ.
        """
        moments = self.moments.merge(other.moments)
        with np.errstate(all="ignore"):
            delta = other.moments.mean - self.moments.mean
            share = self.moments.count * other.moments.count / moments.count
            products = self.products + other.products + np.multiply.outer(delta, delta) * share
        return CoMoments(moments, products)
