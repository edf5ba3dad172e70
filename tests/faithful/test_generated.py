"""Generated packages behave the same in this process and on a worker.

Each has modules of several kinds of definitions, which later modules import and use. A call goes to
a worker first and then to the engine `serial`, so that what both change stays the same.
"""

from __future__ import annotations

import importlib
import itertools
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scoopsci import Engine, Pool, open_engine

IMPORTS = """
import abc, collections, contextlib, dataclasses, enum, functools, typing
"""

_numbers = itertools.count()


@dataclass(frozen=True)
class Definition:
    """The source of some names, and calls that use them: a function, and text of its arguments."""

    source: str
    calls: tuple[tuple[str, str], ...]


Definer = Callable[[st.DrawFn, int], Definition]

small = st.integers(-9, 9)
flags = st.booleans()


def define_enum(draw: st.DrawFn, i: int) -> Definition:
    base = draw(st.sampled_from(["enum.Enum", "enum.IntEnum", "enum.IntFlag"]))
    values = sorted(draw(st.sets(st.sampled_from([1, 2, 4, 8]), min_size=2)))
    members = "\n".join(f"    M{value} = {value}" for value in values)
    return Definition(
        f"""
class E{i}({base}):
{members}

    @property
    def again(self):
        return E{i}(self.value)

LABELS{i} = {{member: member.name for member in E{i}}}

def use_enum{i}(member):
    return member is member.again, LABELS{i}[member], member is E{i}[member.name]

def turn_enum{i}(member):
    members = list(E{i})
    return members[members.index(member) - 1]
""",
        tuple(
            (f"{fn}{i}", f"E{i}.M{value},") for value in values for fn in ("use_enum", "turn_enum")
        ),
    )


def define_dataclass(draw: st.DrawFn, i: int) -> Definition:
    options = {name: draw(flags) for name in ("frozen", "slots", "order", "kw_only")}
    text = ", ".join(f"{name}={value}" for name, value in options.items())
    return Definition(
        f"""
@dataclasses.dataclass({text})
class D{i}:
    a: int
    b: list = dataclasses.field(default_factory=list, compare=False)
    c: typing.Any = None

def use_data{i}(data):
    changed = dataclasses.replace(data, a=data.a + 1, b=[*data.b, 1])
    names = [one.name for one in dataclasses.fields(data)]
    missing = [one.default is dataclasses.MISSING for one in dataclasses.fields(D{i})]
    return changed, names, missing, type(changed) is D{i}, data == D{i}(a=data.a, c=data.c)
""",
        ((f"use_data{i}", f"D{i}(a={draw(small)}, c=D{i}(a={draw(small)})),"),),
    )


def define_classes(draw: st.DrawFn, i: int) -> Definition:
    registers = draw(flags)
    hook = f"""
    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        KNOWN{i}.append(cls.__name__)
"""
    return Definition(
        f"""
KNOWN{i} = []

class Base{i}({draw(st.sampled_from(["", "abc.ABC", "typing.Generic[typing.TypeVar('T')]"]))}):
    n = {draw(small)}
{hook if registers else ""}
    def __init__(self, x):
        self.x = x

    def __eq__(self, other):
        return type(other) is type(self) and other.x == self.x

    __hash__ = None

    def describe(self):
        return type(self).__name__, self.n, self.x

class Derived{i}(Base{i}):
    def describe(self):
        return ("derived", *super().describe())

    @functools.cached_property
    def double(self):
        return 2 * self.x

    @classmethod
    def of(cls, x):
        return cls(x)

def use_class{i}(thing):
    same = type(thing) in (Base{i}, Derived{i})
    return thing.describe(), same, isinstance(thing, Base{i}), list(KNOWN{i})

def grow_class{i}(thing):
    return Derived{i}.of(thing.x + thing.double)
""",
        (
            (f"use_class{i}", f"Base{i}({draw(small)}),"),
            (f"use_class{i}", f"Derived{i}({draw(small)}),"),
            (f"grow_class{i}", f"Derived{i}({draw(small)}),"),
        ),
    )


def define_decorators(draw: st.DrawFn, i: int) -> Definition:
    depth = draw(st.integers(1, 3))
    return Definition(
        f"""
def add{i}(n):
    def decorate(fn):
        @functools.wraps(fn)
        def wrapper(*args, **kwargs):
            return n + fn(*args, **kwargs)

        wrapper.level = getattr(fn, "level", 0) + 1
        return wrapper

    return decorate

{chr(10).join(f"@add{i}({draw(small)})" for _ in range(depth))}
def decorated{i}(x, y=({draw(small)},)):
    return x + len(y)

def use_decorated{i}(x):
    return decorated{i}(x), decorated{i}.level, decorated{i}.__name__, decorated{i}.__module__
""",
        ((f"use_decorated{i}", f"{draw(small)},"), (f"decorated{i}", f"{draw(small)}, (1, 2)")),
    )


def define_closures(draw: st.DrawFn, i: int) -> Definition:
    return Definition(
        f"""
def make_sum{i}(start):
    total = start

    def add(x):
        nonlocal total
        total += x
        return total

    return add

adder{i} = make_sum{i}({draw(small)})

def walk{i}(n):
    yield from range(n)
    if n:
        yield from walk{i}(n - 1)

def use_closure{i}(x):
    own = make_sum{i}(x)
    return adder{i}(x), [own(one) for one in walk{i}(abs(x) % 4)]
""",
        tuple((f"use_closure{i}", f"{draw(small)},") for _ in range(2)),
    )


def define_caches(draw: st.DrawFn, i: int) -> Definition:
    xs = draw(st.lists(small, min_size=1, max_size=4))
    return Definition(
        f"""
@functools.lru_cache(maxsize={draw(st.sampled_from([None, 2, 128]))})
def cached{i}(x):
    return [x]

@functools.singledispatch
def kind{i}(x):
    return "any"

@kind{i}.register
def _(x: int):
    return "number"

COUNT{i} = 0
SEEN{i} = collections.Counter()

def use_cache{i}(x):
    global COUNT{i}
    COUNT{i} += 1
    SEEN{i}[x] += 1
    same = cached{i}(x) is cached{i}(x)
    return same, tuple(cached{i}.cache_info()), COUNT{i}, dict(SEEN{i}), kind{i}(x), kind{i}(None)
""",
        tuple((f"use_cache{i}", f"{x},") for x in xs),
    )


def define_errors(draw: st.DrawFn, i: int) -> Definition:
    base = draw(st.sampled_from(["Exception", "ValueError", "KeyError", "OSError"]))
    return Definition(
        f"""
class Error{i}({base}):
    def __init__(self, *, code):
        super().__init__("code", code)
        self.code = code

class Pair{i}(typing.NamedTuple):
    left: int
    right: str = "r"

def fail{i}(code):
    raise Error{i}(code=code) from LookupError(code)

def use_error{i}(code):
    with contextlib.suppress(Error{i}):
        fail{i}(code)
    try:
        fail{i}(code)
    except {base} as error:
        return Pair{i}(error.code), type(error) is Error{i}, Pair{i}._fields
""",
        ((f"use_error{i}", f"{draw(small)},"), (f"fail{i}", f"{draw(small)},")),
    )


DEFINERS: tuple[Definer, ...] = (
    define_enum,
    define_dataclass,
    define_classes,
    define_decorators,
    define_closures,
    define_caches,
    define_errors,
)


@st.composite
def projects(draw: st.DrawFn) -> list[tuple[str, Definition]]:
    """Draw the modules of a project: for each the path, and what it defines."""
    found = []
    for i in range(draw(st.integers(1, 4))):
        folders = draw(st.lists(st.sampled_from(["left", "right"]), max_size=2))
        definition = draw(st.sampled_from(DEFINERS))(draw, i)
        found.append(("/".join([*folders, f"part{i}"]), definition))
    return found


def write(folder: Path, name: str, project: list[tuple[str, Definition]]) -> None:
    """Write a project as a package; each module imports all names of the one before it."""
    before = ""
    for i, (path, definition) in enumerate(project):
        file = (folder / name / path).with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        imported = ""
        if before:
            dots = "." * (path.count("/") + 1)
            inner = before.replace("/", ".")
            imported = f"from {dots}{inner} import *\nimport {name}.{inner} as before\n"
        checks = f"def through{i}(fn, *args):\n    return fn is globals()[fn.__name__]\n"
        file.write_text("\n".join([IMPORTS, imported, definition.source, textwrap.dedent(checks)]))
        before = path
    for package in [folder / name, *(folder / name).rglob("*/")]:
        if package.is_dir():
            (package / "__init__.py").touch()


def outcome(engine: Engine, fn: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the result of a call, or the kind of what it raises and what that holds."""
    try:
        found = engine.submit(fn, *args).result()
    except Exception as error:
        return type(error), error.args, getattr(error, "code", None), repr(error.__cause__)
    return type(found), found


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Let packages of a folder be imported, and forget them after that."""
    sys.path.insert(0, str(folder))
    known = set(sys.modules)
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - known:
            if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(folder)):
                del sys.modules[name]


def check_project(
    pool: Engine, serial: Engine, folder: Path, project: list[tuple[str, Definition]]
) -> None:
    """Fail unless all calls of a project have the same outcomes on both engines."""
    name = f"made{next(_numbers)}"
    write(folder, name, project)
    importlib.invalidate_caches()
    for _ in range(2):
        for i, (path, definition) in enumerate(project):
            module = importlib.import_module(f"{name}.{path.replace('/', '.')}")
            for fn_name, text in definition.calls:
                fn, args = getattr(module, fn_name), eval(text, vars(module))
                there = outcome(pool, fn, args)
                assert there == outcome(serial, fn, eval(text, vars(module))), (fn_name, text)
            through = getattr(module, f"through{i}")
            last = getattr(module, definition.calls[-1][0])
            assert outcome(pool, through, (last,)) == (bool, True)


@pytest.mark.parametrize(
    "n_examples", [25, pytest.param(300, marks=[pytest.mark.slow, pytest.mark.timeout(900)])]
)
def test_generated_packages_are_the_same_on_workers(n_examples: int, tmp_path: Path) -> None:
    with Pool(1) as pool, open_engine("serial") as serial, importable(tmp_path):

        @settings(max_examples=n_examples, suppress_health_check=list(HealthCheck), print_blob=True)
        @given(projects())
        def check(project: list[tuple[str, Definition]]) -> None:
            check_project(pool, serial, tmp_path, project)

        check()
