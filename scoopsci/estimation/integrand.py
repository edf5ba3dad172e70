"""Integrands: a function over a box, evaluated at random points with reduced variance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scoopsci.basics.arguments import check_count
from scoopsci.estimation.comoments import CoMoments
from scoopsci.estimation.fused import FusedIntegrand, FusedPoints, fuse_points
from scoopsci.estimation.samples import as_columns, refuse_masked
from scoopsci.estimation.variance import Antithetic, ControlVariates, ImportanceSampling, Method

__all__ = ["Integrand"]

Floats = NDArray[np.float64]

FIELDS = {Antithetic: "antithetic", ControlVariates: "control", ImportanceSampling: "importance"}


@dataclass(frozen=True, slots=True)
class Integrand:
    """A function over a box and its methods of variance reduction, evaluated at uniform points.

    Attributes
    ----------
    f : callable
        ``f(x)``, of shape ``(n,)`` or ``(n, k)``.
    lower, upper : ndarray, shape (dim,)
        Corners of the box.
    importance, antithetic, control
        The methods, or None.
    """

    f: Callable[[Floats], ArrayLike]
    lower: Floats
    upper: Floats
    importance: ImportanceSampling | None = None
    antithetic: Antithetic | None = None
    control: ControlVariates | None = None

    @classmethod
    def of(
        cls,
        f: Callable[[Floats], ArrayLike],
        lower: ArrayLike,
        upper: ArrayLike,
        dim: int | None,
        methods: Iterable[Method],
    ) -> Integrand:
        """Return an integrand with its methods, in any order.

        Raises
        ------
        TypeError, ValueError
            If the box or a method is invalid, or a method is given twice.
        """
        chosen: dict[str, Any] = {}
        for method in methods:
            if type(method) not in FIELDS:
                known = ", ".join(kind.__name__ for kind in FIELDS)
                raise TypeError(f"variance_reduction must hold {known}; got {method!r}")
            if FIELDS[type(method)] in chosen:
                raise ValueError(f"each method may be used once, got two of {method.name}")
            chosen[FIELDS[type(method)]] = method
        importance = chosen.get("importance")
        may_be_infinite = importance is not None and importance.target is not None
        box = _check_box(lower, upper, dim, may_be_infinite=may_be_infinite)
        return cls(fuse_points(f, *box) or f, *box, **chosen)

    def __call__(self, rng: np.random.Generator, size: int) -> ArrayLike:
        """Draw samples whose mean, times the volume, is the integral, by plain Monte Carlo."""
        return self.f(self.lower + (self.upper - self.lower) * rng.random((size, self.dim)))

    @property
    def dim(self) -> int:
        """Number of dimensions."""
        return len(self.lower)

    @property
    def volume(self) -> float:
        """Volume of the box; 1 where a target takes its place."""
        if self.importance is not None and self.importance.target is not None:
            return 1.0
        # Multiplied in the order of the axes, which np.prod may change on another machine.
        volume = 1.0
        for width in (self.upper - self.lower).tolist():
            volume *= width
        return volume

    def sampler(self) -> Callable[[np.random.Generator, int], ArrayLike]:
        """Return a function that draws samples by plain Monte Carlo; a fused loop if possible."""
        if not isinstance(self.f, FusedPoints):
            return self
        return FusedIntegrand(self.f, self.lower, self.upper - self.lower)

    def evaluate(self, u: Floats, spare: Floats | None = None) -> Floats:
        """Return the columns for uniform points.

        Parameters
        ----------
        u : ndarray, shape (n, dim)
            Points of the unit cube.
        spare : ndarray, optional
            Columns of other points, which are overwritten if they have as many rows.

        Returns
        -------
        ndarray, shape (n, m)
            The c controls; the values, k columns whose means are the integrals; with importance
            sampling, the squares whose means are the second moments of plain sampling, and the
            weights; with antithetic variates, all as means over pairs, and half of the differences
            between the values of a pair.
        """
        points = self._columns_at(u)
        if self.antithetic is None:
            return np.concatenate([*points.values()], axis=1)
        return _pair(points, self._columns_at(1.0 - u), spare)

    def _columns_at(self, u: Floats) -> dict[str, Floats]:
        """Return the columns at points of the unit cube by the names of their groups."""
        n = len(u)
        if self.importance is None:
            x = self.lower + (self.upper - self.lower) * u
            weight = np.array(self.volume)
        else:
            x = as_columns("transform(u)", self.importance.transform(u), n)
            if x.shape != u.shape or not ((x >= self.lower) & (x <= self.upper)).all():
                raise ValueError(
                    f"transform(u) must be points of the box, of shape {u.shape}, got shape "
                    f"{x.shape} within {x.min(axis=0).tolist()} and {x.max(axis=0).tolist()}"
                )
            weight = self._weights(x)
        values = as_columns("f(x)", self.f(x), n)
        columns = {"values": _weigh(values, weight)}
        if self.control is not None:
            columns = {"controls": _weigh(self._control(self.control, x), weight), **columns}
        if self.importance is not None:
            columns["squares"] = np.square(values) * weight * self.volume
            columns["weights"] = weight
        return columns

    def _control(self, control: ControlVariates, x: Floats) -> Floats:
        controls = as_columns("h(x)", control.h(x), len(x))
        if controls.shape[1] != self.n_controls:
            raise ValueError(
                f"h(x) must have a column for each of the {self.n_controls} integrals, "
                f"got shape {controls.shape}"
            )
        return controls

    def _weights(self, x: Floats) -> Floats:
        assert self.importance is not None
        density = as_columns("density(x)", self.importance.density(x), len(x))
        if not (density > 0.0).all():
            raise ValueError(
                "density(x) must be positive at the points of transform(u), got "
                f"{float(np.min(density))!r}"
            )
        if self.importance.target is None:
            return np.asarray(1.0 / density)
        target = as_columns("target(x)", self.importance.target(x), len(x))
        return np.asarray(target / density)

    @property
    def known(self) -> Floats:
        """The integrals of the controls, of shape (c,)."""
        return np.empty(0) if self.control is None else self.control.known

    @property
    def n_controls(self) -> int:
        """Number of controls, c: the first columns."""
        return len(self.known)

    def groups(self, n_columns: int) -> dict[str, slice]:
        """Return where the columns of `evaluate` lie, by the names of their groups."""
        is_weighted = self.importance is not None
        n_groups = 1 + is_weighted + (self.antithetic is not None)
        k = (n_columns - self.n_controls - is_weighted) // n_groups
        widths = {"controls": self.n_controls, "values": k}
        if is_weighted:
            widths |= {"squares": k, "weights": 1}
        if self.antithetic is not None:
            widths["differences"] = k
        ends = np.cumsum([0, *widths.values()]).tolist()
        return {name: slice(*pair) for name, pair in zip(widths, pairwise(ends), strict=True)}

    def regress(self, whole: CoMoments) -> Floats:
        """Return the coefficients of the controls, of shape (c, k)."""
        groups = self.groups(len(whole.moments.mean))
        return _solve(whole.products[:, groups["controls"]], whole.products[:, groups["values"]])

    def adjust(self, means: Floats, coefficients: Floats) -> Floats:
        """Return the means of the values, corrected by the errors of the controls' means."""
        groups = self.groups(means.shape[-1])
        off = means[..., groups["controls"]] - self.known
        return np.asarray(
            means[..., groups["values"]] - (off[..., None] * coefficients).sum(axis=-2)
        )

    def residual_variance(self, whole: CoMoments) -> Floats:
        """Return the variance of a sample that the controls do not explain, of shape (k,)."""
        groups = self.groups(len(whole.moments.mean))
        cross = whole.products[:, groups["values"]]
        explained = (cross * self.regress(whole)).sum(axis=0)
        left = np.maximum(whole.moments.m2[groups["values"]] - explained, 0.0)
        return np.asarray(left / max(1, self.n_degrees(whole)))

    def n_degrees(self, whole: CoMoments) -> int:
        """Return the degrees of freedom of that variance."""
        return whole.moments.count - self.n_controls - 1

    def leverage(self, whole: CoMoments) -> float:
        """Return what the random errors of the controls' means add to 1/n in the squared error."""
        c = self.n_controls
        off = whole.moments.mean[:c] - self.known
        return float(np.sum(off * _solve(whole.products[:, :c], off[:, None])[:, 0]))

    def variances(self, whole: CoMoments) -> Iterator[tuple[str, Floats]]:
        """Yield the variance of an evaluation without any method, then as each method is added."""
        groups = self.groups(len(whole.moments.mean))
        mean = whole.moments.mean
        variance = whole.moments.m2 / max(1, whole.moments.count - 1)
        single = variance[groups["values"]]
        if self.antithetic is not None:
            single = single + variance[groups["differences"]]
        plain = single
        if self.importance is not None:
            square = np.square(mean[groups["values"]])
            plain = mean[groups["squares"]] - square
            # If the mean dominates, their difference is rounding.
            plain = np.where(plain > 1e-9 * square, plain, np.nan)
        yield "plain sampling", plain
        if self.importance is not None:
            yield self.importance.name, single
        if self.antithetic is not None:
            yield self.antithetic.name, self.n_evaluations * variance[groups["values"]]
        if self.control is not None:
            yield self.control.name, self.n_evaluations * self.residual_variance(whole)

    @property
    def n_evaluations(self) -> int:
        """Evaluations of the function for each sample."""
        return 1 if self.antithetic is None else 2


def _weigh(columns: Floats, weight: Floats) -> Floats:
    """Return columns times a weight; as they are for the unit cube, where it is 1."""
    return columns if weight.shape == () and weight == 1.0 else columns * weight


def _pair(points: dict[str, Floats], images: dict[str, Floats], spare: Floats | None) -> Floats:
    """Return the means over pairs, and half of the differences of the values, side by side."""
    ends = np.cumsum([0, *(column.shape[1] for column in points.values())]).tolist()
    n, k = points["values"].shape
    pairs = np.empty((n, ends[-1] + k)) if spare is None or len(spare) != n else spare
    for name, start, stop in zip(points, ends, ends[1:], strict=False):
        np.add(points[name], images[name], out=pairs[:, start:stop])
    np.subtract(points["values"], images["values"], out=pairs[:, ends[-1] :])
    pairs *= 0.5
    return pairs


def _solve(matrix: Floats, right: Floats) -> Floats:
    """Solve the normal equations of controls, even if some are constant or repeat others."""
    if not (np.isfinite(matrix).all() and np.isfinite(right).all()):
        return np.full_like(right, np.nan)
    scale = np.sqrt(np.diag(matrix))[:, None]
    scale = np.where(scale > 0.0, scale, 1.0)
    if not len(matrix):
        return right
    found = np.linalg.lstsq(matrix / (scale * scale.T), right / scale, rcond=None)[0]
    return np.asarray(found / scale)


def _check_box(
    lower: ArrayLike, upper: ArrayLike, dim: int | None, *, may_be_infinite: bool
) -> tuple[Floats, Floats]:
    refuse_masked("lower and upper", lower, upper)
    try:
        low, high = (np.atleast_1d(np.asarray(c, dtype=np.float64)) for c in (lower, upper))
    except (TypeError, ValueError):
        raise TypeError(
            f"lower and upper must be numbers, or arrays of them, got {lower!r} and {upper!r}"
        ) from None
    n_dim = max(len(low), len(high)) if dim is None else check_count("dim", dim)
    if low.ndim > 1 or high.ndim > 1 or {len(low), len(high)} - {1, n_dim} or n_dim < 1:
        raise ValueError(
            f"lower and upper must be numbers or of shape ({n_dim},), "
            f"got shapes {np.shape(lower)} and {np.shape(upper)}"
        )
    low, high = np.broadcast_to(low, n_dim).copy(), np.broadcast_to(high, n_dim).copy()
    with np.errstate(all="ignore"):
        usable = low < high
        if not may_be_infinite:
            usable &= np.isfinite(low) & np.isfinite(high) & np.isfinite(high - low)
    if not usable.all():
        raise ValueError(
            "lower and upper must be finite and so must their distance, each lower bound below "
            f"its upper one, got {low.tolist()} and {high.tolist()}; an infinite box needs "
            "importance sampling with a target"
        )
    return low, high
