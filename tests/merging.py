"""A merge for the folds of tests, pickled by value: other engines' workers cannot import tests."""

from __future__ import annotations

import sys

import cloudpickle


def bracket(left: str, right: str) -> str:
    """Merge so that the result shows every merge: neither associative nor commutative."""
    return f"({left}{right})"


cloudpickle.register_pickle_by_value(sys.modules[__name__])
