"""The program on a worker: what is sent, what stays there, and what comes back."""

from __future__ import annotations

import enum
import importlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest

import scoopsci
from scoopsci.basics.ownership import is_users_module
from scoopsci.pickling.entries import LARGE_BYTES
from scoopsci.pickling.names import MAIN
from scoopsci.pickling.whole import dump_whole, loading_whole

SHAPE = """
import enum, threading

LOCK = threading.Lock()
NOTHING = object()
LIMIT = 3
SEEN = []

class Kind(enum.Enum):
    A = 1

class Model:
    scale = 2
    parts = []

    def read(self):
        return self.scale, len(self.parts)

def add(x, given=NOTHING):
    with LOCK:
        SEEN.append(x)
    return x + LIMIT if given is NOTHING else given

def count():
    return len(SEEN)
"""

COUNT = 0
TABLE = {"a": 1}
LARGE = np.zeros(LARGE_BYTES)
LOCK = threading.Lock()
NOTHING = object()
FILE: Any = None


class Kind(enum.Enum):
    A = 1


class Model:
    scale = 2
    parts: ClassVar[list[int]] = []

    def read(self) -> tuple[int, int]:
        return self.scale, len(self.parts)


def count_up() -> int:
    global COUNT
    with LOCK:
        COUNT += 1
    return COUNT


def read_table() -> int:
    return TABLE["a"]


def compare_tables(table: dict[str, int] = TABLE) -> tuple[bool, int]:
    return table is TABLE, table["a"]


def read_large() -> float:
    return float(LARGE[0])


def read_model() -> tuple[int, int]:
    return Model().read()


def is_nothing(value: object = NOTHING) -> bool:
    return value is NOTHING


def read_file() -> Any:
    return FILE.read()


def pass_on(value: Any) -> Any:
    return value


def make_adders() -> tuple[Callable[[], int], Callable[[], int]]:
    total = 0

    def add() -> int:
        nonlocal total
        total += 1
        return total

    return add, lambda: total


add_one, read_total = make_adders()


def use_adder() -> int:
    return add_one()


def use_total() -> int:
    return read_total()


@pytest.fixture(scope="module")
def engine() -> Iterator[scoopsci.Engine]:
    with scoopsci.open_engine("processes", n_workers=1) as engine:
        yield engine


@pytest.fixture
def shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    name = f"shape_{os.path.basename(tmp_path)}"
    (tmp_path / f"{name}.py").write_text(SHAPE)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module(name)
    del sys.modules[name]


class TestGlobals:
    def test_one_that_is_bound_anew_is_sent(
        self, engine: scoopsci.Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert engine.submit(read_table).result() == 1
        monkeypatch.setitem(globals(), "TABLE", {"a": 2})
        assert engine.submit(read_table).result() == 2

    def test_a_small_one_that_is_changed_in_place_is_sent(
        self, engine: scoopsci.Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert engine.submit(read_table).result() == 1
        monkeypatch.setitem(TABLE, "a", 3)
        assert engine.submit(read_table).result() == 3

    def test_a_large_one_that_is_changed_in_place_is_sent_at_the_start_of_a_map(
        self, engine: scoopsci.Engine
    ) -> None:
        refreshes: list[Callable[[], object]] = [engine.refresh, partial(engine.map, abs, [1])]
        for value, refresh in enumerate(refreshes, 1):
            before = engine.submit(read_large).result()
            LARGE[0] = value
            assert engine.submit(read_large).result() == before
            refresh()
            assert engine.submit(read_large).result() == value

    def test_nothing_is_sent_twice(self, engine: scoopsci.Engine) -> None:
        engine.submit(read_large).result()
        again = engine.submit(read_large)
        again.result()
        assert again.report["sent_bytes"] < 1000

    def test_what_tasks_set_stays_until_the_program_changes_it(
        self, engine: scoopsci.Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = engine.submit(count_up).result()
        assert engine.submit(count_up).result() == first + 1
        assert COUNT == 0
        monkeypatch.setitem(globals(), "COUNT", 40)
        assert engine.submit(count_up).result() == 41

    def test_attributes_of_classes_are_globals_too(
        self, engine: scoopsci.Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert engine.submit(read_model).result() == (2, 0)
        monkeypatch.setattr(Model, "scale", 5)
        Model.parts.append(1)
        try:
            assert engine.submit(read_model).result() == (5, 1)
        finally:
            Model.parts.clear()

    def test_a_value_is_the_same_object_in_defaults_and_closures(
        self, engine: scoopsci.Engine
    ) -> None:
        assert engine.submit(is_nothing).result()
        first = engine.submit(use_adder).result()
        assert engine.submit(use_total).result() == first
        assert engine.submit(use_adder).result() == first + 1

    def test_a_container_that_is_changed_in_place_stays_the_same_object(
        self, engine: scoopsci.Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert engine.submit(compare_tables).result() == (True, 1)
        monkeypatch.setitem(TABLE, "a", 8)
        assert engine.submit(compare_tables).result() == (True, 8)

    def test_one_that_cannot_be_sent_is_named(
        self, engine: scoopsci.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with (tmp_path / "data").open("w") as file:
            monkeypatch.setitem(globals(), "FILE", file)
            with pytest.raises(scoopsci.TaskError, match=r"global 'FILE' of .*initializer="):
                engine.submit(read_file).result()

    def test_a_worker_that_takes_the_place_of_another_is_sent_all(self) -> None:
        with scoopsci.Pool(1) as pool:
            assert pool.submit(read_large).result() == LARGE[0]
            os.kill(pool.hosts[0]["workers"][0], signal.SIGKILL)
            assert pool.submit(read_large).result() == LARGE[0]


class TestModules:
    def test_functions_and_classes_are_found_by_name(
        self, engine: scoopsci.Engine, shape: ModuleType
    ) -> None:
        assert engine.submit(shape.add, 1).result() == 4
        assert engine.submit(pass_on, shape.Kind.A).result() is shape.Kind.A
        assert engine.submit(pass_on, Kind.A).result() is Kind.A
        assert engine.submit(shape.count).result() == 1
        assert shape.count() == 0

    def test_what_the_program_has_changed_in_it(
        self, engine: scoopsci.Engine, shape: ModuleType
    ) -> None:
        vars(shape)["LIMIT"] = 10
        shape.Model.scale = 7
        shape.Model.parts.append(1)
        shape.Model.size = lambda self: 3
        assert engine.submit(shape.add, 1).result() == 11
        assert engine.submit(shape.Model.read, shape.Model()).result() == (7, 1)
        assert engine.submit(lambda: shape.Model().size()).result() == 3

    def test_one_that_is_edited_and_loaded_again(
        self, engine: scoopsci.Engine, shape: ModuleType
    ) -> None:
        assert engine.submit(shape.add, 1).result() == 4
        assert shape.__file__ is not None
        text = SHAPE.replace("return x + LIMIT", "return 100 * x")
        Path(shape.__file__).write_text(text)
        assert engine.submit(shape.add, 1).result() == 4, "not loaded yet"
        importlib.reload(shape)
        assert engine.submit(shape.add, 1).result() == 100

    def test_one_that_only_the_body_of_a_function_imports(
        self, engine: scoopsci.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        package = tmp_path / "late_package"
        package.mkdir()
        (package / "__init__.py").write_text("")
        (package / "inner.py").write_text("from .base import VALUE\n")
        (package / "base.py").write_text("VALUE = 6\n")
        monkeypatch.syspath_prepend(tmp_path)

        def task() -> Any:
            from late_package.inner import VALUE  # type: ignore[import-not-found]

            return VALUE

        assert engine.submit(task).result() == 6
        assert "late_package" not in sys.modules

    def test_a_file_is_the_users_by_its_path(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "colorsys.py").write_text("OWN = True\n")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "colorsys", raising=False)
        assert importlib.import_module("colorsys").OWN
        assert is_users_module("colorsys")
        assert not is_users_module("json")
        assert not is_users_module("numpy")
        monkeypatch.delitem(sys.modules, "colorsys")

    def test_what_pip_has_installed_is_not_the_users(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "theirs_17.py").write_text("")
        (tmp_path / "ours_17.py").write_text("")
        info = tmp_path / "theirs_17-1.0.dist-info"
        info.mkdir()
        (info / "RECORD").write_text("theirs_17.py,,\n")
        monkeypatch.syspath_prepend(tmp_path)
        for name in ("theirs_17", "ours_17"):
            importlib.import_module(name)
            assert is_users_module(name) is (name == "ours_17")
            monkeypatch.delitem(sys.modules, name)


class TestWhole:
    def test_a_recorded_function_is_as_it_was(self, shape: ModuleType) -> None:
        frames = dump_whole(shape.add)
        main = sys.modules[MAIN]
        vars(shape)["LIMIT"] = 100
        with loading_whole(frames) as add:
            assert add(1) == 4
            assert sys.modules[shape.__name__] is not shape
        assert sys.modules[shape.__name__] is shape
        assert sys.modules[MAIN] is main
        assert shape.add(1) == 101


PROGRAM = """
import scoopsci

class Model:
    def __init__(self, x):
        self.x = x

def double(model):
    return Model(2 * model.x)

engine = scoopsci.open_engine({engine!r}, n_workers={n_workers})
with engine:  # no guard: a worker never runs this
    model = engine.submit(double, Model(2)).result()
    model = engine.submit(double, model).result()
print(type(model) is Model, model.x)
"""


@pytest.mark.parametrize(("engine_name", "n_workers"), [("processes", 2), ("pool", 2)])
def test_a_script_without_a_guard(engine_name: str, n_workers: int, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(PROGRAM.format(engine=engine_name, n_workers=n_workers))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=100)
    assert (done.stdout, done.stderr) == ("True 8\n", "")
