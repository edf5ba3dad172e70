"""Values that many tasks need: pickled once by the driver, unpickled once by each worker."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest

import scoopsci
from scoopsci import TaskError, WorkerLostError
from scoopsci.engines import shared
from scoopsci.engines.shared import (
    N_KEPT,
    SMALL_BYTES,
    Shared,
    SharedMissingError,
    keep_only,
    list_wanted,
)
from scoopsci.pickling.frames import count_bytes, dump
from scoopsci.road.chunks import CallEach, ListBlocks
from scoopsci.road.runs import Run
from scoopsci.testing.tasks import meet

# The functions of this file are pickled by value, like those of a notebook or script.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

MEGABYTE = 1 << 20
ONE_BY_ONE = 1e-9  # a chunk target so short that every chunk is one block


class Large:
    """A function with data, which records where it is pickled and unpickled."""

    def __init__(self, notes: Path, n_bytes: int) -> None:
        self.notes = notes
        self.data = np.arange(n_bytes // 8)

    def __call__(self, value: int) -> int:
        return int(self.data[value]) + value

    def __getstate__(self) -> dict[str, Any]:
        self.note("pickled")
        return self.__dict__.copy()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.note("unpickled")

    def note(self, what: str) -> None:
        with self.notes.open("a") as file:
            file.write(f"{what} {os.getpid()}\n")


def read_notes(notes: Path) -> dict[str, Counter[int]]:
    found: dict[str, Counter[int]] = {"pickled": Counter(), "unpickled": Counter()}
    for line in notes.read_text().splitlines():
        what, pid = line.split()
        found[what][int(pid)] += 1
    return found


def load(value: Any) -> Any:
    """Unpickle a value as a worker of this process does."""
    frames = dump(value)
    return pickle.loads(frames[0], buffers=frames[1:])


def run(fn: Callable[..., Any], inputs: Any, **options: Any) -> tuple[list[Any], dict[str, Any]]:
    how: Any = {"engine": "serial", "chunk_target_s": ONE_BY_ONE, **options}
    walk = Run(ListBlocks(CallEach(fn)), inputs, how, identity={})
    results = [item for _, part in walk.partials(in_order=True) for item in part]
    return results, walk.description


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "notes"


@pytest.fixture(autouse=True)
def nothing_is_kept() -> Iterator[None]:
    """Check after each test that the driver has freed what it kept for a run."""
    assert not shared._kept
    yield
    kept, n_kept = list(shared._kept), len(shared._kept)
    shared._kept.clear()
    assert n_kept == 0, kept


@pytest.fixture(autouse=True, scope="module")
def first_loss() -> None:
    """Lose a worker once: loky keeps open the pipes of its tracker and of its last loss."""
    with scoopsci.open_engine("processes", n_workers=1) as engine, pytest.raises(WorkerLostError):
        engine.submit(os._exit, 3).result()


class TestShared:
    def test_small_values_are_sent_with_every_task(self) -> None:
        value = Shared({"a": 1})
        assert value.is_small
        assert load(value.whole) == {"a": 1}
        value.forget()

    def test_large_values_are_sent_once(self) -> None:
        value = Shared(b"x" * MEGABYTE)
        assert not value.is_small
        assert MEGABYTE < value.n_bytes < MEGABYTE + 100
        assert count_bytes(dump(value.whole)) > MEGABYTE
        assert count_bytes(dump(value.reference)) < 200
        first = load(value.whole)
        assert first == b"x" * MEGABYTE
        assert load(value.reference) is first
        assert load(value.whole) is first, "if sent again, it is not unpickled again"
        value.forget()

    @pytest.mark.parametrize("n_bytes", [SMALL_BYTES - 100, SMALL_BYTES + 100])
    def test_the_size_decides(self, n_bytes: int) -> None:
        assert Shared(bytes(n_bytes)).is_small is (n_bytes < SMALL_BYTES)

    def test_a_reference_to_what_was_not_sent(self) -> None:
        value = Shared(bytes(MEGABYTE))
        with pytest.raises(SharedMissingError, match="has not been sent"):
            load(value.reference)
        load(value.whole)
        value.forget()
        with pytest.raises(SharedMissingError):
            load(value.reference)
        value.forget()

    def test_the_last_task_of_a_run_closed_early_keeps_nothing(self) -> None:
        value = Shared([1])
        frames = dump(value.whole)
        value.forget()
        assert pickle.loads(frames[0], buffers=frames[1:]) == [1]
        assert not shared._kept

    def test_what_is_forgotten_here_is_kept_by_workers(self) -> None:
        value = Shared(bytes(MEGABYTE))
        pickled = [pickle.dumps(part, 5) for part in (value.whole, value.reference)]
        value.forget()
        fork = multiprocessing.get_context("fork")
        with fork.Pool(1) as pool:
            whole, reference = pool.map(pickle.loads, pickled)
        assert whole == reference == bytes(MEGABYTE)

    def test_values_that_are_equal_are_not_the_same(self) -> None:
        one, other = Shared([1]), Shared([1])
        assert load(one.whole) is load(one.whole) is not load(other.whole)
        one.forget()
        other.forget()

    def test_none_is_a_value(self) -> None:
        value = Shared(None)
        assert load(value.whole) is None
        value.forget()

    def test_the_least_recently_used_goes_first(self) -> None:
        values = [Shared(bytes([n]) * MEGABYTE) for n in range(N_KEPT + 1)]
        for value in values[:N_KEPT]:
            load(value.whole)
        load(values[0].reference)
        load(values[N_KEPT].whole)
        assert load(values[0].reference) == bytes(MEGABYTE)
        with pytest.raises(SharedMissingError):
            load(values[1].reference)
        for value in values:
            value.forget()

    @pytest.mark.parametrize("n_items", [10, 1_000_000])
    def test_changes_after_it_was_made_are_not_seen(self, n_items: int) -> None:
        """Otherwise one worker might get it before the change, and another one after."""
        array = np.zeros(n_items)
        value = Shared({"array": array})
        array[:] = 7.0
        assert load(value.whole)["array"][0] == 0.0
        value.forget()

    def test_a_late_task_frees_no_later_value(self) -> None:
        """Threads submit tasks on one engine in another order than they have packed them."""
        late = list_wanted()
        value = Shared(bytes(MEGABYTE))
        load(value.whole)
        keep_only(*late)
        assert load(value.reference) == bytes(MEGABYTE)
        last, _ = list_wanted()
        keep_only(last, ())
        with pytest.raises(SharedMissingError):
            load(value.reference)
        value.forget()

    def test_read_only_arrays_stay_so(self) -> None:
        array = np.zeros(1_000_000)
        array.flags.writeable = False
        value = Shared(array)
        assert not load(value.whole).flags.writeable
        value.forget()

    def test_threads_unpickle_it_once(self, notes: Path) -> None:
        value = Shared(Large(notes, MEGABYTE))
        start = threading.Barrier(8)

        def load_together() -> Any:
            start.wait(60)
            return load(value.whole)

        with ThreadPoolExecutor(8) as pool:
            found = {id(f.result(60)) for f in [pool.submit(load_together) for _ in range(8)]}
        assert len(found) == 1
        assert read_notes(notes)["unpickled"].total() == 1
        value.forget()

    @pytest.mark.parametrize("make", [threading.Lock, lambda: (n for n in range(3))])
    def test_what_cannot_be_pickled(self, make: Callable[[], Any]) -> None:
        with pytest.raises(TaskError, match="pickling the task") as caught:
            Shared(make())
        assert (caught.value.stage, caught.value.host) == ("pickling the task", None)
        assert isinstance(caught.value.__cause__, TypeError)

    def test_what_cannot_be_unpickled_is_not_kept(self) -> None:
        value = Shared(Refusal())
        for _ in range(2):
            with pytest.raises(RuntimeError, match="refuses"):
                load(value.whole)


class Refusal:
    """Can be pickled, but not unpickled."""

    def __call__(self, value: int) -> int:
        return value

    def __reduce__(self) -> Any:
        return refuse, ()


def refuse() -> None:
    raise RuntimeError("refuses to be unpickled")


@contextlib.contextmanager
def open_standard_pool() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        yield pool


@contextlib.contextmanager
def open_threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(3) as pool:
        yield pool


ENGINES: dict[str, tuple[Callable[[], Any], dict[str, Any], int]] = {
    "serial": (lambda: contextlib.nullcontext("serial"), {}, 1),
    "two processes": (lambda: contextlib.nullcontext("processes"), {"n_workers": 2}, 2),
    "three processes": (lambda: contextlib.nullcontext("processes"), {"n_workers": 3}, 3),
    "threads": (open_threads, {"n_workers": 3}, 3),
    "standard processes": (open_standard_pool, {"n_workers": 2}, 2),
}


class TestRuns:
    @pytest.mark.parametrize("name", ENGINES)
    def test_a_function_of_100_mb_is_sent_to_each_worker_once(
        self, name: str, notes: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        open_one, options, n_workers = ENGINES[name]
        size, present = 100 * MEGABYTE, tmp_path_factory.mktemp("present")
        large = Large(notes, size)

        def visit(value: int) -> int:
            meet(present, n_workers)
            return large(value)

        with open_one() as engine:
            found, done = run(visit, range(60), engine=engine, **options)
        assert found == [2 * value for value in range(60)]
        told = read_notes(notes)
        assert told["pickled"] == {os.getpid(): 1}
        assert set(told["unpickled"].values()) == {1}, "each process has unpickled it once"
        assert set(told["unpickled"]) == {worker["pid"] for worker in done["workers"]}
        in_caller = name in ("serial", "threads")
        assert set(told["unpickled"]) == {os.getpid()} or not in_caller
        # Sixty tasks; one may reach a worker before the function, and is sent again with it.
        assert n_workers * size <= done["sent_bytes"] <= (2 * n_workers) * size + MEGABYTE
        assert (done["n_lost_tasks"], done["n_retried_tasks"]) == (0, 0)

    def test_a_small_function_is_sent_with_every_task(self, notes: Path) -> None:
        found, done = run(Large(notes, 1_000), range(60))
        assert found == [2 * value for value in range(60)]
        assert done["sent_bytes"] > 60 * 1_000
        assert read_notes(notes)["unpickled"] == {os.getpid(): 1}

    def test_the_driver_s_copy_is_not_the_one_that_runs(self, notes: Path) -> None:
        """Tasks of the serial engine and of threads get a copy, as elsewhere."""
        counts = [0]

        def count(value: int) -> int:
            counts[0] += 1
            return counts[0]

        assert run(count, range(5))[0] == [1, 2, 3, 4, 5]
        assert counts == [0]

    def test_an_early_end_frees_it_too(self, notes: Path) -> None:
        walk = Run(ListBlocks(CallEach(Large(notes, MEGABYTE))), range(9), {"engine": "serial"},
                   identity={}).partials()  # fmt: skip
        next(walk)
        assert len(shared._kept) == 1
        walk.close()
        assert len(shared._kept) == 0

    def test_an_error_frees_it_too(self, notes: Path) -> None:
        with pytest.raises(TaskError, match="IndexError"):
            run(Large(notes, MEGABYTE), [1, 10**9])

    @pytest.mark.parametrize("engine", ["serial", "processes"])
    def test_a_function_that_cannot_be_pickled(self, engine: str) -> None:
        lock = threading.Lock()
        with pytest.raises(TaskError, match="pickling the task") as caught:
            run(lambda value: str(lock), range(10), engine=engine, retries=3)
        assert caught.value.stage == "pickling the task"

    @pytest.mark.parametrize("engine", ["serial", "processes"])
    def test_a_function_that_cannot_be_unpickled(self, engine: str) -> None:
        with pytest.raises(TaskError, match=r"unpickling the task.*refuses") as caught:
            run(Refusal(), range(10), engine=engine)
        assert caught.value.stage == "unpickling the task"
        assert caught.value.block in range(4), "one of the first in flight"

    def test_workers_that_forget_it_are_sent_it_again(self, notes: Path) -> None:
        """As if each task reached a worker that has just started."""
        with Forgetful() as engine:
            found, done = run(Large(notes, MEGABYTE), range(30), engine=engine, n_workers=1)
        assert found == [2 * value for value in range(30)]
        assert (done["n_lost_tasks"], done["n_retried_tasks"]) == (0, 0)
        assert read_notes(notes)["pickled"].total() == 1
        assert read_notes(notes)["unpickled"].total() == 30

    def test_a_late_worker_is_sent_it_once(self, notes: Path) -> None:
        """Although several tasks have reached it before."""
        with OneLate() as engine:
            found, done = run(Large(notes, MEGABYTE), range(30), engine=engine, n_workers=2)
        assert found == [2 * value for value in range(30)]
        assert 3 * MEGABYTE <= done["sent_bytes"] < 4 * MEGABYTE
        assert set(read_notes(notes)["unpickled"].values()) == {1}

    def test_new_workers_are_sent_it_in_place_of_dead_ones(
        self, notes: Path, tmp_path: Path
    ) -> None:
        large, marks = Large(notes, MEGABYTE), tmp_path

        def die_once(value: int) -> int:
            mark = marks / str(value)
            if value in (7, 20) and not mark.exists():
                mark.touch()
                os._exit(1)
            return large(value)

        found, done = run(die_once, range(40), engine="processes", n_workers=2)
        assert found == [2 * value for value in range(40)]
        assert done["n_lost_tasks"] >= 2
        assert set(read_notes(notes)["unpickled"].values()) == {1}


class Forgetful(Executor):
    """Runs tasks at once, and forgets what they share after each."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        shared._kept.clear()
        return future


class OneLate(Executor):
    """Two workers: one takes the first two tasks, which carry the function, the other the rest."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.workers = [ProcessPoolExecutor(1, context) for _ in range(2)]
        self.n_tasks = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.n_tasks += 1
        return self.workers[self.n_tasks > 2].submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        for worker in self.workers:
            worker.shutdown(wait, cancel_futures=cancel_futures)


class TestNested:
    @pytest.mark.parametrize("engine", ["serial", "processes"])
    def test_nested_runs_do_not_evict_it(self, engine: str, notes: Path) -> None:
        large = Large(notes, MEGABYTE)

        def nest(value: int) -> int:
            for _ in range(3 * N_KEPT):
                numbers = np.arange(100_000)
                (inner,) = scoopsci.map(lambda x, numbers=numbers: int(numbers[x]), [value])
                assert inner == value
            return large(value)

        options: Any = {"engine": engine, "n_workers": 1}
        found, done = run(nest, range(12), **options)
        assert found == [2 * value for value in range(12)]
        assert set(read_notes(notes)["unpickled"].values()) == {1}
        assert done["sent_bytes"] < 3 * MEGABYTE

    def test_nested_runs_left_open_may_evict_it(self, notes: Path) -> None:
        """It is then sent again."""
        large = Large(notes, MEGABYTE)

        def nest(value: int) -> int:
            walks = [iter(scoopsci.map(abs, [value])) for _ in range(N_KEPT + 1)]
            assert [next(walk) for walk in walks] == [value] * (N_KEPT + 1)
            return large(value)

        assert run(nest, range(12))[0] == [2 * value for value in range(12)]

    def test_concurrent_runs(self, notes: Path, tmp_path: Path) -> None:
        """By several threads on one engine."""
        others = [tmp_path / f"notes-{n}" for n in range(3)]
        with (
            scoopsci.open_engine("processes", n_workers=2) as engine,
            ThreadPoolExecutor(3) as pool,
        ):
            walks = [
                pool.submit(run, Large(other, MEGABYTE), range(30), engine=engine)
                for other in others
            ]
            for walk, other in zip(walks, others, strict=True):
                assert walk.result(60)[0] == [2 * value for value in range(30)]
                assert read_notes(other)["pickled"] == {os.getpid(): 1}
                assert set(read_notes(other)["unpickled"].values()) == {1}
