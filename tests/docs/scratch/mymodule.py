"""What pages take for a module of the reader's."""

from __future__ import annotations

import math


def simulate(x: float) -> float:
    """Return what has taken a moment."""
    return sum(math.sin(x + i) for i in range(1000))


def f(x):  # type: ignore[no-untyped-def]
    """Return an integrand, of points of shape (n, dim)."""
    return (x**2).sum(axis=1)
