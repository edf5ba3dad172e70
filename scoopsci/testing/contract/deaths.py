"""The contract of engines: when workers die, no result is lost or counted twice."""

from __future__ import annotations

import operator
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import scoopsci
from scoopsci import Engine, PoisonTaskError, WorkerLostError
from scoopsci.road.chunks import FoldBlocks
from scoopsci.road.dispatch import Dispatch
from scoopsci.road.options import DispatchOptions
from scoopsci.testing.opening import EngineUnderTest
from scoopsci.testing.tasks import CallBlocks, die_at_four, note

__all__ = ["DeathsContract"]


class DeathsContract(EngineUnderTest):
    """The engine survives the death of its workers, and names a block that kills them."""

    @pytest.fixture
    def mortal_engine(self, engine: Engine) -> Engine:
        """Return the engine, whose workers the test kills.

        Returns
        -------
        Engine
            The engine.
        """
        if not self.workers_can_die:
            pytest.skip(f"workers of engine {self.name!r} must not die: workers_can_die is False")
        return engine

    def dispatch(
        self, engine: Engine, run_block: Callable[[int, Any], int], n_blocks: int
    ) -> Dispatch[int]:
        """Return a dispatch of blocks whose results are added up.

        Parameters
        ----------
        engine : Engine
            The engine.
        run_block : callable
            Gets the index of a block, and its input.
        n_blocks : int
            Number of blocks.

        Returns
        -------
        Dispatch
            Not started yet.
        """
        work = FoldBlocks(CallBlocks(run_block), operator.add)
        options = DispatchOptions(timeout=self.patience_s)
        return Dispatch(engine, work, range(n_blocks), options, n_blocks=n_blocks)

    def test_death_of_a_worker(self, mortal_engine: Engine) -> None:
        with pytest.raises(WorkerLostError):
            mortal_engine.submit(os._exit, 3).result(self.patience_s)
        assert mortal_engine.submit(pow, 2, 5).result(self.patience_s) == 32

    def test_a_poisonous_block_is_named_and_the_driver_lives(self, mortal_engine: Engine) -> None:
        def run_block(block: int, _: object) -> int:
            time.sleep(0.01)
            if block == 5:
                os._exit(7)
            return block

        with pytest.raises(PoisonTaskError) as caught:
            list(self.dispatch(mortal_engine, run_block, 10))
        assert caught.value.block == 5
        assert mortal_engine.submit(pow, 2, 5).result(self.patience_s) == 32

    def test_poison_is_returned_in_place(self, mortal_engine: Engine) -> None:
        found: list[Any] = list(
            scoopsci.map(die_at_four, range(12), on_error="return", **self.options(mortal_engine))
        )
        assert isinstance(found[4], PoisonTaskError)
        assert found[4].block == 4
        assert found[:4] + found[5:] == [item for item in range(12) if item != 4]
        assert mortal_engine.submit(pow, 2, 5).result(self.patience_s) == 32

    def test_no_block_is_lost_or_counted_twice_when_workers_die(
        self, mortal_engine: Engine, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        marks = tmp_path_factory.mktemp("marks")

        def run_block(block: int, _: object) -> int:
            time.sleep(0.02)
            mark = marks / str(block)
            if block in (3, 11) and not mark.exists():
                mark.touch()
                os._exit(1)
            return int(10**block)

        walk = self.dispatch(mortal_engine, run_block, 16)
        assert sum(partial for _, partial in walk) == int("1" * 16)
        assert walk.retries.n_lost >= 2

    def test_a_map_survives_its_workers(self, mortal_engine: Engine, tmp_path: Path) -> None:
        def visit(item: int) -> float:
            if item in (3, 11) and note(tmp_path, item) == 1:
                os._exit(1)
            time.sleep(0.01)
            return 10.0 ** (item - 8)

        receipts: list[dict[str, Any]] = []
        options: Any = self.options(mortal_engine, receipt=receipts.append)
        found = scoopsci.map_reduce(visit, operator.add, range(16), **options)
        expected = scoopsci.map_reduce(
            lambda item: 10.0 ** (item - 8), operator.add, range(16), engine="serial"
        )
        assert found.hex() == expected.hex()
        assert receipts[0]["run"]["n_lost_tasks"] >= 2
