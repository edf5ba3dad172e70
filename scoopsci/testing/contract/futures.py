"""The contract of engines: futures of the standard library, and an end that leaves nothing."""

from __future__ import annotations

import concurrent.futures
import os
import threading
from typing import Any

import pytest

from scoopsci import Engine
from scoopsci.testing.leaks import check_leaks
from scoopsci.testing.opening import EngineUnderTest
from scoopsci.testing.tasks import sleep_and_return

__all__ = ["FuturesContract"]


class FuturesContract(EngineUnderTest):
    """An engine is an executor of the standard library's kind, from its start to its end."""

    def test_submit_returns_a_future_of_the_standard_library(self, engine: Engine) -> None:
        future = engine.submit(pow, 2, exp=10)
        assert isinstance(future, concurrent.futures.Future)
        assert future.result(self.patience_s) == 1024
        assert future.done()
        assert not future.running()
        assert not future.cancel()

    def test_report_names_host_and_process(self, engine: Engine) -> None:
        future = engine.submit(os.getpid)
        assert future.result(self.patience_s) == future.report["pid"]
        assert (future.report["pid"] == os.getpid()) is self.in_caller
        assert {"host", "python", "numpy", "battery", "elapsed_s"} <= set(future.report)

    def test_map_keeps_the_order(self, engine: Engine) -> None:
        delays = [0.05, 0.0, 0.02, 0.0, 0.01]
        assert list(engine.map(sleep_and_return, delays, range(5), timeout=self.patience_s)) == [
            *range(5)
        ]

    def test_empty_map(self, engine: Engine) -> None:
        assert list(engine.map(abs, [])) == []

    def test_wait_and_as_completed_of_the_standard_library(self, engine: Engine) -> None:
        futures = [engine.submit(sleep_and_return, 0.01, i) for i in range(20)]
        assert not concurrent.futures.wait(futures, timeout=self.patience_s).not_done
        futures = [engine.submit(sleep_and_return, 0.01, i) for i in range(20)]
        found = [f.result() for f in concurrent.futures.as_completed(futures, self.patience_s)]
        assert sorted(found) == [*range(20)]

    def test_callbacks_run_once_with_the_future(self, engine: Engine) -> None:
        called, seen = threading.Event(), []

        def note(future: concurrent.futures.Future[Any]) -> None:
            seen.append(future.result())
            called.set()

        future = engine.submit(sleep_and_return, 0.05, "value")
        future.add_done_callback(note)
        assert called.wait(self.patience_s)
        assert seen == ["value"]

    def test_shutdown_refuses_further_tasks(self, engine: Engine) -> None:
        with self.open_engine() as other:
            future = other.submit(sleep_and_return, 0.2, "finished")
        assert future.result(timeout=0) == "finished"
        with pytest.raises(RuntimeError, match="shut down"):
            other.submit(int)
        other.shutdown()

    def test_it_leaves_nothing_behind(self, engine: Engine) -> None:
        """Once it is closed: the one of all tests has opened what is opened once."""
        with check_leaks(), self.open_engine() as other:
            assert other.submit(pow, 2, 5).result(self.patience_s) == 32
