"""The contract of engines: the map family."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scoopsci
from scoopsci import Engine, EngineTimeoutError, LedgerError, TaskError
from scoopsci.testing.opening import EngineUnderTest
from scoopsci.testing.tasks import (
    Misfit,
    Unpicklable,
    fail_at_seven,
    make_unpicklable,
    note,
    sleep_and_return,
)

__all__ = ["MapContract"]


class MapContract(EngineUnderTest):
    """Maps are lazy, ordered and resumable, and each error takes the place of its result."""

    @pytest.mark.parametrize("chunk_target_s", [1e-9, 0.1])
    def test_a_map_is_that_of_the_built_in(self, engine: Engine, chunk_target_s: float) -> None:
        columns: list[Any] = [range(90), "abc" * 30, iter(range(100)), np.arange(95.0)]
        run = self.options(engine, chunk_target_s=chunk_target_s)
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

        options = self.options(engine, window=5, chunk_target_s=1e-9)
        with scoopsci.map_as_completed(abs, count(), **options) as results:
            for n_told, _ in enumerate(itertools.islice(results, 30), 1):
                assert n_taken <= n_told + 5
        n_left = n_taken
        assert engine.submit(pow, 2, 5).result(self.patience_s) == 32
        assert n_taken == n_left

    def test_maps_share_an_engine(self, engine: Engine) -> None:
        first = scoopsci.map(abs, itertools.count(), **self.options(engine))
        second = scoopsci.map(str, first, **self.options(engine))
        assert list(itertools.islice(second, 300)) == [str(item) for item in range(300)]
        second.close()
        first.close()

    def test_errors_are_returned_in_place(self, engine: Engine) -> None:
        found: list[Any] = list(
            scoopsci.map(fail_at_seven, range(30), on_error="return", **self.options(engine))
        )
        for item, result in enumerate(found):
            if item % 10 == 7:
                assert isinstance(result, TaskError)
                assert isinstance(result.error, Misfit)
                assert (result.block, result.error.args) == (item, ("of item", item))
            else:
                assert result == item
        with pytest.raises(Misfit) as caught:
            list(scoopsci.map(fail_at_seven, range(17), **self.options(engine)))
        failed = caught.value.__cause__
        assert isinstance(failed, TaskError)
        assert failed.block == 7

    def test_what_cannot_be_pickled_is_returned_in_place(self, engine: Engine) -> None:
        items: list[Any] = [*range(20)]
        items[3] = Unpicklable()
        found: list[Any] = list(
            scoopsci.map(repr, items, on_error="return", **self.options(engine))
        )
        assert (found[3].block, found[3].stage) == (3, "pickling the task")
        assert found[:3] + found[4:] == [repr(item) for item in range(20) if item != 3]
        found = list(
            scoopsci.map(make_unpicklable, range(20), on_error="return", **self.options(engine))
        )
        assert (found[5].block, found[5].stage) == (5, "pickling the result")
        assert found[:5] + found[6:] == [item for item in range(20) if item != 5]

    def test_items_are_tried_as_often_as_allowed(self, engine: Engine, tmp_path: Path) -> None:
        def fail(item: int) -> int:
            if note(tmp_path, item) <= item % 4:
                raise Misfit
            return item

        options = self.options(engine, retries=2, on_error="return")
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
        options["timeout"] = self.patience_s
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

    def test_timeout_ends_a_map(self, engine: Engine) -> None:
        results = scoopsci.map(
            sleep_and_return, itertools.repeat(0.02), itertools.count(), timeout=0.3, engine=engine
        )
        with pytest.raises(EngineTimeoutError, match=r"timeout of 0\.3 s"):
            list(results)
        assert engine.submit(pow, 2, 5).result(self.patience_s) == 32
