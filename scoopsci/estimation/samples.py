"""What a user's functions return, checked and converted to floating-point numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["as_columns", "as_samples", "refuse_masked"]

#: Arrays that are no more than their numbers; masked ones as far as none is.
KEPT = (np.ndarray, np.memmap, np.matrix, np.recarray, np.ma.MaskedArray)

Floats = NDArray[np.float64]


def as_samples(drawn: ArrayLike, size: int) -> Floats | NDArray[np.bool_]:
    """Return samples as floating-point numbers, or as they are if they are bool.

    Parameters
    ----------
    drawn : array_like
        What the user's function returned.
    size : int
        Number of samples that it was asked for.

    Returns
    -------
    ndarray of float64 or bool, shape (size,) or (size, k)
        The samples.

    Raises
    ------
    TypeError, ValueError
        If they are not real numbers, or of another shape.
    """
    samples = _as_real("samples", drawn)
    if not _has_rows(samples, size):
        raise ValueError(
            f"samples must be of shape (size,) or (size, k) with size = {size}, "
            f"got shape {samples.shape}; return as many as are asked for by size"
        )
    return samples if samples.dtype == np.bool_ else samples.astype(np.float64, copy=False)


def as_columns(name: str, values: ArrayLike, n: int) -> Floats:
    """Return values at n points as columns, of shape (n, k); the name is for errors."""
    array = _as_real(name, values)
    if not _has_rows(array, n):
        raise ValueError(f"{name} must be of shape ({n},) or ({n}, k), got shape {array.shape}")
    return array.astype(np.float64, copy=False).reshape(n, -1)


def _as_real(name: str, values: ArrayLike) -> NDArray[Any]:
    parts = values if isinstance(values, (list, tuple)) else [values]
    refuse_masked(name, *(part for part in parts if isinstance(part, np.ma.MaskedArray)))
    if isinstance(values, np.ndarray) and type(values) not in KEPT:
        raise TypeError(
            f"{name} must be a plain array, got {type(values).__name__}, whose additions would be "
            "lost; return np.asarray of it"
        )
    array = np.asarray(values)
    if array.dtype.kind not in "buif":
        raise TypeError(f"{name} must be real numbers, got an array of {array.dtype}")
    return array


def refuse_masked(name: str, *arrays: object) -> None:
    """Raise a TypeError if any element of an array is masked; the name is for the error."""
    if any(map(np.ma.is_masked, arrays)):
        raise TypeError(f"{name} must not be masked; leave out or replace what is masked")


def _has_rows(array: NDArray[Any], n: int) -> bool:
    return array.ndim in (1, 2) and len(array) == n and array.size > 0
