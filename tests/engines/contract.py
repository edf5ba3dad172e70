"""The contract of every engine, as one suite; each engine subclasses it."""

from __future__ import annotations

import concurrent.futures
import contextlib
import logging
import os
import pickle
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any, ClassVar

import cloudpickle
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import scoopsci
from scoopsci import Engine, EngineError, PoisonTaskError, TaskError, WorkerLostError, open_engine
from scoopsci.dispatch import Dispatch

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


FIVE_WAYS: list[tuple[str, Callable[..., Any], Callable[[], Any]]] = [
    ("pickling the task", len, Unpicklable),
    ("unpickling the task", len, Ununpicklable),
    ("running", raise_error, Misfit),
    ("pickling the result", Unpicklable, tuple),
    ("unpickling the result", Ununpicklable, tuple),
]


class EngineContract:
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
        assert "raise_error" in error.remote_traceback
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


class WorkersContract(EngineContract):
    """What holds for engines whose workers are processes."""

    def test_result_has_a_timeout(self, engine: Engine) -> None:
        future = engine.submit(sleep_and_return, 0.5, "late")
        with pytest.raises(concurrent.futures.TimeoutError):
            future.result(timeout=0.01)
        waiting = concurrent.futures.wait([future], timeout=0.01)
        assert waiting.not_done == {future}
        with pytest.raises(concurrent.futures.TimeoutError):
            list(concurrent.futures.as_completed([future], timeout=0.01))
        assert future.result(GENEROUS_S) == "late"

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
            list(Dispatch(engine, run_block, range(10), lambda a, b: a + b, n_blocks=10))
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

        dispatch = Dispatch(engine, run_block, range(16), lambda a, b: a + b, n_blocks=16)
        assert sum(partial for _, partial in dispatch) == int("1" * 16)
        assert dispatch.n_lost >= 2
