"""The contract of every engine, as one suite; each engine subclasses it."""

from __future__ import annotations

import concurrent.futures
import contextlib
import importlib
import itertools
import logging
import operator
import os
import pickle
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import cloudpickle
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import scoopsci
from scoopsci import (
    Engine,
    EngineError,
    EngineTimeoutError,
    LedgerError,
    PoisonTaskError,
    TaskError,
    WorkerLostError,
    open_engine,
)
from scoopsci.road.chunks import FoldBlocks
from scoopsci.road.dispatch import Dispatch
from scoopsci.road.options import DispatchOptions
from tests.calls import CallBlocks, meet
from tests.cluster.map_program import find_bits

# As functions of a notebook or a script do, those of this file travel by value.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

GENEROUS_S = 60.0


class Misfit(Exception):
    """An exception of the user's own."""


class Unpicklable:
    """Cannot be pickled."""

    def __reduce__(self) -> Any:
        raise RuntimeError("refuses to be pickled")


def refuse() -> None:
    raise RuntimeError("refuses to be unpickled")


class Ununpicklable(Exception):
    """Can be pickled, and not unpickled."""

    def __reduce__(self) -> Any:
        return refuse, ()


class UnpicklableError(Exception):
    """An exception that cannot be pickled."""

    def __reduce__(self) -> Any:
        raise RuntimeError("refuses to be pickled")


def raise_error(error: BaseException) -> None:
    raise error


def raise_made(make: Callable[[], BaseException]) -> None:
    raise make()


def sleep_and_return(seconds: float, value: Any) -> Any:
    time.sleep(seconds)
    return value


def talk() -> int:
    print("said on stdout")
    print("said on stderr", file=sys.stderr)
    warnings.warn("a warning", UserWarning, stacklevel=1)
    logging.getLogger("task.talk").info("logged with %s", "arguments")
    return os.getpid()


def mixed_magnitudes(**run: Any) -> scoopsci.Estimate:
    def draw(rng: np.random.Generator, size: int) -> np.ndarray:
        return np.exp(20.0 * rng.standard_normal((size, 3)))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", scoopsci.DoubtfulEstimateWarning)
        return scoopsci.estimate(draw, 300_100, seed=11, block_size=1_000, **run)


def dispatch(
    engine: Engine, run_block: Callable[[int, Any], int], n_blocks: int, **options: Any
) -> Dispatch[int]:
    work = FoldBlocks(CallBlocks(run_block), operator.add)
    return Dispatch(engine, work, range(n_blocks), DispatchOptions(**options), n_blocks=n_blocks)


FIVE_WAYS: list[tuple[str, Callable[..., Any], Callable[[], Any]]] = [
    ("pickling the task", len, Unpicklable),
    ("unpickling the task", len, Ununpicklable),
    ("running", raise_error, Misfit),
    ("pickling the result", Unpicklable, tuple),
    ("unpickling the result", Ununpicklable, tuple),
]


def fail_at_seven(item: int) -> int:
    if item % 10 == 7:
        raise Misfit("of item", item)
    return item


def make_unpicklable(item: int) -> Any:
    return Unpicklable() if item == 5 else item


def die_at_four(item: int) -> int:
    if item == 4:
        os._exit(7)
    return item


def note(marks: Path, item: int) -> int:
    """Note an execution on disk, and return how many there have been."""
    with (marks / str(item)).open("ab") as mark:
        mark.write(b".")
        return mark.tell()


class MapContract:
    """What holds for the map family on every engine."""

    name: ClassVar[str]

    @pytest.mark.parametrize("chunk_target_s", [0.001, 0.1, 1.0])
    def test_maps_have_the_serial_bits(self, engine: Engine, chunk_target_s: float) -> None:
        found = find_bits(20_000, 1_000, engine=engine, chunk_target_s=chunk_target_s)
        assert found == find_bits(20_000, 1_000, engine="serial")

    @pytest.mark.parametrize("chunk_target_s", [1e-9, 0.1])
    def test_a_map_is_that_of_the_built_in(self, engine: Engine, chunk_target_s: float) -> None:
        columns: list[Any] = [range(90), "abc" * 30, iter(range(100)), np.arange(95.0)]
        run: Any = {"engine": engine, "chunk_target_s": chunk_target_s}
        found = list(scoopsci.map(lambda *items: items, *columns[:2], columns[3], **run))
        assert found == list(zip(*columns[:2], columns[3], strict=False))
        assert sorted(scoopsci.map_as_completed(abs, columns[2], **run)) == [*range(100)]
        assert list(scoopsci.map(abs, [], **run)) == []

    def test_a_map_takes_no_more_than_the_window(self, engine: Engine) -> None:
        n_taken = 0

        def count() -> Iterator[int]:
            nonlocal n_taken
            while True:
                yield n_taken
                n_taken += 1

        options: Any = {"engine": engine, "window": 5, "chunk_target_s": 1e-9}
        with scoopsci.map_as_completed(abs, count(), **options) as results:
            for n_told, _ in enumerate(itertools.islice(results, 30), 1):
                assert n_taken <= n_told + 5
        n_left = n_taken
        assert engine.submit(pow, 2, 5).result(GENEROUS_S) == 32
        assert n_taken == n_left

    def test_maps_share_an_engine(self, engine: Engine) -> None:
        first = scoopsci.map(abs, itertools.count(), engine=engine)
        second = scoopsci.map(str, first, engine=engine)
        assert list(itertools.islice(second, 300)) == [str(item) for item in range(300)]
        second.close()
        first.close()

    def test_errors_in_the_places_of_results(self, engine: Engine) -> None:
        found: list[Any] = list(
            scoopsci.map(fail_at_seven, range(30), on_error="return", engine=engine)
        )
        for item, result in enumerate(found):
            if item % 10 == 7:
                assert isinstance(result, TaskError)
                assert isinstance(result.__cause__, Misfit)
                assert (result.block, result.__cause__.args) == (item, ("of item", item))
            else:
                assert result == item
        with pytest.raises(TaskError) as caught:
            list(scoopsci.map(fail_at_seven, range(17), engine=engine))
        assert caught.value.block == 7

    def test_what_cannot_be_pickled_in_its_place(self, engine: Engine) -> None:
        items: list[Any] = [*range(20)]
        items[3] = Unpicklable()
        found: list[Any] = list(scoopsci.map(repr, items, on_error="return", engine=engine))
        assert (found[3].block, found[3].stage) == (3, "pickling the task")
        assert found[:3] + found[4:] == [repr(item) for item in range(20) if item != 3]
        found = list(scoopsci.map(make_unpicklable, range(20), on_error="return", engine=engine))
        assert (found[5].block, found[5].stage) == (5, "pickling the result")
        assert found[:5] + found[6:] == [item for item in range(20) if item != 5]

    def test_items_are_tried_as_often_as_allowed(self, engine: Engine, tmp_path: Path) -> None:
        def fail(item: int) -> int:
            if note(tmp_path, item) <= item % 4:
                raise Misfit
            return item

        options: Any = {"retries": 2, "on_error": "return", "engine": engine}
        found = list(scoopsci.map(fail, range(20), **options))
        assert [isinstance(result, TaskError) for result in found] == [
            item % 4 == 3 for item in range(20)
        ]
        attempts = [(tmp_path / str(item)).stat().st_size for item in range(20)]
        assert attempts == [min(item % 4, 2) + 1 for item in range(20)]

    @pytest.mark.parametrize("first_here", [True, False])
    def test_a_ledger_goes_from_engine_to_engine(
        self, engine: Engine, tmp_path: Path, first_here: bool
    ) -> None:
        engines: list[Any] = [engine, "serial"] if first_here else ["serial", engine]
        marks = tmp_path / "marks"
        marks.mkdir()

        def visit(item: int) -> int:
            note(marks, item)
            time.sleep(0.001)
            return -item

        options: Any = {"ledger": tmp_path / "ledger", "chunk_target_s": 0.005}
        with scoopsci.map(visit, range(100), engine=engines[0], **options) as results:
            assert list(itertools.islice(results, 40)) == [-item for item in range(40)]
        receipts: list[dict[str, Any]] = []
        options["receipt"] = receipts.append
        found = list(scoopsci.map(visit, range(100), engine=engines[1], **options))
        assert found == [-item for item in range(100)]
        n_recalled = receipts[0]["run"]["n_recalled_blocks"]
        assert n_recalled >= 40
        n_executions = [(marks / str(item)).stat().st_size for item in range(100)]
        assert n_executions[:40] == [1] * 40
        assert n_executions.count(1) >= n_recalled
        with pytest.raises(LedgerError, match="seed is"):
            list(scoopsci.map(visit, range(100), seed=1, engine=engine, **options))

    def test_a_map_within_a_task_is_serial(self, engine: Engine) -> None:
        def nest(item: int) -> tuple[str, int]:
            receipts: list[dict[str, Any]] = []
            options: Any = {"engine": self.name, "receipt": receipts.append}
            total = sum(scoopsci.map(pow, range(10), [item] * 10, **options))
            return receipts[0]["run"]["engine"], total

        found = list(scoopsci.map(nest, range(5), engine=engine))
        assert found == [("serial", sum(a**item for a in range(10))) for item in range(5)]

    def test_what_a_large_function_carries_is_sent_once_to_each_worker(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        load, receipts = np.ones(10_000_000, np.uint8), list[dict[str, Any]]()
        n_workers = engine.n_workers
        assert n_workers

        def visit(item: int) -> int:
            meet(tmp_path, n_workers)  # or one worker could take all before another is awake
            return int(load[item])

        options: Any = {"engine": engine, "chunk_target_s": 1e-9, "receipt": receipts.append}
        assert sum(scoopsci.map(visit, range(100), **options)) == 100
        # A worker that is not among the first to take a task asks for it.
        assert 1e7 * n_workers <= receipts[0]["run"]["sent_bytes"] <= 1e7 * 2 * n_workers

    def test_time_is_up_for_a_map(self, engine: Engine) -> None:
        results = scoopsci.map(
            sleep_and_return, itertools.repeat(0.02), itertools.count(), timeout=0.3, engine=engine
        )
        with pytest.raises(EngineTimeoutError, match=r"timeout of 0\.3 s"):
            list(results)
        assert engine.submit(pow, 2, 5).result(GENEROUS_S) == 32


class MapWorkersContract(MapContract):
    """What holds for the map family where workers are processes."""

    def test_poison_in_its_place(self, engine: Engine) -> None:
        found: list[Any] = list(
            scoopsci.map(die_at_four, range(12), on_error="return", engine=engine)
        )
        assert isinstance(found[4], PoisonTaskError)
        assert found[4].block == 4
        assert found[:4] + found[5:] == [item for item in range(12) if item != 4]
        assert engine.submit(pow, 2, 5).result(GENEROUS_S) == 32

    def test_a_map_survives_its_workers(self, engine: Engine, tmp_path: Path) -> None:
        def visit(item: int) -> float:
            if item in (3, 11) and note(tmp_path, item) == 1:
                os._exit(1)
            time.sleep(0.01)
            return 10.0 ** (item - 8)

        receipts: list[dict[str, Any]] = []
        options: Any = {"engine": engine, "receipt": receipts.append}
        found = scoopsci.map_reduce(visit, operator.add, range(16), **options)
        expected = scoopsci.map_reduce(
            lambda item: 10.0 ** (item - 8), operator.add, range(16), engine="serial"
        )
        assert found.hex() == expected.hex()
        assert receipts[0]["run"]["n_lost_tasks"] >= 2


class EngineContract(MapContract):
    """What holds for every engine."""

    name: ClassVar[str]
    in_caller: ClassVar[bool] = False

    def test_submit_returns_a_future_of_the_standard_library(self, engine: Engine) -> None:
        future = engine.submit(pow, 2, exp=10)
        assert isinstance(future, concurrent.futures.Future)
        assert future.result(GENEROUS_S) == 1024
        assert future.done()
        assert not future.running()
        assert not future.cancel()

    def test_report_names_host_and_process(self, engine: Engine) -> None:
        future = engine.submit(os.getpid)
        assert future.result(GENEROUS_S) == future.report["pid"]
        assert (future.report["pid"] == os.getpid()) is self.in_caller
        assert {"host", "python", "numpy", "battery", "elapsed_s"} <= set(future.report)

    def test_map_keeps_the_order(self, engine: Engine) -> None:
        delays = [0.05, 0.0, 0.02, 0.0, 0.01]
        assert list(engine.map(sleep_and_return, delays, range(5), timeout=GENEROUS_S)) == [
            *range(5)
        ]

    def test_wait_and_as_completed_of_the_standard_library(self, engine: Engine) -> None:
        futures = [engine.submit(sleep_and_return, 0.01, i) for i in range(20)]
        assert not concurrent.futures.wait(futures, timeout=GENEROUS_S).not_done
        futures = [engine.submit(sleep_and_return, 0.01, i) for i in range(20)]
        found = [f.result() for f in concurrent.futures.as_completed(futures, GENEROUS_S)]
        assert sorted(found) == [*range(20)]

    def test_callbacks_run_once_with_the_future(self, engine: Engine) -> None:
        called, seen = threading.Event(), []

        def note(future: concurrent.futures.Future[Any]) -> None:
            seen.append(future.result())
            called.set()

        future = engine.submit(sleep_and_return, 0.05, "value")
        future.add_done_callback(note)
        assert called.wait(GENEROUS_S)
        assert seen == ["value"]

    def test_exception_becomes_task_error(self, engine: Engine) -> None:
        error = engine.submit(raise_error, Misfit("a", 1)).exception(GENEROUS_S)
        assert isinstance(error, TaskError)
        assert isinstance(error.__cause__, Misfit)
        assert error.__cause__.args == ("a", 1)
        assert (error.stage, error.block) == ("running", None)
        assert "Misfit" in str(error)
        assert str(error.host) in str(error)
        assert str(error.pid) in str(error)
        first_frame = error.remote_traceback.splitlines()[1]
        assert first_frame.endswith("in raise_error")
        again = pickle.loads(cloudpickle.dumps(error))
        assert (str(again), again.host, again.pid) == (str(error), error.host, error.pid)
        assert isinstance(again.__cause__, Misfit)

    @pytest.mark.parametrize(("stage", "fn", "make"), FIVE_WAYS, ids=[w[0] for w in FIVE_WAYS])
    def test_five_ways_of_pickling(
        self, engine: Engine, stage: str, fn: Callable[..., Any], make: Callable[[], Any]
    ) -> None:
        arguments = () if make is tuple else (make(),)
        error = engine.submit(fn, *arguments).exception(GENEROUS_S)
        assert isinstance(error, TaskError)
        assert error.stage == stage
        assert engine.submit(pow, 2, 3).result(GENEROUS_S) == 8

    @pytest.mark.parametrize("make", [UnpicklableError, Ununpicklable, SystemExit])
    def test_difficult_exceptions(self, engine: Engine, make: type[BaseException]) -> None:
        error = engine.submit(raise_made, make).exception(GENEROUS_S)
        assert isinstance(error, TaskError)
        assert make.__name__ in str(error)
        assert "raise_made" in error.remote_traceback
        assert engine.submit(pow, 2, 3).result(GENEROUS_S) == 8

    @pytest.mark.parametrize("writable", [True, False])
    def test_arrays_of_100_mb(self, engine: Engine, writable: bool) -> None:
        array = np.arange(12_500_000, dtype=np.float64)
        array.flags.writeable = writable

        def negate(x: np.ndarray) -> tuple[np.ndarray, bool]:
            flag = x.flags.writeable
            if flag:
                x[0] = 99.0  # a task's own copy
            return -x, flag

        back, seen_writable = engine.submit(negate, array).result(GENEROUS_S)
        assert seen_writable is writable
        assert array[0] == 0.0
        assert np.array_equal(back[1:], -array[1:])
        assert back.flags.writeable

    def test_output_comes_back_labelled(
        self, engine: Engine, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        # Warnings and log records of tasks in the caller reach the caller's handlers unchanged.
        warned_here = pytest.warns(UserWarning, match="a warning")
        with warned_here if self.in_caller else contextlib.nullcontext():
            future = engine.submit(talk)
        pid = future.result(GENEROUS_S)
        out, err = capfd.readouterr()
        label = f"[{future.report['host']} {pid}] "
        assert out == ""
        lines = err.splitlines()
        assert f"{label}said on stdout" in lines
        assert f"{label}said on stderr" in lines
        warned = [line for line in lines if line.startswith(label) and "a warning" in line]
        assert bool(warned) is not self.in_caller
        records = [r for r in caplog.records if r.name == "task.talk"]
        assert [r.levelname for r in records] == ["INFO"]
        expected = "logged with arguments" if self.in_caller else f"{label}logged with arguments"
        assert records[0].getMessage() == expected

    def test_nested_calls_run_serially_with_the_same_bits(self, engine: Engine) -> None:
        def nested(name: str) -> tuple[str, float]:
            result = scoopsci.pi(100_000, seed=5, engine=name, n_workers=2)
            return result.engine, result.value

        expected = scoopsci.pi(100_000, seed=5, engine="serial").value
        for name in ("auto", self.name):
            assert engine.submit(nested, name).result(GENEROUS_S) == ("serial", expected)

    @pytest.mark.parametrize("chunk_target_s", [0.001, 0.1, 1.0])
    def test_estimates_have_the_serial_bits(self, engine: Engine, chunk_target_s: float) -> None:
        found = mixed_magnitudes(engine=engine, chunk_target_s=chunk_target_s)
        expected = mixed_magnitudes(engine="serial")
        assert found.receipt["result"] == expected.receipt["result"]

    def test_long_dot_products_have_the_bits_of_one_thread(self, engine: Engine) -> None:
        def sum_products(seed: int) -> float:
            rng = np.random.default_rng(seed)
            return float(rng.normal(size=100_000) @ rng.normal(size=100_000))

        with threadpool_limits(1):
            expected = [sum_products(seed) for seed in range(20)]
        assert list(engine.map(sum_products, range(20))) == expected

    def test_shutdown_refuses_further_tasks(self, engine: Engine) -> None:
        with open_engine(self.name) as other:
            future = other.submit(sleep_and_return, 0.2, "finished")
        assert future.result(timeout=0) == "finished"
        with pytest.raises(RuntimeError, match="shut down"):
            other.submit(int)
        other.shutdown()

    def test_empty_map(self, engine: Engine) -> None:
        assert list(engine.map(abs, [])) == []


class WorkersContract(MapWorkersContract, EngineContract):
    """What holds for engines whose workers are processes."""

    def test_result_has_a_timeout(self, engine: Engine, tmp_path: Path) -> None:
        def wait() -> str:
            while not (tmp_path / "go").exists():
                time.sleep(0.01)
            return "late"

        future = engine.submit(wait)
        with pytest.raises(concurrent.futures.TimeoutError):
            future.result(timeout=0.01)
        waiting = concurrent.futures.wait([future], timeout=0.01)
        assert waiting.not_done == {future}
        with pytest.raises(concurrent.futures.TimeoutError):
            list(concurrent.futures.as_completed([future], timeout=0.01))
        (tmp_path / "go").touch()
        assert future.result(GENEROUS_S) == "late"

    def test_a_module_of_the_user_s_is_as_the_driver_has_it(
        self, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also where the workers could import the file, and have it as it was."""
        name = f"users_{self.name}"
        (tmp_path / f"{name}.py").write_text(
            "FACTOR = 16\n\ndef scale(x):\n    return FACTOR * x\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        module = importlib.import_module(name)
        monkeypatch.setattr(module, "FACTOR", 32)
        try:
            assert engine.submit(module.scale, 2).result(GENEROUS_S) == 64
            options: Any = {"engine": engine, "timeout": GENEROUS_S}
            assert list(scoopsci.map(module.scale, range(4), **options)) == [0, 32, 64, 96]
        finally:
            del sys.modules[name]

    def test_cancel_of_a_waiting_task(self, engine: Engine) -> None:
        blockers = [
            engine.submit(sleep_and_return, 0.5, None) for _ in range(12 * engine.n_workers)
        ]
        assert blockers[-1].cancel()
        assert blockers[-1].cancelled()
        for blocker in blockers[2 * engine.n_workers :]:
            blocker.cancel()
        assert not concurrent.futures.wait(blockers, timeout=GENEROUS_S).not_done
        with pytest.raises(concurrent.futures.CancelledError):
            blockers[-1].result(timeout=0)

    def test_an_error_in_the_block_does_not_wait_for_tasks(self, engine: Engine) -> None:
        other = open_engine(self.name)
        with contextlib.suppress(Misfit), other:
            long = other.submit(sleep_and_return, 8.0, None)
            time.sleep(0.5)
            raise Misfit
        # Ended with its worker, or given up where the pool is not ours.
        assert long.cancelled() or long.running() or isinstance(long.exception(0), EngineError)
        assert engine.submit(int).result(GENEROUS_S) == 0

    def test_keyboard_interrupt_of_a_task_is_a_task_error(self, engine: Engine) -> None:
        error = engine.submit(raise_made, KeyboardInterrupt).exception(GENEROUS_S)
        assert isinstance(error, TaskError)
        assert isinstance(error.__cause__, KeyboardInterrupt)

    def test_death_of_a_worker(self, engine: Engine) -> None:
        with pytest.raises(WorkerLostError):
            engine.submit(os._exit, 3).result(GENEROUS_S)
        assert engine.submit(pow, 2, 5).result(GENEROUS_S) == 32

    def test_a_poisonous_block_is_named_and_the_driver_lives(self, engine: Engine) -> None:
        def run_block(block: int, _: object) -> int:
            time.sleep(0.01)
            if block == 5:
                os._exit(7)
            return block

        with pytest.raises(PoisonTaskError) as caught:
            list(dispatch(engine, run_block, 10))
        assert caught.value.block == 5
        assert engine.submit(pow, 2, 5).result(GENEROUS_S) == 32

    def test_no_block_is_lost_or_counted_twice_when_workers_die(
        self, engine: Engine, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        marks = tmp_path_factory.mktemp("marks")

        def run_block(block: int, _: object) -> int:
            time.sleep(0.02)
            mark = marks / str(block)
            if block in (3, 11) and not mark.exists():
                mark.touch()
                os._exit(1)
            return int(10**block)

        walk = dispatch(engine, run_block, 16)
        assert sum(partial for _, partial in walk) == int("1" * 16)
        assert walk.retries.n_lost >= 2
