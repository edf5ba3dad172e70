"""Means and co-moments of columns, mergeable without loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoopsci.estimation.moments import Moments

__all__ = ["CO_MOMENTS", "CoMoments"]

Floats = NDArray[np.float64]


#: Layout of these partials; part of the identity of a run, as `moments.MOMENTS` is.
CO_MOMENTS = "co-moments of controls, version 3"


@dataclass(frozen=True, slots=True)
class CoMoments:
    """Moments of m columns, and the sums of products of the first c with all of them.

    Attributes
    ----------
    moments : Moments
        Moments of each column, of shape (m,).
    products : ndarray of float64, shape (c, m)
        Sums of products of deviations from the means: of each of the first c columns, which are
        controls, with every column; ``moments.m2`` on the diagonal.

    Notes
    -----
    The pairwise update of Chan, Golub and LeVeque, see `Moments`, also applies to products. Sums
    are NumPy's: in a linear algebra library their order depends on the processor.
    """

    moments: Moments
    products: Floats

    @classmethod
    def of(cls, columns: Floats, n_controls: int) -> CoMoments:
        """Return the co-moments of samples.

        Parameters
        ----------
        columns : ndarray of float64, shape (n, m)
            At least one sample; overwritten if there are no controls.
        n_controls : int
            How many of the first columns are controls.
        """
        moments = Moments.of(columns, overwrite=not n_controls)
        products = np.empty((n_controls, columns.shape[1]))
        if n_controls:
            with np.errstate(all="ignore"):
                deviations = (columns - moments.mean).T.copy()
                for row, control in zip(products, deviations[:n_controls], strict=True):
                    np.sum(control * deviations, axis=1, out=row)
            np.fill_diagonal(products, moments.m2)
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
        if not len(self.products):
            return CoMoments(moments, self.products)
        with np.errstate(all="ignore"):
            delta = other.moments.mean - self.moments.mean
            share = self.moments.count * other.moments.count / moments.count
            of_controls = np.multiply.outer(delta[: len(self.products)], delta) * share
        return CoMoments(moments, self.products + other.products + of_controls)
