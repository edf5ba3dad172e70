"""Fused loops: a user's function compiled by numba, called on one point or sample after the other.

Points are drawn and used within the loop, so no array of them is made. They are the same points as
for an uncompiled function: `numpy.random.Generator` draws the same numbers one by one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from scoopsci.basics.codehash import hash_code
from scoopsci.basics.members import is_compiled
from scoopsci.estimation.compiled import compile_once, find_numba

__all__ = ["Fused", "FusedIntegrand", "FusedPoints", "FusedSampler", "fuse_points", "fuse_sampler"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Fused:
    """A user's function as it is sent to workers: uncompiled, with the compiler's options.

    Attributes
    ----------
    fn : function
        The function itself.
    options : dict
        Options of ``numba.njit``.
    code : str
        Hash of both, see `scoopsci.montecarlo.hash_code`.
    dtype : type
        bool if the function returns that, float for any other number.
    """

    fn: FunctionType
    options: dict[str, Any]
    code: str
    dtype: type[bool] | type[float]


F = TypeVar("F", bound=Fused)


@dataclass(frozen=True, slots=True)
class FusedSampler(Fused):
    """Draws samples one by one: ``fn(rng)`` returns a number."""

    def __call__(self, rng: np.random.Generator, size: int) -> NDArray[Any]:
        """Draw samples."""
        samples = np.empty(size, self.dtype)
        _compile(_draw_samples, self, rng, samples)(rng, samples)
        return samples


@dataclass(frozen=True, slots=True)
class FusedPoints(Fused):
    """Evaluates a function point by point: ``fn(x)`` of shape ``(dim,)`` returns a number."""

    def __call__(self, x: Floats) -> NDArray[Any]:
        """Return the values at points of shape ``(n, dim)``."""
        x, values = np.ascontiguousarray(x), np.empty(len(x), self.dtype)
        _compile(_evaluate, self, x, values)(x, values)
        return values


@dataclass(frozen=True, slots=True)
class FusedIntegrand:
    """Draws points of a box and evaluates a function there.

    Attributes
    ----------
    points : FusedPoints
        The integrand.
    lower, width : ndarray, shape (dim,)
        Lower corner of the box, and its extent.
    """

    points: FusedPoints
    lower: Floats
    width: Floats

    def __call__(self, rng: np.random.Generator, size: int) -> NDArray[Any]:
        """Draw samples whose mean, times the volume, is the integral."""
        arrays = self.lower, self.width, np.empty(size, self.points.dtype)
        _compile(_draw_values, self.points, rng, *arrays)(rng, *arrays)
        return arrays[-1]


def fuse_sampler(fn: Callable[..., Any]) -> FusedSampler | None:
    """Return the fused loop of a compiled function whose only argument is a generator.

    Parameters
    ----------
    fn : callable
        Any function.

    Returns
    -------
    FusedSampler or None
        None if numba does not compile the function, or it takes other arguments.

    Raises
    ------
    TypeError
        If it takes only a generator, but does not return a number.
    """
    if not is_compiled(fn) or len(inspect.signature(fn.py_func).parameters) != 1:  # type: ignore[attr-defined]
        return None
    rng = np.random.default_rng(0)
    rule = "fn(rng) and return one number, or fn(rng, size) and return an array"
    return _fuse(FusedSampler, fn, rule, rng, (rng, 0))


def fuse_points(f: Callable[..., Any], lower: Floats, upper: Floats) -> FusedPoints | None:
    """Return the fused loop of a compiled function that maps one point to a number.

    Parameters
    ----------
    f : callable
        Any function.
    lower, upper : ndarray, shape (dim,)
        Corners of the box.

    Returns
    -------
    FusedPoints or None
        None if numba does not compile the function, or it takes many points at once.

    Raises
    ------
    TypeError
        If it does neither.
    """
    if not is_compiled(f) or _takes_many(f, lower, upper):
        return None
    rule = (
        "f(x) of one point x of shape (dim,) and return a number, or of points of shape (n, dim) "
        "and return an array"
    )
    return _fuse(FusedPoints, f, rule, np.empty(len(lower)), (np.empty((0, len(lower))),))


def _takes_many(f: Callable[..., Any], lower: Floats, upper: Floats) -> bool:
    """Return whether a function gives a value for each of many points, by calling it."""
    # More points than coordinates: a function of one point may accept this array as one.
    shares = np.linspace(0.25, 0.75, len(lower) + 3)[:, None]
    finite = np.clip(lower, -1e3, 1e3), np.clip(upper, -1e3, 1e3)  # boxes may be infinite
    try:
        values = f(finite[0] + (finite[1] - finite[0]) * shares)
    except Exception:
        return False
    return np.ndim(values) > 0 and len(values) == len(shares)


def _fuse(kind: type[F], fn: Any, rule: str, one: Any, none: tuple[Any, ...]) -> F:
    """Return the loop of a function of `one`, compiled by calling it with `none`.

    If numba cannot compile it, a TypeError states the rule.
    """
    if not fn._can_compile:
        raise TypeError(
            f"a function compiled with an explicit signature must take many points or samples at "
            f"once; leave the signature out to have it called point by point, got {fn!r}"
        )
    kept = ("fastmath", "error_model", "boundscheck")
    options = {name: fn.targetoptions[name] for name in kept if name in fn.targetoptions}
    numba = find_numba()
    signature = (numba.typeof(one),)
    try:
        fn.compile(signature)
        is_bool = fn.overloads[signature].signature.return_type == numba.types.boolean
        options["locals"] = dict(fn.locals)
        fused: Any = kind(fn.py_func, options, hash_code(fn), bool if is_bool else float)
        fused(*none)
    except numba.core.errors.NumbaError as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), "no message")
        raise TypeError(
            f"a function compiled by numba must be {rule}; got {fn!r}: {reason}"
        ) from error
    return cast(F, fused)


def _compile(loop: Any, fused: Fused, *arguments: Any) -> Callable[..., None]:
    """Return a loop with the user's function among its globals, so that numba can inline it."""
    key = loop.__name__, fused.code
    if key not in _loops:
        numba = find_numba()
        if numba is None:
            raise ImportError(
                "a function compiled by numba needs numba on every host, and it is missing here: "
                "pip install 'scoopsci[fast]'"
            )
        names = {**loop.__globals__, "fn": numba.njit(**fused.options)(fused.fn)}
        bound = FunctionType(loop.__code__, names, loop.__name__)
        # The user's options apply only to the user's function: points are drawn as usual.
        signature = tuple(map(numba.typeof, arguments))
        _loops[key] = compile_once(bound, signature, fused.code)
    return _loops[key]


_loops: dict[tuple[str, str], Callable[..., None]] = {}


def _draw_samples(rng: Any, samples: Any) -> None:
    for i in range(len(samples)):
        samples[i] = fn(rng)  # type: ignore[name-defined]  # noqa: F821


def _evaluate(x: Any, values: Any) -> None:
    for i in range(len(values)):
        values[i] = fn(x[i])  # type: ignore[name-defined]  # noqa: F821


def _draw_values(rng: Any, lower: Any, width: Any, samples: Any) -> None:
    x = np.empty(len(lower))
    for i in range(len(samples)):
        for j in range(len(lower)):
            x[j] = lower[j] + width[j] * rng.random()
        samples[i] = fn(x)  # type: ignore[name-defined]  # noqa: F821
