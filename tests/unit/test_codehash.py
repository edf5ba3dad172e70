"""The hash of a user's code: what it tells apart, and that it never fails."""

from __future__ import annotations

import subprocess
import sys
import threading
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from scoopsci.codehash import hash_code

PROGRAM = """
from dataclasses import dataclass
from scoopsci.codehash import hash_code
@dataclass
class Point:
    x: float
words, point, K = {"a", "set", "of", "words"}, Point(1.5), 3
def draw(rng, size):
    return helper(K, words, point)
def helper(*values):
    return values
print(hash_code(draw))
"""


@dataclass(slots=True)
class Slotted:
    x: int

    def __call__(self) -> int:
        return self.x


def make(value: Any) -> Callable[[], Any]:
    return lambda: value


def make_unset() -> Callable[[], Any]:
    code = make(1).__code__
    return types.FunctionType(code, {}, closure=(types.CellType(),))


def recursive(n: int) -> int:
    return recursive(n - 1) if n else 0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Slotted(1), Slotted(2)),
        (make(1), make(2)),
        (make({"a", "b"}), make({"a", "c"})),
        (make(np.zeros(3)), make(np.zeros(4))),
        (make(make(1)), make(make(2))),
        (make(lambda: 1), make(lambda: 2)),
    ],
)
def test_different_code_has_different_hashes(one: Any, other: Any) -> None:
    assert hash_code(one) == hash_code(one) != hash_code(other)


def test_a_changed_global_changes_the_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    def use_global() -> Any:
        return PROGRAM

    before = hash_code(use_global)
    monkeypatch.setitem(use_global.__globals__, "PROGRAM", "other")
    assert hash_code(use_global) != before


@pytest.mark.parametrize(
    "fn",
    [make(threading.Lock()), make_unset(), recursive, np.sin, len, int, make(make), [].append],
    ids=repr,
)
def test_anything_has_a_hash(fn: Any) -> None:
    assert hash_code(fn) == hash_code(fn)


def test_every_process_finds_the_same_hash() -> None:
    runs = [
        subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
        for _ in range(3)
    ]
    assert len({run.stdout for run in runs}) == 1
