"""Sources of random numbers that a function may have captured."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

__all__ = ["GENERATORS", "find_shared", "is_distribution"]

#: Classes whose instances draw numbers from a state of their own.
GENERATORS = (np.random.Generator, np.random.RandomState, np.random.BitGenerator, random.Random)

#: Generators of a whole process, behind the functions of the modules.
SHARED = {
    "numpy.random": np.random.random_sample.__self__,  # type: ignore[attr-defined]
    "random": random.random.__self__,  # type: ignore[attr-defined]
}


def find_shared(value: object) -> str | None:
    """Return the module of a generator that a whole process shares, or None for any other value."""
    return next((name for name, generator in SHARED.items() if value is generator), None)


def is_distribution(value: Any) -> bool:
    """Tell whether a value is one of SciPy's distributions, frozen or not."""
    kind = type(value)
    return hasattr(kind, "rvs") and any(
        base.__module__.startswith("scipy.stats.") for base in kind.__mro__
    )
