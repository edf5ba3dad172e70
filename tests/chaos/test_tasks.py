"""Tasks that end their process, take long, are cancelled, or whose modules have changed."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, wait
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle
import numpy as np
import pytest

import scoopsci
from scoopsci import EngineError, EngineTimeoutError, PoisonTaskError, Pool, TaskError
from tests.chaos.conftest import (
    GENEROUS_S,
    bits,
    count,
    invert,
    note,
    read_pid,
    touch_and_wait,
    wait_for_workers,
    wait_until,
    workers_of,
)

cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture(scope="module")
def shared_pool() -> Iterator[Pool]:
    """Open a pool that must survive all the tests that use it."""
    with Pool(2) as pool:
        yield pool


def works(pool: Pool) -> bool:
    """Return whether the pool's next map is correct."""
    serial = scoopsci.map(invert, range(20), engine="serial")
    return bits(scoopsci.map(invert, range(20), engine=pool)) == bits(serial)


# --- tasks that end their process


def exit_at_fifty(item: int) -> float:
    if item == 50:
        os._exit(3)
    return 1.0 / (item + 3)


def test_one_of_a_hundred_ends_its_process_in_a_map() -> None:
    with Pool(2) as pool:
        options: Any = {"engine": pool, "on_error": "return"}
        found: list[Any] = list(scoopsci.map(exit_at_fifty, range(100), **options))
        assert works(pool)
    poison = found.pop(50)
    assert isinstance(poison, PoisonTaskError)
    assert poison.block == 50
    items = [item for item in range(100) if item != 50]
    assert bits(found) == bits(scoopsci.map(exit_at_fifty, items, engine="serial"))


def test_one_of_a_hundred_ends_its_process_by_submit() -> None:
    with Pool(2) as pool:
        futures = [pool.submit(exit_at_fifty, item) for item in range(100)]
        assert not wait(futures, GENEROUS_S).not_done
        assert works(pool)
    assert isinstance(futures.pop(50).exception(), PoisonTaskError)
    items = [item for item in range(100) if item != 50]
    found = bits(future.result() for future in futures)
    assert found == bits(scoopsci.map(exit_at_fifty, items, engine="serial"))


class Misfit(Exception):
    """An exception of the user's own."""


def crash_by_segfault() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.string_at(0)


def crash_by_sys_exit() -> None:
    sys.exit(4)


def crash_by_c_exit() -> None:
    ctypes.CDLL(None).exit(5)


def crash_by_exception() -> None:
    raise Misfit


Crash = Callable[[], None]

KILLS: list[Crash] = [crash_by_segfault, crash_by_c_exit]
RAISES: list[Crash] = [crash_by_sys_exit, crash_by_exception]


class CrashesPickled:
    """Crashes the process that pickles it."""

    def __init__(self, crash: Crash) -> None:
        self._crash = crash

    def __reduce__(self) -> Any:
        self._crash()


class CrashesUnpickled:
    """Crashes the process that unpickles it."""

    def __init__(self, crash: Crash) -> None:
        self._crash = crash

    def __reduce__(self) -> Any:
        return self._crash, ()


def call(crash: Crash) -> None:
    crash()


STAGES: dict[str, tuple[Callable[..., Any], Callable[[Crash], Any]]] = {
    "pickling the task": (repr, CrashesPickled),
    "unpickling the task": (repr, CrashesUnpickled),
    "running": (call, lambda crash: crash),
    "pickling the result": (CrashesPickled, lambda crash: crash),
    "unpickling the result": (CrashesUnpickled, lambda crash: crash),
}

#: What ends the process in these stages ends the driver: the user's own fault.
IN_DRIVER = ("pickling the task", "unpickling the result")

MATRIX = [
    (stage, crash)
    for stage in STAGES
    for crash in [*RAISES, *KILLS]
    if crash in RAISES or stage not in IN_DRIVER
]


@pytest.mark.parametrize(("stage", "crash"), MATRIX)
def test_crashes_of_a_submitted_task(shared_pool: Pool, stage: str, crash: Crash) -> None:
    fn, make = STAGES[stage]
    raised = shared_pool.submit(fn, make(crash)).exception(GENEROUS_S)
    assert raised is not None
    assert isinstance(raised, PoisonTaskError) is (crash in KILLS)
    error = TaskError.behind(raised)
    assert error is not None
    if crash in RAISES:
        assert error.stage == stage
        assert isinstance(error.__cause__ if raised is error else raised, (Misfit, SystemExit))
    assert works(shared_pool)


@pytest.mark.parametrize(("stage", "crash"), MATRIX)
def test_crashes_in_a_map(shared_pool: Pool, stage: str, crash: Crash) -> None:
    fn, make = STAGES[stage]

    def visit(item: Any) -> Any:
        return item if isinstance(item, int) else fn(item)

    items = [*range(7), make(crash), *range(8, 12)]
    options: Any = {"engine": shared_pool, "on_error": "return"}
    found: list[Any] = list(scoopsci.map(visit, items, **options))
    error = found.pop(7)
    assert isinstance(error, TaskError)
    assert isinstance(error, PoisonTaskError) is (crash in KILLS)
    assert error.block == 7
    assert found == [item for item in range(12) if item != 7]
    assert works(shared_pool)


# --- tasks that take long


@pytest.mark.parametrize("long_s", [7, pytest.param(70, marks=pytest.mark.slow)])
def test_long_tasks_are_executed_once(tmp_path: Path, long_s: int) -> None:
    def visit(item: int) -> int:
        note(tmp_path, item)
        time.sleep(long_s if item else 1)
        return item

    with Pool(4, host_timeout=2) as pool:
        assert list(scoopsci.map(visit, range(4), engine=pool)) == [*range(4)]
    assert count(tmp_path, range(4)) == [1] * 4


@pytest.mark.parametrize("long_s", [5, pytest.param(40, marks=pytest.mark.slow)])
def test_a_long_call_into_c_is_not_lost(tmp_path: Path, long_s: int) -> None:
    def visit(n: int) -> int:
        note(tmp_path, n)
        return sum(range(n))

    start_s = time.perf_counter()
    sum(range(5_000_000))
    n = round(5_000_000 * long_s / (time.perf_counter() - start_s))
    with Pool(1, host_timeout=2) as pool:
        agent = pool.hosts[0]["agent"]
        assert list(scoopsci.map(visit, [n], engine=pool)) == [n * (n - 1) // 2]
        assert pool.hosts[0]["agent"] == agent
    assert count(tmp_path, [n]) == [1]


def test_a_task_that_takes_longer_than_its_timeout(shared_pool: Pool, tmp_path: Path) -> None:
    never = tmp_path / "never"
    wait_for_workers(shared_pool, 2)
    before = {*workers_of(shared_pool)}
    future = shared_pool.submit_within(0.5, touch_and_wait, tmp_path / "pid", never)
    with pytest.raises(EngineTimeoutError, match=r"0\.5 s"):
        future.result(GENEROUS_S)
    # The worker may have been too slow to say its number.
    wait_until(lambda: {*workers_of(shared_pool)} != before, "its worker has ended")
    wait_for_workers(shared_pool, 2)
    assert len(before & {*workers_of(shared_pool)}) == 1
    assert works(shared_pool)
    assert shared_pool.submit_within(GENEROUS_S, pow, 2, 5).result(GENEROUS_S) == 32
    with pytest.raises(ValueError, match="timeout"):
        shared_pool.submit_within(0, pow, 2, 5)


def test_the_timeout_counts_from_the_start_of_the_task(shared_pool: Pool) -> None:
    futures = [shared_pool.submit_within(2.5, time.sleep, 0.1) for _ in range(120)]
    assert [future.result(GENEROUS_S) for future in futures] == [None] * 120


def test_cancel(shared_pool: Pool, tmp_path: Path) -> None:
    go = tmp_path / "go"
    running = [shared_pool.submit(touch_and_wait, tmp_path / f"pid{i}", go) for i in range(2)]
    pids = [read_pid(tmp_path / f"pid{i}") for i in range(2)]
    waiting = [shared_pool.submit(note, tmp_path, i) for i in range(10)]
    assert all(future.cancel() for future in waiting)
    assert not any(future.cancel() for future in running)
    assert running[0].cancel(kill=True)
    with pytest.raises(CancelledError):
        running[0].result(GENEROUS_S)
    go.touch()
    assert running[1].result(GENEROUS_S) is None
    assert not running[1].cancel(kill=True)
    assert not wait(waiting, GENEROUS_S).not_done
    assert all(future.cancelled() for future in [running[0], *waiting])
    assert count(tmp_path, range(10)) == [0] * 10
    wait_for_workers(shared_pool, 2, without=pids[:1])
    assert pids[1] in workers_of(shared_pool)
    assert works(shared_pool)


def test_cancel_reports_correctly_on_tasks_that_have_just_ended(shared_pool: Pool) -> None:
    for i in range(300):
        future = shared_pool.submit(int)
        time.sleep(1e-5 * i)  # to meet it in all its states
        cancelled = future.cancel()
        wait([future], GENEROUS_S)
        assert future.cancelled() is cancelled


# --- the memory limit and the initializer of workers


def test_a_task_that_takes_too_much_memory() -> None:
    def take(n_bytes: int) -> int:
        array = np.ones(n_bytes, np.uint8)
        time.sleep(GENEROUS_S if n_bytes > 10**8 else 0)  # until its worker is ended
        return array.size

    with Pool(2, worker_memory=400_000_000, poison_after=1) as pool:
        assert pool.submit(take, 1000).result(GENEROUS_S) == 1000
        error = pool.submit(take, 500_000_000).exception(GENEROUS_S)
        assert isinstance(error, PoisonTaskError)
        assert "worker_memory=400000000" in str(error)
        assert works(pool)


def test_less_memory_than_a_worker_needs() -> None:
    with pytest.raises(EngineError, match="worker_memory"):
        Pool(1, worker_memory=1_000_000)


def test_an_initializer() -> None:
    def prepare(*values: int) -> None:
        os.environ["PREPARED"] = str(values)

    def look(_: int) -> str:
        return os.environ.get("PREPARED", "")

    with Pool(2, initializer=prepare, initargs=(3, 4)) as pool:
        assert set(scoopsci.map(look, range(20), engine=pool)) == {"(3, 4)"}
        assert isinstance(pool.submit(os._exit, 1).exception(GENEROUS_S), PoisonTaskError)
        assert set(scoopsci.map(look, range(20), engine=pool)) == {"(3, 4)"}
        pool.resize(3)
        wait_for_workers(pool, 3)
        assert set(scoopsci.map(look, range(20), engine=pool)) == {"(3, 4)"}


@pytest.mark.parametrize("crash", RAISES)
def test_an_initializer_that_fails(crash: Crash) -> None:
    with pytest.raises(EngineError, match="initializer") as caught:
        Pool(2, initializer=crash)
    assert isinstance(caught.value.__cause__, (Misfit, SystemExit))


@pytest.mark.parametrize("crash", KILLS)
def test_an_initializer_that_ends_its_process(crash: Crash) -> None:
    with pytest.raises(EngineError, match="starts no workers"):
        Pool(2, initializer=crash)


def test_an_initializer_that_cannot_be_pickled() -> None:
    with pytest.raises(TaskError, match="pickling the task"):
        Pool(2, initializer=print, initargs=[CrashesPickled(crash_by_exception)])


# --- broadcast arrays


def test_a_broadcast_is_shared_and_read_only(shared_pool: Pool, tmp_path: Path) -> None:
    array = np.random.default_rng(1).normal(size=(300, 1000))
    handle = shared_pool.broadcast(array)
    expected = array.sum(axis=1)
    array[:] = 0  # it has been copied

    def visit(item: int) -> tuple[float, int, bool]:
        touch_and_wait(tmp_path / str(item), tmp_path / "go")
        shared: Any = handle.array
        return float(shared[item].sum()), os.stat(shared.filename).st_ino, shared.flags.writeable

    futures = [shared_pool.submit(visit, item) for item in range(2)]
    for item in range(2):
        read_pid(tmp_path / str(item))  # on two workers
    (tmp_path / "go").touch()
    found = [future.result(GENEROUS_S) for future in futures]
    assert bits(found[item][0] for item in range(2)) == bits(expected[:2].tolist())
    assert found[0][1] == found[1][1]
    assert not found[0][2]
    assert not handle.array.flags.writeable

    def change() -> None:
        handle.array[0] = 1.0

    error = shared_pool.submit(change).exception(GENEROUS_S)
    assert isinstance(error, ValueError)
    assert isinstance(error.__cause__, TaskError)


def test_broadcasts_of_all_kinds(shared_pool: Pool) -> None:
    arrays: list[Any] = [
        np.arange(12.0).reshape(3, 4).T,
        np.zeros((0, 3)),
        np.float32(2.5),
        np.array(["a", "bcd"]),
        np.array([(1, 2.0)], dtype=[("n", "i4"), ("x", ">f8")]),
        [[1, 2], [3, 4]],
    ]
    for array in arrays:
        handle = shared_pool.broadcast(array)
        back = shared_pool.submit(lambda handle: np.array(handle.array), handle).result(GENEROUS_S)
        assert back.dtype == np.asarray(array).dtype
        assert np.array_equal(back, np.asarray(array))
    refused: list[Any] = [np.array([None]), [object()], np.array([(1, "a")], dtype="i4,O")]
    for objects in refused:
        with pytest.raises(TypeError, match="objects"):
            shared_pool.broadcast(objects)


def test_a_broadcast_whose_handle_was_deleted(shared_pool: Pool, place: Path) -> None:
    handle = shared_pool.broadcast(np.arange(10))
    kept = cloudpickle.dumps(handle)
    assert shared_pool.submit(lambda: int(cloudpickle.loads(kept).array[3])).result(60) == 3
    del handle
    error = shared_pool.submit(lambda: cloudpickle.loads(kept).array).exception(GENEROUS_S)
    assert error is not None
    assert "keep what pool.broadcast has returned" in str(error)
    assert works(shared_pool)


def test_a_broadcast_survives_the_agent() -> None:
    with Pool(2) as pool:
        handle = pool.broadcast(np.arange(100.0))
        os.kill(agent := pool.hosts[0]["agent"], 9)
        wait_until(lambda: pool.hosts[0]["agent"] not in (None, agent), "there is a new agent")
        found = list(scoopsci.map(lambda item: float(handle.array[item]), range(100), engine=pool))
    assert found == [float(item) for item in range(100)]


# --- functions that change, and modules of the user's own


@pytest.fixture
def users_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Write a module into a folder on the path, and unload it in the end."""
    folder = tmp_path / "users"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    file = folder / "module_of_chaos.py"
    file.write_text("STEP = 1\ndef step(item):\n    return item + STEP\n")
    yield file
    sys.modules.pop("module_of_chaos", None)


def test_a_module_that_workers_cannot_reach(shared_pool: Pool, users_module: Path) -> None:
    module: ModuleType = importlib.import_module("module_of_chaos")
    users_module.unlink()
    for pool in (shared_pool, Pool(1)):
        with contextlib.ExitStack() as stack:
            if pool is not shared_pool:
                stack.enter_context(pool)
            found = list(scoopsci.map(module.step, range(20), engine=pool))
            assert found == list(scoopsci.map(module.step, range(20), engine="serial"))
            assert pool.submit(lambda: module.step(4)).result(GENEROUS_S) == 5


def test_a_module_that_is_loaded_again(shared_pool: Pool, users_module: Path) -> None:
    module: ModuleType = importlib.import_module("module_of_chaos")
    for step in (1, 10, 200):
        users_module.write_text(f"STEP = {step}\ndef step(item):\n    return item + STEP\n")
        importlib.invalidate_caches()
        importlib.reload(module)
        found = list(scoopsci.map(module.step, range(20), engine=shared_pool))
        assert found == [item + step for item in range(20)]
        assert shared_pool.submit(module.step, 3).result(GENEROUS_S) == 3 + step
        assert shared_pool.submit(lambda: module.step(3)).result(GENEROUS_S) == 3 + step
    users_module.write_text("def step(item):\n    return -item\n")  # and not loaded again
    assert shared_pool.submit(module.step, 3).result(GENEROUS_S) == 203


def test_functions_of_the_same_name(shared_pool: Pool) -> None:
    cell: dict[str, Any] = {"__name__": "__main__"}
    for power in (1, 2, 3):
        exec(f"BASE = {power}\ndef raised(item):\n    return item ** BASE\n", cell)
        found = list(scoopsci.map(cell["raised"], range(20), engine=shared_pool))
        assert found == [item**power for item in range(20)]
        assert list(shared_pool.map(cell["raised"], range(20))) == found


def test_lambdas_and_closures(shared_pool: Pool) -> None:
    for offset in (1, 5):
        table = {"a": offset}

        def add(item: int, offset: int = offset, table: dict[str, int] = table) -> int:
            return item + offset + len(table)

        assert list(scoopsci.map(add, range(9), engine=shared_pool)) == [
            item + offset + 1 for item in range(9)
        ]
        table["b"] = 2
        assert list(scoopsci.map(add, range(9), engine=shared_pool)) == [
            item + offset + 2 for item in range(9)
        ]
        found = list(scoopsci.map(lambda item, o=offset: item * o, range(9), engine=shared_pool))
        assert found == [item * offset for item in range(9)]
