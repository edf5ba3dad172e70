"""Fused loops: a user's function compiled by numba, called on one point or sample after the other.

Points are drawn and used within the loop, so no array of them is made. They are the points that an
uncompiled function gets: `numpy.random.Generator` draws the same numbers one by one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoopsci.codehash import hash_code
from scoopsci.compiled import battery_of_numba, compile_once, find_numba

__all__ = ["FusedIntegrand", "FusedSampler", "fuse_integrand", "fuse_sampler"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Fused:
    """A user's function as it travels: uncompiled, with the options that it is compiled with.

    Attributes
    ----------
    fn : function
        The function itself.
    options : tuple of tuple of str, object
        Those of ``numba.njit``.
    code : str
        Hash of both, see `scoopsci.codehash.hash_code`.
    """

    fn: FunctionType
    options: tuple[tuple[str, Any], ...]
    code: str

    @property
    def numerics(self) -> str:
        """How code that numba compiles computes on this host."""
        return battery_of_numba()


@dataclass(frozen=True, slots=True)
class FusedSampler(_Fused):
    """Draws samples one by one: ``fn(rng)`` returns a number."""

    def __call__(self, rng: np.random.Generator, size: int) -> Floats:
        """Draw samples."""
        samples = np.empty(size)
        _compile(_draw_samples, self, 1)(rng, samples)
        return samples


@dataclass(frozen=True, slots=True)
class FusedIntegrand(_Fused):
    """Evaluates an integrand point by point: ``fn(x)`` of shape ``(dim,)`` returns a number.

    Attributes
    ----------
    lower, width : ndarray, shape (dim,)
        A corner of the box, and its extent.
    volume : float
        Its volume.
    """

    lower: Floats
    width: Floats
    volume: float

    def __call__(self, rng: np.random.Generator, size: int) -> Floats:
        """Draw samples whose mean is the integral."""
        samples = np.empty(size)
        _compile(_draw_values, self, 3)(rng, self.lower, self.width, samples)
        return samples * self.volume


def fuse_sampler(fn: Callable[..., Any]) -> FusedSampler | None:
    """Return the fused loop of a function of numba's that takes a generator alone.

    Parameters
    ----------
    fn : callable
        Anything.

    Returns
    -------
    FusedSampler or None
        None for what is not compiled by numba, or takes other arguments.

    Raises
    ------
    TypeError
        If it takes a generator alone, and does not return a number.
    """
    parts = _take_apart(fn)
    if parts is None or len(inspect.signature(parts[0]).parameters) != 1:
        return None
    fused = FusedSampler(*parts)
    try:
        _compile(_draw_samples, fused, 1)
    except find_numba().core.errors.NumbaError as error:
        raise TypeError(
            "a function compiled by numba must be fn(rng) and return one number, or fn(rng, size) "
            f"and return an array; got {fn!r}: {_first_line(error)}"
        ) from error
    return fused


def fuse_integrand(
    f: Callable[..., Any], lower: Floats, upper: Floats, volume: float
) -> FusedIntegrand | None:
    """Return the fused loop of a function of numba's that takes one point to a number.

    Parameters
    ----------
    f : callable
        Anything.
    lower, upper : ndarray, shape (dim,)
        Corners of the box.
    volume : float
        Its volume.

    Returns
    -------
    FusedIntegrand or None
        None for what is not compiled by numba, or wants many points at once.
    """
    parts = _take_apart(f)
    if parts is None or _takes_many(f, lower, upper):
        return None
    fused = FusedIntegrand(*parts, lower, upper - lower, volume)
    try:
        _compile(_draw_values, fused, 3)
    except find_numba().core.errors.NumbaError:
        return None  # refused by the blocks, with what it returns
    return fused


def _takes_many(f: Callable[..., Any], lower: Floats, upper: Floats) -> bool:
    """Tell whether a function gives a value for each of many points, by asking it."""
    # More points than coordinates: what takes one point may take this array for one, too.
    shares = np.linspace(0.25, 0.75, len(lower) + 3)[:, None]
    try:
        values = f(lower + (upper - lower) * shares)
    except Exception:
        return False
    return np.ndim(values) > 0 and len(values) == len(shares)


def _take_apart(fn: Any) -> tuple[FunctionType, tuple[tuple[str, Any], ...], str] | None:
    if not type(fn).__module__.startswith("numba.") or not hasattr(fn, "py_func"):
        return None
    kept = ("fastmath", "error_model", "boundscheck")
    options = tuple((name, fn.targetoptions[name]) for name in kept if name in fn.targetoptions)
    return fn.py_func, options, hash_code(fn)


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), "no message")


def _compile(loop: Any, fused: _Fused, n_arrays: int) -> Callable[..., None]:
    """Return a loop with the user's function among its globals, where numba can inline it."""
    key = loop.__name__, fused.code
    if key not in _loops:
        numba, options = find_numba(), dict(fused.options)
        if numba is None:
            raise ImportError(
                "a function compiled by numba needs it on every host, and it is missing here: "
                "pip install 'scoopsci[fast]'"
            )
        names = {**loop.__globals__, "fn": numba.njit(**options)(fused.fn)}
        bound = FunctionType(loop.__code__, names, loop.__name__)
        rng = numba.typeof(np.random.default_rng(0))
        signature = rng, *[numba.float64[::1]] * n_arrays
        _loops[key] = compile_once(bound, signature, fused.code, **options)
    return _loops[key]


_loops: dict[tuple[str, str], Callable[..., None]] = {}


def _draw_samples(rng: Any, samples: Any) -> None:
    for i in range(len(samples)):
        samples[i] = fn(rng)  # type: ignore[name-defined]  # noqa: F821


def _draw_values(rng: Any, lower: Any, width: Any, samples: Any) -> None:
    x = np.empty(len(lower))
    for i in range(len(samples)):
        for j in range(len(lower)):
            x[j] = lower[j] + width[j] * rng.random()
        samples[i] = fn(x)  # type: ignore[name-defined]  # noqa: F821
