"""The hash of a user's code: what it tells apart, and that it never fails."""

from __future__ import annotations

import array
import datetime
import decimal
import enum
import fractions
import functools
import importlib
import random
import subprocess
import sys
import threading
import types
import uuid
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import numpy.random
import pytest
import scipy.stats
from scipy.stats import norm

import scoopsci
from scoopsci.basics.codehash import HASH_VERSION, Code, describe_code, hash_code, hash_values
from tests.ledgers import craft

PROGRAM = """
from dataclasses import dataclass
from random import gauss
from scipy.stats import norm
from scoopsci.basics.codehash import hash_code
@dataclass
class Point:
    x: float
class Model:
    KNOWN, BY_NAME = {"a", "set", "of", "words", "and", None}, {"a": Point(frozenset("abc"))}
    def __call__(self):
        "A docstring."
        return norm.ppf(gauss(0, 1)) in self.KNOWN
words, point, K = {"a", "set", "of", "words"}, Point(1.5), 3
def draw(rng, size):
    return helper(K, words, point, Model())
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

    __scoopsci_ignore__ = ("tags",)  # grows with each instance
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


def compile_function(source: str, **values: Any) -> Any:
    """Return the last function or class of a program, with values among its globals."""
    program: dict[str, Any] = {"__name__": "users_program", **values}
    exec(compile(source, "<program>", "exec", dont_inherit=True), program)
    return [value for name, value in program.items() if name not in ("__builtins__", *values)][-1]


def compile_call(source: str, **values: Any) -> Any:
    """Return an instance of a class that a program defines."""
    return compile_function(source, **values)()


class Wrapper:
    """Has its name from what it wraps."""

    def __init__(self, fn: Callable[..., Any], factor: int) -> None:
        functools.update_wrapper(self, fn)
        self.fn, self.factor = fn, factor

    def __call__(self, x: int) -> Any:
        return self.factor * self.fn(x)


class Partial(functools.partial):  # type: ignore[type-arg]
    state: int


def make_partial(state: int) -> Partial:
    partial = Partial(find_twice, 1.0)
    partial.state = state
    return partial


def wrap_name(fn: Callable[..., Any], value: int) -> Callable[..., Any]:
    @functools.wraps(fn)
    def wrapped(x: Any) -> Any:
        return value * fn(x)

    return wrapped


class Scaled:
    def __init__(self, scale: int) -> None:
        self.scale = scale

    def draw(self, x: int) -> int:
        return self.scale * x

    __call__ = draw


FIELDS = """
from dataclasses import dataclass, field
@dataclass
class Model:
    scale: int = SCALE
    layers: list = field(default_factory=MAKE)
    def __call__(self, x):
        return self.scale * x
"""
ATTRIBUTE = "class Model:\n    SHARED = VALUE\n    def __call__(self, x): return self.SHARED"
READER = "def f(x): return CONFIG['a'] * x"

CONFIGURATIONS: dict[str, tuple[Callable[[int], Any], str]] = {
    "list of a class": (lambda n: compile_call(ATTRIBUTE, VALUE=[n]), "Model.SHARED"),
    "dict of a class": (lambda n: compile_call(ATTRIBUTE, VALUE={"a": n}), "Model.SHARED"),
    "object of a class": (lambda n: compile_call(ATTRIBUTE, VALUE=Point(n)), "Model.SHARED.x"),
    "callable object": (Scaled, "Scaled.scale"),
    "method": (lambda n: Scaled(n).draw, "Scaled.scale"),
    "wrapper": (lambda n: Wrapper(find_twice, n), "find_twice.factor"),
    "wrapper of a library's": (lambda n: Wrapper(np.sin, n), "sin.factor"),
    "function named by a library's": (lambda n: wrap_name(np.sin, n), "sin.value"),
    "subclass of partial": (make_partial, "Partial.state"),
    "argument of partial": (lambda n: functools.partial(pow, mod=n), "partial.mod"),
    "dict of a module": (lambda n: compile_function(READER, CONFIG={"a": n}), "CONFIG"),
    "default of a dataclass": (
        lambda n: compile_call(FIELDS, SCALE=n, MAKE=list),
        "Model.scale",
    ),
    "factory of a dataclass": (
        lambda n: compile_call(FIELDS, SCALE=1, MAKE=[list, tuple][n - 1]),
        "Model.__dataclass_fields__",
    ),
    "default": (lambda n: compile_function(f"def f(x, n={n}): return x"), "f.n"),
    "keyword's default": (lambda n: compile_function(f"def f(x, *, n={n}): return x"), "f.n"),
    "closure": (lambda n: make([n]), "make.<locals>.<lambda>.value"),
    "attribute": (lambda n: named("a", n), "named.<locals>.fn.attribute"),
    "read-only dict": (
        lambda n: make(types.MappingProxyType({"a": n})),
        "make.<locals>.<lambda>.value",
    ),
}


def find_changes(one: Code, other: Code) -> set[str]:
    return {n for n in one.names | other.names if one.names.get(n) != other.names.get(n)}


class TestNames:
    @pytest.mark.parametrize("kind", CONFIGURATIONS)
    def test_what_has_changed_is_named(self, kind: str) -> None:
        configure, name = CONFIGURATIONS[kind]
        one, again, other = map(describe_code, map(configure, (1, 1, 2)))
        assert one == again
        assert one.hash != other.hash
        assert name in find_changes(one, other)
        others = find_changes(one, other) - {name}
        assert {each.partition(".")[0] for each in others} <= {"Model"}, "a dataclass repeats it"

    @pytest.mark.parametrize("kind", CONFIGURATIONS)
    def test_a_ledger_names_it(self, kind: str, tmp_path: Path) -> None:
        configure, name = CONFIGURATIONS[kind]
        options: Any = {"engine": "serial", "ledger": tmp_path / "run.ledger"}
        list(scoopsci.map(configure(1), [], **options))
        list(scoopsci.map(configure(1), [], **options))
        with pytest.raises(scoopsci.LedgerError, match="code is different there: ") as told:
            scoopsci.map(configure(2), [], **options).__next__()
        assert f"{name} has changed" in str(told.value)

    def test_names_are_found_on_every_path(self) -> None:
        program = "def helper(x): return K * x\ndef f(x): return helper(x) + {}"
        one = describe_code(compile_function(program.format("K"), K=[1]))
        assert {"f", "helper", "K"} == one.names.keys()
        assert find_changes(one, describe_code(compile_function(program.format(1), K=[1]))) == {"f"}
        assert find_changes(one, describe_code(compile_function(program.format("K"), K=[2]))) == {
            "K"
        }

    def test_the_hash_is_that_of_hash_code(self) -> None:
        for configure, _ in CONFIGURATIONS.values():
            assert describe_code(configure(1)).hash == hash_code(configure(1))

    @pytest.mark.parametrize("engine", ["serial", "processes", "pool"])
    def test_tasks_find_the_same_hash(self, engine: str) -> None:
        fns = [configure(1) for configure, _ in CONFIGURATIONS.values()]
        fns += [find_twice, keep, make({"a", "b", "c"})]
        options: Any = {} if engine == "serial" else {"n_workers": 1}
        found = scoopsci.map(hash_code, fns, engine=engine, **options)
        assert list(found) == list(map(hash_code, fns))

    def test_a_deep_object_has_few_names(self) -> None:
        point = Point(None)
        for _ in range(60):
            point = Point(point)
        assert len(describe_code(make(point)).names) < 40


def give(*given: Any) -> Any:
    """Draw samples, given a generator and their number, or return an item."""
    return given[0].random(given[1]) if len(given) == 2 else given[0]


class ScaledGiven:
    def __init__(self, scale: int) -> None:
        self.scale = scale

    def __call__(self, *given: Any) -> Any:
        return self.scale * give(*given)


class WrappedGiven:
    def __init__(self, scale: int) -> None:
        functools.update_wrapper(self, give)
        self.scale = scale

    def __call__(self, *given: Any) -> Any:
        return self.scale * give(*given)


def scale_given(scale: int) -> Callable[..., Any]:
    return lambda *given: scale * give(*given)


MODEL = "class Model:\n    {}\n    def __call__(self, *given): return self.{} * give(*given)"
FIELD = "from dataclasses import dataclass\n@dataclass\n" + MODEL.format("scale: int = N", "scale")
SHARED = MODEL.format("SHARED = VALUE", "SHARED[0]")

#: Each scales what it is given.
SCALES: dict[str, tuple[Callable[[int], Any], str]] = {
    "class attribute": (lambda n: compile_call(SHARED, VALUE=[n], give=give), "Model.SHARED"),
    "callable object": (ScaledGiven, "ScaledGiven.scale"),
    "functools.update_wrapper": (WrappedGiven, "give.scale"),
    "dict of a module": (
        lambda n: compile_function(
            "def f(*given): return CONFIG['a'] * give(*given)", CONFIG={"a": n}, give=give
        ),
        "CONFIG",
    ),
    "default of a dataclass": (lambda n: compile_call(FIELD, N=n, give=give), "Model.scale"),
    "default argument": (
        lambda n: compile_function(f"def f(*given, n={n}): return n * give(*given)", give=give),
        "f.n",
    ),
    "closure": (scale_given, "scale_given.<locals>.<lambda>.scale"),
}


def estimate_given(fn: Callable[..., Any], **options: Any) -> Any:
    return scoopsci.estimate(fn, 1_000, seed=1, **options).value


def map_given(fn: Callable[..., Any], **options: Any) -> Any:
    return sum(scoopsci.map(fn, range(5), **options))


@pytest.mark.parametrize("workload", [estimate_given, map_given])
@pytest.mark.parametrize("kind", SCALES)
def test_two_configurations_never_share_a_ledger(
    kind: str, workload: Callable[..., Any], tmp_path: Path
) -> None:
    configure, name = SCALES[kind]
    options: Any = {"engine": "serial", "ledger": tmp_path / "run.ledger"}
    found = workload(configure(1), **options)
    assert workload(configure(1), **options) == found
    with pytest.raises(scoopsci.LedgerError, match="code is different there: ") as told:
        workload(configure(2), **options)
    assert f"{name} has changed" in str(told.value)
    options["ledger"] = tmp_path / "another.ledger"
    assert workload(configure(2), **options) == pytest.approx(2 * found)


class TestText:
    """Docstrings, comments and places are no code."""

    @pytest.mark.parametrize(
        "source",
        [
            "def f(x):{doc}\n    return 'a', None, x + 1.5",
            "def f(x):{doc}\n    pass",
            "def f(x):{doc}\n    def g():{inner}\n        return None, 3\n    return g()",
            "def f(x):{doc}\n    class C:{inner}\n        y = 'doc'\n    return C",
            "class C:{doc}\n    y = 2\n    def __call__(self):{inner}\n        return 'a'",
            "async def f(x):{doc}\n    yield [v for v in 'a']",
        ],
    )
    def test_docstrings(self, source: str) -> None:
        texts = [("", ""), ("one", "two"), ("two", "one"), ("", "one"), ("one", "")]
        hashes = set()
        for doc, inner in texts:
            given = {
                "doc": f"\n    {doc!r}" * bool(doc),
                "inner": f"\n        {inner!r}" * bool(inner),
            }
            hashes.add(hash_code(compile_function(source.format(**given))))
        assert len(hashes) == 1

    @pytest.mark.parametrize("kind", [property, functools.cached_property])
    def test_docstrings_of_properties(self, kind: Any) -> None:
        source = "class C:\n    @kind\n    def p(self):\n        {!r}\n        return 1"
        documented = [compile_function(source.format(doc), kind=kind) for doc in ("one", "two")]
        assert len(set(map(hash_code, documented))) == 1

    def test_lines(self) -> None:
        source = "def f(x):\n    return x"
        assert hash_code(compile_function(source)) == hash_code(compile_function("\n\n" + source))

    def test_a_text_that_is_returned_counts(self) -> None:
        source = "def f(x):\n    return {!r}"
        hashes = {hash_code(compile_function(source.format(text))) for text in ("a", "b", None)}
        assert len(hashes) == 3

    def test_how_it_is_called_counts(self) -> None:
        assert hash_code(eval("lambda *x: x")) != hash_code(eval("lambda x: x"))

    def test_many_constants(self) -> None:
        source = "def f(x):{}\n    return [" + ", ".join(f"x + {n}.5" for n in range(300)) + ", {}]"
        hashes = [
            hash_code(compile_function(source.format(doc, last)))
            for doc, last in (("", 1.5), ("", 298.5), ("", 900.5))
        ]
        assert len(set(hashes)) == 3


class Cached:
    __scoopsci_ignore__ = ("kept", "found")
    kept: dict[int, int] = {}  # noqa: RUF012

    def __init__(self) -> None:
        self.found: list[int] = []

    @functools.cached_property
    def large(self) -> int:
        return 10

    @functools.lru_cache  # noqa: B019
    def slow(self, x: int) -> int:
        return x

    def __call__(self, x: int) -> int:
        self.kept[x] = x
        self.found.append(x)
        return self.slow(x) + self.large


CACHED = Cached()


@functools.cache
def square(x: int) -> int:
    return x * x


@functools.singledispatch
def convert(x: object) -> object:
    return square(3)


KEPT: dict[int, int] = {}


def keep(x: int) -> int:
    return KEPT.setdefault(x, x)


keep.__scoopsci_ignore__ = "KEPT"  # type: ignore[attr-defined]


class TestCaches:
    @pytest.mark.parametrize(
        ("fn", "call"),
        [
            (CACHED, CACHED),
            (square, square),
            (convert, convert),
            (keep, keep),
            (make(square), square),
            (make(CACHED), CACHED),
        ],
    )
    def test_calls_do_not_change_the_hash(self, fn: Any, call: Callable[[int], Any]) -> None:
        before = describe_code(fn)
        call(random.getrandbits(60))
        assert describe_code(fn) == before

    def test_pickling_an_object_does_not_change_its_hash(self) -> None:
        scaled = compile_call("class Scaled:\n    def __call__(self): return 1")
        before = hash_code(scaled)
        cloudpickle.dumps(scaled)
        assert hash_code(scaled) == before

    def test_an_object_may_exclude_names_of_its_own(self) -> None:
        hashes = set()
        for n in range(2):
            scaled = Scaled(n)
            scaled.__scoopsci_ignore__ = ("scale",)  # type: ignore[attr-defined]
            hashes.add(hash_code(scaled))
        assert len(hashes) == 1

    def test_weak_references_are_caches(self) -> None:
        class Node:
            known: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()  # noqa: RUF012

        before = hash_code(Node)
        node = Scaled(1)
        Node.known[node] = node
        assert hash_code(Node) == before

    def test_a_cache_without_the_hook_counts(self) -> None:
        cache: dict[int, int] = {}
        fn = make(cache)
        before = hash_code(fn)
        cache[1] = 1
        assert hash_code(fn) != before


def draw_given(rng: np.random.Generator, size: int) -> Any:
    return rng.normal(size=size)


class OwnState:
    def __init__(self, rng: Any) -> None:
        self.rng = rng

    def __call__(self, rng: Any, size: int) -> Any:
        return self.rng.random(size)


def frozen(**state: Any) -> Any:
    distribution = norm(0, 1)
    for name, value in state.items():
        setattr(distribution, name, value)
    return distribution


RVS = "def draw(rng, size): return dist.rvs({})"

DOUBTS: dict[str, tuple[Any, dict[str, str]]] = {
    "global": (
        compile_function("def f(r, n): return RNG.random(n)", RNG=np.random.default_rng(1)),
        {"RNG": "a Generator"},
    ),
    "closure": (make(np.random.RandomState(1)), {"make.<locals>.<lambda>.value": "a RandomState"}),
    "attribute": (OwnState(random.Random(1)), {"OwnState.rng": "a Random"}),
    "default": (
        compile_function("def f(r, n=RNG): return n", RNG=random.Random(1)),
        {"f.n": "a Random"},
    ),
    "in a list": (
        make([np.random.default_rng(1)]),
        {"make.<locals>.<lambda>.value": "a Generator"},
    ),
    "bits": (make(np.random.PCG64(1)), {"make.<locals>.<lambda>.value": "a PCG64"}),
    "function of a module": (
        compile_function("def f(r, n): return normal(size=n)", normal=numpy.random.normal),
        {"normal": "a method of numpy.random"},
    ),
    "gauss": (
        compile_function("def f(r, n): return gauss(0, 1)", gauss=random.gauss),
        {"gauss": "a method of random"},
    ),
    "frozen": (
        compile_function(RVS.format("size"), dist=frozen()),
        {"dist": "a distribution that draws without random_state=rng"},
    ),
    "frozen with a state": (
        compile_function(RVS.format("size"), dist=frozen(random_state=np.random.default_rng(1))),
        {"dist": "a distribution that draws without random_state=rng"},
    ),
    "distribution": (
        compile_function(RVS.format("size=size"), dist=norm),
        {"dist": "a distribution that draws without random_state=rng"},
    ),
    "method of frozen": (
        make(frozen().rvs),
        {"make.<locals>.<lambda>.value": "a distribution that draws without random_state=rng"},
    ),
    "given": (draw_given, {}),
    "modules": (
        compile_function(
            "def f(r, n): return random.Random(1), np.random.default_rng(1), stats.norm.rvs(n)",
            random=random,
            np=np,
            stats=scipy.stats,
        ),
        {},
    ),
    "types": (make((np.random.Generator, random.Random, np.random.default_rng)), {}),
    "frozen with the given": (
        compile_function(RVS.format("size, random_state=rng"), dist=frozen(random_state=3)),
        {},
    ),
    "frozen without draws": (
        compile_function("def f(x): return dist.pdf(x)", dist=frozen(random_state=3)),
        {},
    ),
    "attribute of that name": (
        compile_function("def f(r, n): return r.RNG", RNG=np.random.default_rng(1)),
        {},
    ),
}


class TestDoubts:
    @pytest.mark.parametrize("kind", DOUBTS)
    def test_captured_generators_are_named(self, kind: str) -> None:
        fn, doubts = DOUBTS[kind]
        assert describe_code(fn).doubts == doubts

    def test_a_shared_generator_does_not_count_by_its_state(self) -> None:
        fn = DOUBTS["gauss"][0]
        before = hash_code(fn), hash_code(make(norm))
        random.random(), np.random.random()
        assert (hash_code(fn), hash_code(make(norm))) == before


class TestWarnings:
    """Estimates, and calls of the map family with a seed or ledger, warn their caller."""

    DRAW = OwnState(np.random.default_rng(1))

    def test_estimate(self) -> None:
        with pytest.warns(scoopsci.DoubtfulEstimateWarning, match="OwnState.rng, a Gen") as warned:
            found = scoopsci.estimate(self.DRAW, 1_000, seed=1, engine="serial")
        assert found.notes == (str(warned[0].message),)
        assert found.notes[0].endswith("draw from the rng that fn is given")
        assert warned[0].filename == __file__

    @pytest.mark.filterwarnings("error")
    def test_no_false_alarm(self) -> None:
        assert scoopsci.estimate(draw_given, 1_000, seed=1, engine="serial").notes == ()

    def test_integrate(self) -> None:
        noise = OwnState(np.random.default_rng(1))

        def f(x: Any) -> Any:
            return x[:, 0] + 0 * noise.rng.random(len(x))

        with pytest.warns(scoopsci.DoubtfulEstimateWarning, match="f.noise.rng, a .* points alone"):
            scoopsci.integrate(f, 0, 1, 1_000, seed=1, engine="serial")
        control = scoopsci.ControlVariates(f, 0.5)
        methods: Any = {"variance_reduction": [control], "seed": 1, "engine": "serial"}
        with pytest.warns(scoopsci.DoubtfulEstimateWarning, match="f.noise.rng, a .* points alone"):
            scoopsci.integrate(lambda x: x[:, 0] ** 2, 0, 1, 1_000, **methods)

    @pytest.mark.parametrize("option", ["seed", "ledger"])
    def test_maps(self, option: str, tmp_path: Path) -> None:
        options: Any = {option: 1 if option == "seed" else tmp_path / "run.ledger"}
        told = "OwnState.rng, a Generator: .* gives to each item"
        with pytest.warns(scoopsci.DoubtfulEstimateWarning, match=told) as warned:
            scoopsci.map(self.DRAW, [], engine="serial", **options)
        assert warned[0].filename == __file__
        with pytest.warns(scoopsci.DoubtfulEstimateWarning, match=told):
            scoopsci.map_reduce(lambda *given: 1, self.DRAW, [1], engine="serial", **options)

    @pytest.mark.filterwarnings("error")
    def test_other_maps_do_not_warn(self) -> None:
        found: list[Any] = []
        list(scoopsci.map(self.DRAW, [1], [1], engine="serial"))
        list(scoopsci.map(self.DRAW, [1], [1], engine="serial", receipt=found.append))
        assert len(found[0]["code"]) == 64


class TestFormerHashes:
    def test_a_ledger_of_the_former_hash_is_refused_with_the_reason(self, tmp_path: Path) -> None:
        options: Any = {"engine": "serial", "ledger": tmp_path / "run.ledger", "seed": 1}
        scoopsci.estimate(draw_given, 1_000, **options)
        former = {"names": None, "hashed": None, "code": ["code", '"0"']}
        craft(options["ledger"], "identity", lambda row: former.get(row[0], row))
        told = (
            "another run: its code was hashed by a former version of scoopsci, and this scoopsci "
            rf'hashes code differently \("{HASH_VERSION}"\); repeat'
        )
        with pytest.raises(scoopsci.LedgerError, match=told):
            scoopsci.estimate(draw_given, 1_000, **options)

    def test_the_hash_has_a_version_in_the_ledger(self, tmp_path: Path) -> None:
        options: Any = {"engine": "serial", "ledger": tmp_path / "run.ledger", "seed": 1}
        found = scoopsci.estimate(draw_given, 1_000, **options)
        identity = scoopsci.describe_ledger(options["ledger"])["identity"]
        assert identity["hashed"] == HASH_VERSION
        assert identity["names"] == {"code": describe_code(draw_given).names}
        assert identity["code"] == found.receipt["code"] == hash_code(draw_given)

    def test_another_control_is_named(self, tmp_path: Path) -> None:
        def integrate(power: int) -> None:
            control = scoopsci.ControlVariates(lambda x: x[:, 0] ** power, 1 / (1 + power))
            scoopsci.integrate(
                lambda x: np.exp(x[:, 0]), 0, 1, 1_000, variance_reduction=[control], seed=1,
                engine="serial", ledger=tmp_path / "run.ledger",
            )  # fmt: skip

        integrate(1)
        with pytest.raises(
            scoopsci.LedgerError, match=r"variance_reduction is .*power has changed"
        ):
            integrate(2)
