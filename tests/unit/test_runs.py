"""A run, from the opening of an engine to the last partial; its ledger is in test_ledger."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from scoopsci import Engine, EngineError, TaskError, open_engine
from scoopsci.engines.payload import in_task
from scoopsci.estimation.streams import block_generator
from scoopsci.reporting.progress import Progress
from scoopsci.road.chunks import CallEach, FoldBlocks, ListBlocks
from scoopsci.road.options import RunOptions
from scoopsci.road.runs import Run, fold_run, hold_engine, run_list
from tests.executors import FirstTwo
from tests.merging import bracket

SERIAL: RunOptions = {"engine": "serial"}


def refuse_at_home(left: str, right: str) -> str:
    if not in_task():
        raise MemoryError("in the driver")
    return bracket(left, right)


def fold(inputs: Any, options: RunOptions = SERIAL, **more: Any) -> tuple[str, dict[str, Any]]:
    return fold_run(CallEach(str), bracket, inputs, options, identity={}, **more)


class TestFoldRun:
    @pytest.mark.parametrize("chunk_target_s", [1e-9, 1.0])
    def test_partials_merge_along_the_fixed_tree(self, chunk_target_s: float) -> None:
        whole, done = fold(range(7), {**SERIAL, "chunk_target_s": chunk_target_s})
        assert whole == "((((01)(23))(45))6)"
        assert (done["engine"], done["n_workers"], done["n_lost_tasks"]) == ("serial", 1, 0)

    def test_description_has_the_keys_of_a_receipt(self) -> None:
        _, done = fold(range(100), n_blocks=100)
        assert {"engine", "n_workers", "workers", "elapsed_s", "times", "sent_bytes"} <= set(done)
        assert {"n_lost_tasks", "n_retried_tasks", "n_recalled_blocks", "mixed"} <= set(done)
        assert sum(worker["n_blocks"] for worker in done["workers"]) == 100
        parts = [seconds for name, seconds in done["times"].items() if name != "waiting_s"]
        assert 0.0 < sum(parts) <= done["elapsed_s"], "on one worker nothing overlaps"
        assert sum(done["times"].values()) == pytest.approx(done["elapsed_s"])

    def test_one_block(self) -> None:
        assert fold(["a"])[0] == "a"

    def test_no_blocks(self) -> None:
        with pytest.raises(ValueError, match="there must be at least one item to merge, got none"):
            fold([])
        assert fold([], empty="nothing")[0] == "nothing"
        assert fold(iter(()), empty="")[0] == ""

    def test_partials_may_be_none(self) -> None:
        """None is a partial like any other."""
        each, merge = CallEach(lambda value: None), lambda left, right: None
        assert fold_run(each, merge, range(5), SERIAL, identity={})[0] is None

    def test_streams_are_those_of_the_blocks(self) -> None:
        each = CallEach(lambda rng, value: [rng.random()], seed=7)
        found, _ = fold_run(each, operator.add, range(5), SERIAL, identity={})
        assert found == [block_generator(7, block).random() for block in range(5)]

    def test_error_in_the_driver_cancels_a_borrowed_engine_s_tasks(self) -> None:
        executor = FirstTwo()
        with open_engine(executor) as engine:
            options: RunOptions = {"engine": engine, "window": 4}
            with pytest.raises(TaskError, match="cannot be merged: in the driver") as caught:
                fold_run(CallEach(str), refuse_at_home, range(100), options, identity={})
        assert isinstance(caught.value.__cause__, MemoryError)
        assert len(executor.futures) > 2
        assert all(future.cancelled() for future in executor.futures[2:])

    def test_error_in_the_last_merges_is_reported_alike(self) -> None:
        with pytest.raises(TaskError, match="cannot be merged: in the driver") as caught:
            fold_run(CallEach(str), refuse_at_home, range(3), SERIAL, identity={})
        assert isinstance(caught.value.__cause__, MemoryError)

    def test_error_in_a_merge_on_a_worker_is_a_task_error(self) -> None:
        def refuse(left: str, right: str) -> str:
            raise ArithmeticError("do not merge")

        with pytest.raises(TaskError, match="do not merge"):
            fold_run(CallEach(str), refuse, range(1_000), SERIAL, identity={})


class TestRun:
    def test_options_are_checked_before_anything_is_opened(self) -> None:
        opened: list[int] = []

        def inputs() -> Iterator[int]:
            opened.append(1)
            yield 1

        work = ListBlocks(CallEach(str))
        for wrong in ({"retries": -1}, {"engine": "nonesuch", "timeout": 0}, {"sede": 1}):
            with pytest.raises((ValueError, TypeError), match=r"retries|timeout|sede"):
                Run(work, inputs(), wrong, identity={})  # type: ignore[arg-type]
        assert not opened

    def test_partials_in_block_order(self) -> None:
        with ThreadPoolExecutor(4) as pool:
            options: RunOptions = {"engine": pool, "chunk_target_s": 1e-4}
            run = Run(ListBlocks(CallEach(str)), range(500), options, identity={})
            parts = [item for _, part in run.partials(in_order=True) for item in part]
        assert parts == [str(value) for value in range(500)]
        assert run.description["engine"] == "ThreadPoolExecutor"

    def test_a_run_closed_early_closes_its_engine(self) -> None:
        run = Run(FoldBlocks(CallEach(str), bracket), range(500),
                  {"engine": "processes", "n_workers": 2}, identity={})  # fmt: skip
        partials = run.partials()
        next(partials)
        partials.close()  # a fixture checks after every test that no child is left
        assert (run.description["engine"], run.description["n_workers"]) == ("processes", 2)

    def test_an_error_of_the_engine_is_raised_unchanged(self) -> None:
        with ThreadPoolExecutor(1) as pool:
            pass
        run = Run(ListBlocks(CallEach(str)), range(5), {"engine": pool}, identity={})
        with pytest.raises(EngineError, match="takes no more tasks"):
            list(run.partials())


def test_list_is_in_the_order_of_its_inputs() -> None:
    with ThreadPoolExecutor(3) as pool:
        options: RunOptions = {"engine": pool, "n_workers": 3, "chunk_target_s": 1e-4}
        found, done = run_list(abs, [*range(-100, 100)], options, identity={})
    assert found == [*range(100, 0, -1), *range(100)]
    assert done["n_workers"] == 3
    assert run_list(abs, [], SERIAL, identity={})[0] == []


class TestHoldEngine:
    def test_one_engine_for_several_runs(self) -> None:
        with hold_engine({"engine": "serial", "retries": 2}) as options:
            engine = options["engine"]
            assert isinstance(engine, Engine)
            assert options["retries"] == 2
            assert set(options) == {"engine", "retries"}
            assert fold(range(3), options)[0] == fold(range(3), options)[0] == "((01)2)"
        with pytest.raises(RuntimeError, match="shut down"):
            engine.submit(int)

    def test_an_open_engine_stays_open(self) -> None:
        with open_engine("serial") as engine:
            with hold_engine({"engine": engine}) as options:
                assert options["engine"] is engine
            assert engine.submit(int).result() == 0

    def test_options_are_checked_first(self) -> None:
        with pytest.raises(ValueError, match="retries"), hold_engine({"retries": -1}):
            pass

    def test_progress_of_each_run(self) -> None:
        told: list[Progress] = []
        with hold_engine({"engine": "serial", "progress": told.append}) as options:
            fold(range(3), options)
            fold(range(5), options)
        assert told[-1].n_done == 5
        assert 3 in [state.n_done for state in told]
