"""Calls of the whole library whose exact results every engine must find."""

from __future__ import annotations

import functools
import hashlib
import operator
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

import scoopsci

__all__ = ["find_map_bits", "make_numbers", "mixed_magnitudes"]


def mixed_magnitudes(**run: Any) -> scoopsci.Estimate:
    """Return an estimate from numbers of mixed magnitude.

    Parameters
    ----------
    **run
        Options of the run.

    Returns
    -------
    Estimate
        Its bits tell in which order the blocks were merged.
    """

    def draw(rng: np.random.Generator, size: int) -> np.ndarray:
        return np.exp(20.0 * rng.standard_normal((size, 3)))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", scoopsci.DoubtfulEstimateWarning)
        return scoopsci.estimate(draw, 300_100, seed=11, block_size=1_000, **run)


def make_numbers(n_items: int) -> np.ndarray:
    """Return numbers of mixed magnitude: the bits of their sum depend on the order."""
    rng = np.random.Generator(np.random.PCG64DXSM(20_260_101))
    numbers: np.ndarray = np.exp(20.0 * rng.standard_normal(n_items))
    return numbers


def _scale(rng: np.random.Generator, number: float, factor: int) -> float:
    return float(number * factor * rng.standard_normal())


def _group(index: int, number: float) -> list[tuple[int, float]]:
    return [(index % 7, float(number)), (index * index % 1_000, float(-number))]


def _invert(index: int) -> float:
    return 1.0 / (index % 500)


def _sum_within(index: int) -> str:
    """Run maps within a task."""
    inner = scoopsci.map(functools.partial(pow, index + 1.5), range(20), engine="processes")
    total = scoopsci.map_reduce(float, operator.add, list(inner), engine="auto")
    return float(total).hex()


def _describe_error(result: Any) -> str:
    if isinstance(result, scoopsci.TaskError):
        return f"block {result.block}: {result.__cause__!r}"
    return float(result).hex()


def _hash_floats(values: Iterable[float]) -> str:
    return hashlib.sha256(np.fromiter(values, np.float64).tobytes()).hexdigest()


def _hash_texts(values: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(values).encode()).hexdigest()


def find_map_bits(n_items: int, n_fewer: int, **run: Any) -> dict[str, str]:
    """Return the exact results of the whole map family.

    Parameters
    ----------
    n_items : int
        Numbers that are summed and scanned.
    n_fewer : int
        Numbers of the other calls.
    **run
        Options of the run.

    Returns
    -------
    dict of str to str
        By the call, its result or a hash of it.
    """
    numbers, fewer = make_numbers(n_items), make_numbers(n_fewer)
    counted = scoopsci.map_as_completed(float, fewer, **run)
    groups = scoopsci.map_reduce_by_key(_group, operator.add, range(n_fewer), fewer, **run)
    seeded = scoopsci.map(_scale, iter(fewer), range(n_fewer), seed=5, **run)
    pairs = ((number, 3) for number in fewer)
    return {
        "sum": scoopsci.map_reduce(float, operator.add, numbers, **run).hex(),
        "scan": _hash_floats(scoopsci.map_scan(float, operator.add, numbers, **run)),
        "as completed": _hash_floats(sorted(counted)),
        "groups": _hash_texts(f"{key} {value.hex()}" for key, value in groups.items()),
        "seeded": _hash_floats(seeded),
        "seeded starmap": _hash_floats(scoopsci.starmap(_scale, pairs, seed=6, **run)),
        "errors": _hash_texts(
            map(_describe_error, scoopsci.map(_invert, range(n_fewer), on_error="return", **run))
        ),
        "nested": _hash_texts(scoopsci.map(_sum_within, range(50), **run)),
    }
