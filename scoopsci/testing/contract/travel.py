"""The contract of engines: what is sent to workers and back."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scoopsci
from scoopsci import Engine
from scoopsci.testing.opening import EngineUnderTest
from scoopsci.testing.tasks import meet, talk

__all__ = ["TravelContract"]


class TravelContract(EngineUnderTest):
    """Large arrays, the output of tasks, and large functions, sent once to each worker."""

    @pytest.mark.parametrize("writable", [True, False])
    def test_arrays_of_100_mb(self, engine: Engine, writable: bool) -> None:
        array = np.arange(12_500_000, dtype=np.float64)
        array.flags.writeable = writable

        def negate(x: np.ndarray) -> tuple[np.ndarray, bool]:
            flag = x.flags.writeable
            if flag:
                x[0] = 99.0  # a task's own copy
            return -x, flag

        back, seen_writable = engine.submit(negate, array).result(self.patience_s)
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
        with warned_here if self.in_caller else warnings.catch_warnings():
            warnings.simplefilter("default")  # the filters of the caller's program count
            future = engine.submit(talk)
            pid = future.result(self.patience_s)
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

    def test_what_a_large_function_carries_is_sent_once_to_each_worker(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        load, receipts = np.ones(10_000_000, np.uint8), list[dict[str, Any]]()
        n_workers = engine.n_workers
        assert n_workers

        def visit(item: int) -> int:
            meet(tmp_path, n_workers)  # or one worker could take all before another is awake
            return int(load[item])

        options = self.options(engine, chunk_target_s=1e-9, receipt=receipts.append)
        assert sum(scoopsci.map(visit, range(100), **options)) == 100
        # A worker that is not among the first to take a task asks for it.
        assert 1e7 * n_workers <= receipts[0]["run"]["sent_bytes"] <= 1e7 * 2 * n_workers
