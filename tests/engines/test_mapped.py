"""Large globals are files in memory, which workers of this machine map."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import scoopsci
from scoopsci import Engine
from scoopsci.engines.mapped import MappedFrame, map_frame
from scoopsci.pickling.program import Entry
from tests.conftest import becomes

TABLE = np.zeros(3)


def use_table(_: int) -> tuple[float, bool]:
    TABLE[0] += 1.0
    return float(TABLE[1:].sum()), "memfd:scoopsci" in Path("/proc/self/maps").read_text()


def count_files() -> int:
    files = [os.readlink(file) for file in Path("/proc/self/fd").iterdir() if os.path.lexists(file)]
    return sum("memfd:scoopsci" in file for file in files)


@pytest.fixture(params=["pool", "processes"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with scoopsci.open_engine(request.param, n_workers=2) as engine:
        yield engine
    assert count_files() == 0


@pytest.fixture(autouse=True)
def table() -> Iterator[None]:
    global TABLE
    before = TABLE
    TABLE = np.ones(1_000_001)
    yield
    TABLE = before


def test_each_worker_has_its_own(engine: Engine) -> None:
    assert list(engine.map(use_table, range(8))) == [(1e6, True)] * 8
    assert TABLE[0] == 1.0
    assert count_files() == 1


def test_files_exist_as_long_as_the_value(engine: Engine) -> None:
    global TABLE
    for number in range(2, 12):
        TABLE = np.full(1_000_001, float(number))
        assert engine.submit(use_table, 0).result() == (number * 1e6, True)
    gc.collect()
    assert becomes(lambda: count_files() <= 2)


def test_a_worker_that_may_not_open_them_gets_the_task_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = engine._delivery.map_large

    def close_all(entries: Iterable[Entry]) -> dict[int, MappedFrame]:
        mapped = make(entries)
        for frame in mapped.values():
            frame.close()
        return mapped

    monkeypatch.setattr(engine._delivery, "map_large", close_all)
    assert [total for total, _ in engine.map(use_table, range(8))] == [1e6] * 8


class Named(ThreadPoolExecutor):
    """An executor whose attributes have the names of ours, and another meaning."""

    is_local = check_owner = ends_with_program = status = "its own"


def test_names_of_another_library_mean_nothing() -> None:
    with Named(1) as executor, scoopsci.open_engine(executor, n_workers=1) as engine:
        assert engine.submit(use_table, 0).result()[0] == 1e6
        assert engine.status() is None


@pytest.mark.parametrize("readonly", [False, True])
def test_a_mapped_frame_is_the_same(readonly: bool) -> None:
    data = bytes(range(256)) * 5_000
    frame = MappedFrame(data if readonly else bytearray(data))
    view = map_frame(frame.place)
    assert view == data
    assert (view.readonly, frame.n_bytes) == (readonly, len(data))
    if not readonly:
        view[0] = 7
        assert map_frame(frame.place) == data
    frame.close()
    with pytest.raises(OSError, match="No such file"):
        map_frame(frame.place)
