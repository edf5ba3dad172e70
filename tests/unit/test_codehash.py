"""The hash of a user's code: what it tells apart, and that it never fails."""

from __future__ import annotations

import array
import datetime
import decimal
import enum
import fractions
import functools
import importlib
import subprocess
import sys
import threading
import types
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scoopsci.basics.codehash import hash_code, hash_values

PROGRAM = """
from dataclasses import dataclass
from scoopsci.basics.codehash import hash_code
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


def make_counter(step: int) -> type:
    class Counter:
        STEP = step

        def add(self, x: int) -> int:
            return x + self.STEP

        __call__ = add

    return Counter


def make_derived(step: int) -> type:
    class Derived(make_counter(step)):  # type: ignore[misc]
        pass

    return Derived


def make_property(step: int) -> type:
    class Counter:
        @property
        def step(self) -> int:
            return step

        def __call__(self, x: int) -> int:
            return x + self.step

    return Counter


def make_class_method(step: int) -> type:
    class Counter:
        @classmethod
        def find_step(cls) -> int:
            return step

        def __call__(self, x: int) -> int:
            return x + self.find_step()

    return Counter


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
        (make(datetime.date(2020, 1, 1)), make(datetime.date(2021, 1, 1))),
        (functools.partial(lambda x: 1, 0), functools.partial(lambda x: 2, 0)),
        (functools.partial(make, 1), functools.partial(make, 2)),
        (functools.lru_cache(lambda x: 1), functools.lru_cache(lambda x: 2)),
        (np.vectorize(lambda x: 1), np.vectorize(lambda x: 2)),
        (make_counter(1), make_counter(2)),
        (make_counter(1)().add, make_counter(2)().add),
        (make_counter(1)(), make_counter(2)()),
        (make_derived(1)(), make_derived(2)()),
        (make_property(1)(), make_property(2)()),
        (make_class_method(1)(), make_class_method(2)()),
        ([1].index, [2].index),
    ],
    ids=[
        *("slots", "numbers", "sets", "arrays", "functions", "lambdas", "dates", "partials"),
        *("arguments", "caches", "vectorised", "classes", "methods", "objects", "bases"),
        *("properties", "class methods", "methods of values"),
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


def find_twice(x: float) -> float:
    return find_once(x)


def find_once(x: float) -> float:
    return x


def test_functions_of_the_same_module_are_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    before = hash_code(find_twice), hash_code(functools.partial(find_twice, 1.0))
    monkeypatch.setitem(globals(), "find_once", lambda x: 2 * x)
    after = hash_code(find_twice), hash_code(functools.partial(find_twice, 1.0))
    assert before[0] != after[0]
    assert before[1] != after[1]


@pytest.mark.parametrize(
    "fn",
    [make(threading.Lock()), make_unset(), recursive, np.sin, len, int, make(make), [].append],
)
def test_anything_has_a_hash(fn: Any) -> None:
    assert hash_code(fn) == hash_code(fn)


def test_every_process_finds_the_same_hash() -> None:
    runs = [
        subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
        for _ in range(3)
    ]
    assert len({run.stdout for run in runs}) == 1


class Colour(enum.Enum):
    RED = 1
    GREEN = 2


@dataclass
class Point:
    x: Any


class Tagged:
    """Pickled by its state, which is not in its dictionary."""

    tags: dict[int, str] = {}  # noqa: RUF012

    def __init__(self, tag: str) -> None:
        Tagged.tags[id(self)] = tag

    def __reduce__(self) -> Any:
        return Tagged, (Tagged.tags[id(self)],)


VALUES: dict[str, list[Callable[[], Any]]] = {
    "numbers": [lambda: 0, lambda: 0.0, lambda: -0.0, lambda: False, lambda: None, lambda: 0j],
    "large numbers": [lambda: 10**5_000, lambda: 10**5_000 + 1],
    "kinds": [lambda: 1, lambda: np.int64(1), lambda: np.float32(1), lambda: "1", lambda: b"1"],
    "NaN": [lambda: float("nan"), lambda: float("inf")],
    "texts": [lambda: "ab", lambda: "ba", lambda: "", lambda: "a\0b"],
    "sequences": [lambda: [1, 2], lambda: (1, 2), lambda: [2, 1], lambda: [[1], 2], lambda: [1]],
    "sets": [lambda: {1, 2}, lambda: {1, 3}, lambda: frozenset({1, 2}), lambda: set()],
    "dicts": [lambda: {"a": 1}, lambda: {"a": 2}, lambda: {"b": 1}, lambda: OrderedDict(a=1)],
    "arrays": [
        lambda: np.zeros(4),
        lambda: np.zeros((2, 2)),
        lambda: np.zeros(4, np.float32),
        lambda: np.zeros(4, np.int64),
        lambda: np.array([0, 0, 0, 1.0]),
        lambda: np.array([None] * 4),
    ],
    "structured arrays": [
        lambda: np.zeros(2, [("a", "i4"), ("b", "f4")]),
        lambda: np.zeros(2, [("a", "f4"), ("b", "i4")]),
        lambda: np.zeros(2, [("x", "i4"), ("y", "f4")]),
    ],
    "masked arrays": [lambda: np.ma.array([1, 2], mask=[False, True]), lambda: np.ma.array([1, 2])],
    "dates": [lambda: datetime.date(2020, 1, 1), lambda: datetime.date(2021, 1, 1)],
    "times": [lambda: datetime.datetime(2020, 1, 1, 5), lambda: datetime.datetime(2020, 1, 1, 6)],
    "durations": [lambda: datetime.timedelta(1), lambda: datetime.timedelta(2)],
    "NumPy's dates": [lambda: np.datetime64("2020-01-01"), lambda: np.datetime64("2021-01-01")],
    "decimals": [lambda: decimal.Decimal("1.0"), lambda: decimal.Decimal("1.00")],
    "fractions": [lambda: fractions.Fraction(1, 2), lambda: fractions.Fraction(1, 3)],
    "paths": [lambda: Path("a"), lambda: Path("b"), lambda: Path("a/b")],
    "identifiers": [lambda: uuid.UUID(int=1), lambda: uuid.UUID(int=2)],
    "enumerations": [lambda: Colour.RED, lambda: Colour.GREEN],
    "deques": [lambda: deque([1]), lambda: deque([2])],
    "arrays of bytes": [lambda: bytearray(b"a"), lambda: bytearray(b"b")],
    "arrays of the library": [lambda: array.array("d", [1]), lambda: array.array("d", [2])],
    "ranges and slices": [lambda: range(3), lambda: range(4), lambda: slice(3), lambda: slice(4)],
    "generators": [lambda: np.random.default_rng(1), lambda: np.random.default_rng(2)],
    "objects": [lambda: Point(1), lambda: Point(2), lambda: Point([1]), lambda: Slotted(1)],
    "objects within objects": [lambda: Point(Point(1)), lambda: Point(Point(2))],
    "objects with a state of their own": [lambda: Tagged("a"), lambda: Tagged("b")],
    "functions": [lambda: lambda x: 1, lambda: lambda x: 2, lambda: make(1), lambda: make(2)],
    "errors": [lambda: ValueError(1), lambda: ValueError(2), lambda: TypeError(1)],
}


class TestValues:
    @pytest.mark.parametrize("kind", VALUES)
    def test_different_values_have_different_hashes(self, kind: str) -> None:
        makes = VALUES[kind]
        hashes = [hash_values([give()]) for give in makes]
        assert hashes == [hash_values([give()]) for give in makes], "equal values, equal hashes"
        assert len(set(hashes)) == len(makes)

    @pytest.mark.parametrize("kind", VALUES)
    def test_within_a_container_too(self, kind: str) -> None:
        makes = VALUES[kind]
        assert len({hash_values([[0, (give(),)]]) for give in makes}) == len(makes)

    def test_the_order_and_the_number_count(self) -> None:
        lists = [[], [1], [1, 2], [2, 1], [[1, 2]], [[1], 2], ["1", "2"], ["12"], [1, 1]]
        assert len({hash_values(values) for values in lists}) == len(lists)  # type: ignore[arg-type]

    def test_the_kind_of_container_does_not_matter(self) -> None:
        rows = np.arange(12.0).reshape(4, 3)
        assert hash_values(rows) == hash_values(list(rows)) == hash_values(row for row in rows)
        assert hash_values(rows) == hash_values(rows.copy(order="F"))
        assert hash_values(range(5)) == hash_values([*range(5)]) == hash_values((0, 1, 2, 3, 4))
        assert hash_values(rows[0]) == hash_values(list(rows[0]))

    def test_using_a_value_does_not_change_it(self) -> None:
        """Paths remember how they look as text, and sort as parts."""
        fresh, used = Path("a/b"), Path("a/b")
        sorted([used, Path("c")])
        str(used), hash(used), used.parts, used.suffix
        assert hash_values([used]) == hash_values([fresh])

    def test_values_that_hold_themselves(self) -> None:
        values: list[Any] = [1]
        values.append(values)
        assert hash_values(values) == hash_values(values)

    @pytest.mark.parametrize("value", [threading.Lock(), sys.stdin, object(), iter([]), types])
    def test_anything_has_a_hash(self, value: Any) -> None:
        assert hash_values([value]) == hash_values([value])


def named(name: str, attribute: int = 0) -> Callable[[], Any]:
    def fn() -> str:
        return name

    fn.attribute = attribute  # type: ignore[attr-defined]
    return fn


def try_both(first: Any, second: Any) -> Any:
    try:
        first()
        second()
    except ValueError:
        return None


def try_first(first: Any, second: Any) -> Any:
    try:
        first()
    except ValueError:
        return None
    else:
        second()


class TestWhatAFunctionCarries:
    def test_which_of_its_values_comes_again(self) -> None:
        one, two = named("one"), named("two")
        lists = [[one, two, one], [one, two, two], [one, one, two]]
        assert len({hash_values([values]) for values in lists}) == 3

    def test_attributes(self) -> None:
        assert hash_code(named("a", 1)) == hash_code(named("a", 1)) != hash_code(named("a", 2))

    def test_what_an_exception_ends(self) -> None:
        assert try_both.__code__.co_names == try_first.__code__.co_names
        assert hash_code(try_both) != hash_code(try_first)

    def test_arrays_of_a_class(self) -> None:
        def make_class(last: float) -> type:
            class Table:
                values = np.array([1.0, last])

                def __call__(self) -> float:
                    return float(self.values.sum())

            return Table

        assert hash_code(make_class(2.0)) == hash_code(make_class(2.0))
        assert hash_code(make_class(2.0)) != hash_code(make_class(3.0))

    def test_values_in_modules_of_a_package(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        package = tmp_path / "users_package"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "inner.py").write_text("FACTOR = 1\n")
        monkeypatch.syspath_prepend(tmp_path)
        module = importlib.import_module("users_package.inner")
        program: dict[str, Any] = {"__name__": "users_program"}
        exec("import users_package.inner\ndef f(): return users_package.inner.FACTOR", program)
        before = hash_code(program["f"])
        assert hash_code(program["f"]) == before
        monkeypatch.setattr(module, "FACTOR", 2)
        assert hash_code(program["f"]) != before
