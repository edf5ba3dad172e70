"""The road, with faults scripted per call: each block is counted once, whatever fails."""

import itertools
import pickle
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from scoopsci import (
    EngineError,
    EngineTimeoutError,
    PoisonTaskError,
    TaskError,
    WorkerLostError,
    open_engine,
)
from scoopsci.reporting.progress import Progress
from scoopsci.road.blocks import Fold, Range
from scoopsci.road.chunks import FoldBlocks, ListBlocks
from scoopsci.road.dispatch import Dispatch
from scoopsci.road.options import DispatchOptions
from scoopsci.road.sizing import CHUNK_BYTES, CHUNK_GROWTH
from scoopsci.testing.tasks import CallBlocks
from tests.executors import AnyOrder, FirstTwo, OtherHosts
from tests.merging import bracket

ONE_BY_ONE = 1e-9  # a chunk target so short that every chunk is one block


def name_block(block: int, value: object) -> str:
    return f"[{block}:{value}]"


def fold_in_order(values: Iterable[object]) -> str:
    fold = Fold(bracket)
    for block, value in enumerate(values):
        fold.add(Range(block, block + 1), name_block(block, value))
    return fold.result()


@dataclass
class Script:
    """Blocks with faults: how often each dies or fails before it succeeds; counts its calls."""

    deaths: Mapping[int, int] = field(default_factory=dict)
    failures: Mapping[int, int] = field(default_factory=dict)
    calls: Counter[int] = field(default_factory=Counter)
    dying: bool = False

    def __call__(self, block: int, value: object) -> str:
        self.calls[block] += 1
        if self.calls[block] <= self.deaths.get(block, 0):
            self.dying = True
        if self.calls[block] <= self.failures.get(block, 0):
            raise ArithmeticError(f"call {self.calls[block]} of block {block}")
        return name_block(block, value)

    def __reduce__(self) -> tuple[Any, ...]:
        # The "workers" are threads of this process: they get the script, not a copy.
        SCRIPTS[id(self)] = self
        return find_script, (id(self),)


SCRIPTS: dict[int, Script] = {}


def find_script(number: int) -> Script:
    return SCRIPTS[number]


class InProcess(Executor):
    """Declares that its tasks use the modules of this process, and their contents."""

    in_process = True


class FirstTwoInProcess(InProcess, FirstTwo):
    """See `FirstTwo`."""


class OtherHostsInProcess(InProcess, OtherHosts):
    """See `OtherHosts`."""


class ScriptedExecutor(InProcess, AnyOrder):
    """Loses the tasks that the script says.

    Parameters
    ----------
    script : Script
        Of the blocks.
    seed, hold : int
        See `AnyOrder`.
    loses_all : bool
        A death takes all pending tasks with it, as in loky and the standard library.
    twice : bool
        Run each task twice, as after a lost answer.
    outages : collection of int
        Numbers of the calls at which all is lost, whatever the block.
    """

    pause_s = 0.005

    def __init__(
        self,
        script: Script,
        *,
        seed: int = 0,
        hold: int = 1,
        loses_all: bool = False,
        twice: bool = False,
        outages: Iterable[int] = (),
    ) -> None:
        self._script, self._loses_all, self._twice = script, loses_all, twice
        self._outages = set(outages)
        self.n_calls = 0
        self.sizes: list[int] = []
        self.n_others_at_death: list[int] = []
        super().__init__(seed, hold)

    def _run(self, future: Future[Any], call: Callable[[], Any]) -> None:
        self.n_calls += 1
        n_before = self._script.calls.total()
        result = [call() for _ in range(1 + self._twice)][-1]
        self.sizes.append(self._script.calls.total() - n_before)
        died, self._script.dying = self._script.dying, False
        died = died or self.n_calls in self._outages
        others: list[Future[Any]] = []
        with self._changed:
            self._n_running = 0
            if died:
                self.n_others_at_death.append(len(self._pending))
            if died and self._loses_all:
                others = [other for other, _ in self._pending]
                self._pending.clear()
        if died:
            future.set_exception(WorkerLostError("as scripted", host="node7"))
        else:
            future.set_result(result)
        for other in others:
            other.set_exception(BrokenExecutor("lost with another"))


class FrozenExecutor(InProcess):
    """Takes tasks, and never runs them."""

    def __init__(self) -> None:
        self.futures: list[Future[Any]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.futures.append(Future())
        return self.futures[-1]


@contextmanager
def scripted(script: Script, **options: Any) -> Iterator[ScriptedExecutor]:
    executor = ScriptedExecutor(script, **options)
    try:
        yield executor
    finally:
        executor.shutdown()


def bracketed(run_block: Callable[[int, Any], str]) -> FoldBlocks[str]:
    return FoldBlocks(CallBlocks(run_block), bracket)


def walk(
    executor: Executor | str,
    run_block: Callable[[int, Any], str],
    inputs: Iterable[Any],
    *,
    n_blocks: int | None = None,
    stand_in: Callable[[TaskError], str] | None = None,
    tell: Callable[[Progress], object] | None = None,
    **options: Any,
) -> tuple[str, Dispatch[str]]:
    dispatch = Dispatch(
        open_engine(executor, n_workers=None if executor == "serial" else 2),
        bracketed(run_block),
        inputs,
        DispatchOptions(**options),
        n_blocks=n_blocks,
        stand_in=stand_in,
        tell=tell,
    )
    fold, counted = Fold(bracket), 0
    for blocks, partial in dispatch:
        assert fold.add(blocks, partial)
        counted += blocks.size
        assert fold.n_blocks == counted, "no block is yielded twice"
    return fold.result(), dispatch


@pytest.mark.parametrize("chunk_target_s", [ONE_BY_ONE, 0.001, 0.1, 1.0])
@pytest.mark.parametrize("make", [None, lambda: ThreadPoolExecutor(3)], ids=["serial", "threads"])
def test_bits_do_not_depend_on_chunks(
    make: Callable[[], Executor] | None, chunk_target_s: float
) -> None:
    values = range(1_000, 1_500)
    if make is None:
        result, dispatch = walk("serial", name_block, values, chunk_target_s=chunk_target_s)
    else:
        with make() as executor:
            result, dispatch = walk(executor, name_block, values, chunk_target_s=chunk_target_s)
    assert result == fold_in_order(values)
    assert sum(worker["n_blocks"] for worker in dispatch.describe()["workers"]) == 500
    assert dispatch.describe()["n_lost_tasks"] == 0


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("window", [1, 2, 7, None])
@pytest.mark.parametrize("loses_all", [False, True])
def test_bits_survive_deaths_and_any_order(seed: int, window: int | None, loses_all: bool) -> None:
    script = Script(deaths={3: 1, 4: 2, 50: 1, 51: 1, 119: 2})
    hold = window or 4
    with scripted(script, seed=seed, hold=hold, loses_all=loses_all) as executor:
        result, dispatch = walk(executor, script, range(120), window=window, poison_after=100)
    assert result == fold_in_order(range(120))
    assert executor.most_in_flight <= hold
    assert dispatch.describe()["n_lost_tasks"] == dispatch.retries.n_lost >= 5
    assert sorted(script.calls) == list(range(120))


@pytest.mark.parametrize("seed", range(3))
def test_task_run_twice_is_counted_once(seed: int) -> None:
    script = Script()
    with scripted(script, seed=seed, hold=3, twice=True) as executor:
        result, dispatch = walk(executor, script, range(40), window=3)
    assert result == fold_in_order(range(40))
    assert set(script.calls.values()) == {2}
    assert sum(worker["n_blocks"] for worker in dispatch.describe()["workers"]) == 40


@pytest.mark.parametrize("window", [1, 3, 8])
def test_window_is_filled_and_never_exceeded(window: int) -> None:
    script = Script()
    with scripted(script, hold=window) as executor:
        walk(executor, script, range(100), window=window, chunk_target_s=ONE_BY_ONE)
    assert executor.most_in_flight == window


def test_chunks_grow_with_cheap_blocks_by_a_bounded_factor() -> None:
    script = Script()
    with scripted(script, hold=2) as executor:
        walk(executor, script, iter(range(5_000)), chunk_target_s=10.0)
    assert executor.sizes[0] == 1
    assert max(executor.sizes) > 64
    longest = 1
    for size in executor.sizes:
        assert size <= CHUNK_GROWTH * longest
        longest = max(longest, size)


def test_last_chunks_end_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scoopsci.road.sizing.LEAST_CHUNK_S", 1e-9)
    script = Script()
    with scripted(script) as executor:
        walk(executor, script, range(1_000), n_blocks=1_000, window=2, chunk_target_s=10.0)
    remaining = 1_000
    for size in executor.sizes:
        assert size <= max(1, -(-remaining // 2))
        remaining -= size
    assert executor.sizes[-1] == 1


def test_last_chunks_are_not_too_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise blocks that take no time would become a dozen more tasks."""
    monkeypatch.setattr("scoopsci.road.sizing.LEAST_CHUNK_S", 5.0)  # even if interrupted
    script = Script()
    with scripted(script) as executor:
        walk(executor, script, range(1_000), n_blocks=1_000, window=2, chunk_target_s=10.0)
    assert len(executor.sizes) <= 6


def test_large_results_make_short_chunks() -> None:
    script = Script()
    with scripted(script) as executor:
        walk(executor, script, ["x" * 100_000] * 100, chunk_target_s=10.0)
    assert max(executor.sizes) <= 1 + CHUNK_BYTES // 100_000 == 11


@pytest.mark.parametrize("make", [tuple, list, iter, np.asarray, lambda r: (v for v in r)])
def test_inputs_of_any_kind(make: Callable[[range], Any]) -> None:
    assert walk("serial", name_block, make(range(5, 50)))[0] == fold_in_order(range(5, 50))


def test_no_inputs() -> None:
    work = bracketed(name_block)
    assert list(Dispatch(open_engine("serial"), work, [], DispatchOptions())) == []


@pytest.mark.parametrize("window", [1, 5])
@pytest.mark.parametrize("n_wanted", [1, 30])
def test_endless_inputs_are_taken_no_further_than_the_window(window: int, n_wanted: int) -> None:
    n_taken = 0

    def count() -> Iterator[int]:
        nonlocal n_taken
        while True:
            n_taken += 1
            yield n_taken

    script, n_told = Script(), 0
    with scripted(script, hold=window) as executor:
        engine = open_engine(executor)
        options = DispatchOptions(window=window, chunk_target_s=ONE_BY_ONE)
        dispatch = Dispatch(engine, bracketed(script), count(), options)
        assert n_taken == 0, "nothing is taken before the iteration"
        told: Any = iter(dispatch)
        with closing(told):
            for blocks, _ in told:
                n_told += blocks.size
                assert n_taken <= n_told + window
                if n_told >= n_wanted:
                    break
    assert script.calls.total() <= n_wanted + window


@pytest.mark.parametrize("window", [1, 4])
@pytest.mark.parametrize("chunk_target_s", [ONE_BY_ONE, 1.0])
def test_error_of_the_inputs_comes_after_the_blocks_before_it(
    window: int, chunk_target_s: float
) -> None:
    def break_off() -> Iterator[int]:
        yield from range(50)
        raise LookupError("no more of it")

    script, told = Script(), set[int]()
    options = DispatchOptions(window=window, chunk_target_s=chunk_target_s)
    with scripted(script, hold=window) as executor:
        dispatch = Dispatch(open_engine(executor), bracketed(script), break_off(), options)
        with pytest.raises(LookupError, match="no more of it"):
            told.update(block for blocks, _ in dispatch for block in range(*blocks))
    assert told == set(range(50))


def interrupt(told: Generator[Any]) -> None:
    with pytest.raises(KeyboardInterrupt):
        told.throw(KeyboardInterrupt())


def await_deadline(told: Generator[Any]) -> None:
    with pytest.raises(EngineTimeoutError, match=r"of 1 s passed with 2 blocks done"):
        list(told)


@pytest.mark.parametrize("leave", [Generator.close, interrupt, await_deadline])
def test_early_exit_cancels_what_has_not_started(leave: Callable[[Any], None]) -> None:
    executor = FirstTwoInProcess()
    engine = open_engine(executor)
    options = DispatchOptions(window=4, timeout=1.0)  # enough for the first two blocks
    told = iter(Dispatch(engine, bracketed(name_block), itertools.count(), options))
    next(told)
    leave(told)
    held = executor.futures[2:]
    assert held
    assert all(future.cancelled() for future in held)


class TestRetries:
    def test_failure_is_raised_at_once_by_default(self) -> None:
        script = Script(failures={5: 1})
        with pytest.raises(TaskError, match=r"block 5 failed") as caught:
            walk("serial", script, range(10))
        assert caught.value.block == 5
        assert isinstance(caught.value.__cause__, ArithmeticError)
        assert str(caught.value.__cause__) == "call 1 of block 5"

    @pytest.mark.parametrize("chunk_target_s", [ONE_BY_ONE, 1.0])
    @pytest.mark.parametrize("retries", [1, 2, 5])
    def test_block_is_tried_as_often_as_allowed(self, retries: int, chunk_target_s: float) -> None:
        script = Script(failures={0: 1, 25: retries, 99: retries})
        with scripted(script, hold=2) as executor:
            result, dispatch = walk(
                executor, script, range(100), retries=retries, chunk_target_s=chunk_target_s
            )
        assert result == fold_in_order(range(100))
        n_retried = dispatch.describe()["n_retried_tasks"]
        assert dispatch.retries.n_retried == n_retried == 1 + 2 * retries
        again = {0: 2, 25: retries + 1, 99: retries + 1}
        assert script.calls == dict.fromkeys(range(100), 1) | again, "only failures are repeated"

    @pytest.mark.parametrize("retries", [0, 1, 4])
    def test_block_is_tried_no_more_often_than_allowed(self, retries: int) -> None:
        script = Script(failures={25: 1_000})
        with pytest.raises(TaskError, match=r"block 25") as caught:
            walk("serial", script, range(100), retries=retries)
        assert script.calls[25] == retries + 1
        assert str(caught.value.__cause__) == f"call {retries + 1} of block 25"

    def test_failures_and_deaths_are_counted_separately(self) -> None:
        script = Script(deaths={7: 2}, failures={7: 4})
        with scripted(script) as executor:
            result, _ = walk(executor, script, range(20), retries=2, chunk_target_s=ONE_BY_ONE)
        assert result == fold_in_order(range(20))

    def test_what_cannot_be_pickled_is_not_retried(self) -> None:
        lock = threading.Lock()
        with pytest.raises(TaskError, match="pickling the task"):
            walk("serial", lambda block, _: str(lock), range(10), retries=9)

    def test_result_that_cannot_be_pickled_names_its_block(self) -> None:
        make_lock: Callable[[int, Any], Any] = lambda block, _: threading.Lock()  # noqa: E731
        with pytest.raises(TaskError, match="pickling the result") as caught:
            walk("serial", make_lock, range(1))
        assert caught.value.block == 0


class TestStandIn:
    """The partial that replaces that of a failed block."""

    @pytest.mark.parametrize("chunk_target_s", [ONE_BY_ONE, 1.0])
    @pytest.mark.parametrize("failing", [{0}, {99}, {0, 1, 50, 99}, set(range(100))], ids=len)
    @pytest.mark.parametrize("retries", [0, 2])
    def test_it_replaces_each_block_that_fails(
        self, failing: set[int], retries: int, chunk_target_s: float
    ) -> None:
        script, errors = Script(failures=dict.fromkeys(failing, 1_000)), []

        def stand_in(error: TaskError) -> str:
            errors.append(error)
            return f"<{error.block}>"

        with scripted(script, hold=2) as executor:
            result, dispatch = walk(
                executor, script, range(100),
                stand_in=stand_in, retries=retries, chunk_target_s=chunk_target_s,
            )  # fmt: skip
        expected = Fold(bracket)
        for block in range(100):
            partial = f"<{block}>" if block in failing else name_block(block, block)
            expected.add(Range(block, block + 1), partial)
        assert result == expected.result()
        assert sorted(error.block or 0 for error in errors) == sorted(failing)
        assert all(isinstance(error.__cause__, ArithmeticError) for error in errors)
        assert script.calls == {b: 1 + retries * (b in failing) for b in range(100)}
        assert dispatch.retries.n_retried == retries * len(failing)

    def test_it_replaces_a_poison_block(self) -> None:
        script, errors = Script(deaths={17: 1_000}), []

        def stand_in(error: TaskError) -> str:
            errors.append(error)
            return "<poison>"

        with scripted(script, hold=3, loses_all=True) as executor:
            result, _ = walk(executor, script, range(40), window=3, stand_in=stand_in)
        assert result == fold_in_order(range(40)).replace("[17:17]", "<poison>")
        (error,) = errors
        assert isinstance(error, PoisonTaskError)
        assert error.block == 17

    @pytest.mark.parametrize(
        ("make", "stage"),
        [(threading.Lock, "pickling the result"), (lambda: Refusal(), "unpickling the result")],
        ids=["pickling", "unpickling"],
    )
    def test_it_replaces_a_result_that_cannot_be_sent(
        self, make: Callable[[], object], stage: str
    ) -> None:
        errors: list[TaskError] = []

        def stand_in(error: TaskError) -> list[object]:
            errors.append(error)
            return ["<lost>"]

        run_block = CallBlocks(lambda block, _: make() if block in (20, 70) else block)
        dispatch = Dispatch(
            open_engine("serial"), ListBlocks(run_block), range(100),
            DispatchOptions(chunk_target_s=1.0), stand_in=stand_in,
        )  # fmt: skip
        results = [item for _, part in dispatch.in_order() for item in part]
        assert results == [*range(20), "<lost>", *range(21, 70), "<lost>", *range(71, 100)]
        assert [(error.block, error.stage) for error in errors] == [(20, stage), (70, stage)]

    def test_it_replaces_an_input_that_cannot_be_sent(self) -> None:
        values: list[object] = [*range(50), threading.Lock(), *range(50)]
        result, _ = walk("serial", name_block, values, stand_in=lambda error: f"<{error.block}>")
        lock = name_block(50, values[50])
        assert result == fold_in_order(values).replace(lock, "<50>")

    def test_its_own_error_is_raised_unchanged(self) -> None:
        def refuse(error: TaskError) -> str:
            raise LookupError("in the driver")

        with pytest.raises(LookupError, match="in the driver"):
            walk("serial", Script(failures={5: 1}), range(10), stand_in=refuse)

    def test_a_lost_engine_is_not_a_block_s_failure(self) -> None:
        with pytest.raises(EngineError):
            walk(
                Refusing(answer_closed), name_block, range(100),
                stand_in=lambda error: "<lost>", chunk_target_s=ONE_BY_ONE,
            )  # fmt: skip


class Refusal:
    """Can be pickled, but not unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return refuse_to_be_made, ()


def refuse_to_be_made() -> None:
    raise RuntimeError("refuses to be unpickled")


class TestInOrder:
    @pytest.mark.parametrize("seed", range(5))
    @pytest.mark.parametrize("window", [1, 4, 16])
    def test_blocks_come_in_order(self, seed: int, window: int) -> None:
        script = Script(deaths={3: 1, 40: 2}, failures={0: 1, 60: 2})
        with scripted(script, seed=seed, hold=window, loses_all=True) as executor:
            dispatch = Dispatch(
                open_engine(executor), ListBlocks(CallBlocks(script)), range(100),
                DispatchOptions(window=window, retries=2, poison_after=100),
            )  # fmt: skip
            parts = list(dispatch.in_order())
        assert [part for _, results in parts for part in results] == [
            name_block(block, block) for block in range(100)
        ]
        ends = [0, *(blocks.stop for blocks, _ in parts)]
        assert [blocks.start for blocks, _ in parts] == ends[:-1]

    def test_early_close_cancels_what_has_not_started(self) -> None:
        executor = FirstTwoInProcess()
        work, options = bracketed(name_block), DispatchOptions(window=4)
        told = Dispatch(open_engine(executor), work, itertools.count(), options).in_order()
        next(told)
        told.close()
        assert len(executor.futures) > 2
        assert all(future.cancelled() for future in executor.futures[2:])

    @pytest.mark.parametrize("window", [2, 5])
    @pytest.mark.parametrize("chunk_target_s", [ONE_BY_ONE, 10.0])
    def test_results_that_wait_for_a_slow_block_are_bounded(
        self, window: int, chunk_target_s: float, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        size, most = 10_000, 200_000
        monkeypatch.setattr("scoopsci.road.dispatch.HELD_BYTES", most)
        monkeypatch.setattr("scoopsci.road.sizing.CHUNK_BYTES", 2 * size)
        executor = FirstLast()
        work = ListBlocks(CallBlocks(lambda block, value: bytes(size)))
        options = DispatchOptions(window=window, chunk_target_s=chunk_target_s)
        try:
            dispatch = Dispatch(open_engine(executor), work, range(200), options)
            n_results = sum(len(part) for _, part in dispatch.in_order())
        finally:
            executor.shutdown()
        assert n_results == 200
        # Results that wait, and those in flight when the limit is noticed.
        n_at_most = most // size + 2 + window * 3
        assert executor.n_done_before_first <= n_at_most


class FirstLast(InProcess):
    """Runs tasks at once, but the first one only when no others have come for a while."""

    def __init__(self) -> None:
        self._first: Future[Any] | None = None
        self._changed = threading.Condition()
        self._n_submitted = 0
        self._ended = False
        self.n_done_before_first = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        with self._changed:
            self._n_submitted += 1
            self._changed.notify()
        if self._first is None:
            self._first = future
            self._thread = threading.Thread(target=self._run_late, args=(fn, *args))
            self._thread.start()
            return future
        frames = fn(*args, **kwargs)
        if not self._first.done():
            self.n_done_before_first += len(pickle.loads(args[0][1])[1][2])
        future.set_result(frames)
        return future

    def _run_late(self, fn: Callable[..., Any], *args: Any) -> None:
        assert self._first is not None
        with self._changed:
            n_before = 0
            while self._n_submitted > n_before and not self._ended:
                n_before = self._n_submitted
                self._changed.wait_for(lambda: self._ended, timeout=0.1)
        self._first.set_result(fn(*args))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._thread.join()


class TestPoison:
    @pytest.mark.parametrize("seed", range(4))
    @pytest.mark.parametrize("window", [1, 2, 6])
    @pytest.mark.parametrize("loses_all", [False, True])
    @pytest.mark.parametrize("poison_after", [1, 2, 3])
    def test_only_the_poison_block_is_blamed(
        self, seed: int, window: int, loses_all: bool, poison_after: int
    ) -> None:
        script = Script(deaths={17: 1_000})
        with (
            scripted(script, seed=seed, hold=window, loses_all=loses_all) as executor,
            pytest.raises(PoisonTaskError, match=r"block 17 ended its worker") as caught,
        ):
            walk(executor, script, range(60), window=window, poison_after=poison_after)
        assert caught.value.block == 17
        assert caught.value.host == "node7"
        assert isinstance(caught.value.__cause__, WorkerLostError)
        assert executor.n_others_at_death[-1] == 0, "a block is poison only if it ran alone"
        # Once in its chunk, in a part of it, and as a single block with others; then alone.
        assert poison_after <= script.calls[17] <= poison_after + 3

    @pytest.mark.parametrize("n_deaths", [1, 2])
    @pytest.mark.parametrize("loses_all", [False, True])
    def test_fewer_deaths_do_not_fail_the_run(self, n_deaths: int, loses_all: bool) -> None:
        script = Script(deaths=dict.fromkeys(range(0, 40, 3), n_deaths))
        with scripted(script, hold=4, loses_all=loses_all) as executor:
            result, _ = walk(
                executor, script, range(40), window=4, chunk_target_s=ONE_BY_ONE, poison_after=4
            )
        assert result == fold_in_order(range(40))

    @pytest.mark.parametrize("outages", [{1, 2}, {5, 6}, {10, 40}, {20, 21}])
    def test_outages_blame_no_block(self, outages: set[int]) -> None:
        script = Script()
        with scripted(script, hold=4, loses_all=True, outages=outages) as executor:
            result, dispatch = walk(
                executor, script, range(50), window=4, chunk_target_s=ONE_BY_ONE
            )
        assert result == fold_in_order(range(50))
        assert dispatch.retries.n_lost >= 2

    def test_one_of_two_poison_blocks_is_reported(self) -> None:
        script = Script(deaths={17: 1_000, 18: 1_000})
        with (
            scripted(script, hold=4, loses_all=True) as executor,
            pytest.raises(PoisonTaskError) as caught,
        ):
            walk(executor, script, range(60), window=4)
        assert caught.value.block in (17, 18)


class Refusing(FrozenExecutor):
    """Runs three tasks, and answers later ones by a given function."""

    def __init__(self, answer: Callable[[], Future[Any]]) -> None:
        super().__init__()
        self._answer = answer

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = super().submit(fn, *args, **kwargs)
        if len(self.futures) > 3:
            return self._answer()
        future.set_result(fn(*args, **kwargs))
        return future


def answer_broken() -> Future[Any]:
    raise BrokenExecutor("a child process terminated abruptly")


def answer_closed() -> Future[Any]:
    raise RuntimeError("cannot schedule new futures after shutdown")


def answer_cancelled() -> Future[Any]:
    future: Future[Any] = Future()
    future.cancel()
    future.set_running_or_notify_cancel()
    return future


def answer_lost_connection() -> Future[Any]:
    future: Future[Any] = Future()
    future.set_exception(ConnectionResetError("by peer"))
    return future


@pytest.mark.parametrize(
    "answer", [answer_broken, answer_closed, answer_cancelled, answer_lost_connection]
)
def test_foreign_executor_that_ends_is_an_engine_error(
    answer: Callable[[], Future[Any]],
) -> None:
    """Contract 2: any failure ends in a typed error, and no block is blamed for the executor."""
    with pytest.raises(EngineError):
        walk(Refusing(answer), name_block, range(100), chunk_target_s=ONE_BY_ONE)


def test_finished_run_does_not_time_out() -> None:
    def sleep(block: int, _: object) -> str:
        time.sleep(0.05)
        return str(block)

    result, _ = walk("serial", sleep, range(1), timeout=0.01)
    assert result == "0"


def test_deadline_between_tasks_of_the_serial_engine() -> None:
    def sleep(block: int, _: object) -> str:
        time.sleep(0.02)
        return str(block)

    with pytest.raises(EngineTimeoutError, match="blocks done") as caught:
        walk("serial", sleep, itertools.count(), timeout=0.05)
    assert isinstance(caught.value, TimeoutError)


class TestProgress:
    def test_counts_rise_to_the_end(self) -> None:
        told: list[Progress] = []
        script = Script(deaths={3: 1, 30: 2})
        with scripted(script, hold=3) as executor:
            walk(
                executor, script, range(50), n_blocks=50, window=3, tell=told.append,
                chunk_target_s=ONE_BY_ONE,
            )  # fmt: skip
        n_done = [state.n_done for state in told]
        assert n_done == sorted(n_done)
        assert n_done[-1] == 50
        assert len(told) == 50 + 3, "one for each task that ended"
        assert {state.n_blocks for state in told} == {50}
        assert all(0 <= state.n_in_flight <= 3 for state in told)
        assert told[-1].n_in_flight == 0
        assert [state.n_lost for state in told] == sorted(state.n_lost for state in told)
        assert told[-1].n_lost == 3
        assert [loss["n_blocks"] for loss in told[-1].losses] == [1, 1, 1]
        assert {loss["why"] for loss in told[-1].losses} == {"as scripted"}
        at_s = [loss["at_s"] for loss in told[-1].losses]
        assert at_s == sorted(at_s)
        assert told[-1].n_workers == 2
        times = [state.elapsed_s for state in told]
        assert times == sorted(times)

    def test_length_is_none_where_it_is_not_known(self) -> None:
        told: deque[Progress] = deque()
        walk("serial", name_block, iter(range(5)), tell=told.append)
        assert {state.n_blocks for state in told} == {None}

    def test_error_in_the_callback_ends_the_run(self) -> None:
        def refuse(state: Progress) -> None:
            raise BrokenPipeError(f"after {state.n_done}")

        with pytest.raises(BrokenPipeError, match="after 1"):
            walk("serial", name_block, range(50), tell=refuse)


ONE_HOST = {"host": "node1", "pid": 10, "battery": "0" * 16}
OTHER_HOSTS = {
    "battery": {"host": "node2", "pid": 20, "battery": "f" * 16},
    "NumPy": {"host": "node2", "pid": 20, "battery": "0" * 16, "numpy": "1.0"},
    "process": {"host": "node1", "pid": 11, "battery": "f" * 16},
    # Containers may have the same name and process numbers on different hosts.
    "container": {"host": "node1", "pid": 10, "battery": "f" * 16},
}
unlike = pytest.mark.parametrize("other", OTHER_HOSTS.values(), ids=list(OTHER_HOSTS))


@unlike
def test_hosts_that_differ_stop_the_run(other: dict[str, Any]) -> None:
    message = rf"(?s)node1.*{other['host']}.*OPENBLAS_CORETYPE.*mixed=True"
    with pytest.raises(EngineError, match=message):
        walk(OtherHostsInProcess(ONE_HOST, other), name_block, range(10))


@unlike
def test_mixed_continues_and_reports_it(other: dict[str, Any]) -> None:
    result, dispatch = walk(OtherHostsInProcess(ONE_HOST, other), name_block, range(10), mixed=True)
    assert result == fold_in_order(range(10))
    assert dispatch.describe()["mixed"] is True


@pytest.mark.parametrize("mixed", [False, True])
def test_equal_hosts_are_not_mixed(mixed: bool) -> None:
    hosts = [ONE_HOST, {**ONE_HOST, "host": "node2"}]
    _, dispatch = walk(OtherHostsInProcess(*hosts), name_block, range(10), mixed=mixed)
    done = dispatch.describe()
    assert done["mixed"] is False
    assert [worker["host"] for worker in done["workers"]] == ["node1", "node2"]
    assert sum(worker["n_blocks"] for worker in done["workers"]) == 10


NESTED_POOL: list[Executor] = []


def run_within(block: int, _: object) -> str:
    """Start a nested run on the pool that runs this task."""
    return walk(NESTED_POOL[0], name_block, range(3), timeout=2.0)[0]


def test_a_run_within_a_task_is_serial() -> None:
    """On the pool itself it would deadlock: its thread would wait for itself."""
    with ThreadPoolExecutor(1) as pool:
        NESTED_POOL[:] = [pool]
        result, _ = walk(pool, run_within, range(2))
    assert result == bracket(*[fold_in_order(range(3))] * 2)
