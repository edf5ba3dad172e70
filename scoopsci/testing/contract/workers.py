"""The contract of engines whose workers are processes of their own."""

from __future__ import annotations

import concurrent.futures
import contextlib
import time
from pathlib import Path

import pytest

import scoopsci
from scoopsci import Engine, EngineError, TaskError
from scoopsci.testing.opening import EngineUnderTest
from scoopsci.testing.tasks import Misfit, raise_made, sleep_and_return
from scoopsci.testing.users import users_module

__all__ = ["ProcessesContract"]

SCALES = """
FACTOR = 16

def scale(x):
    return FACTOR * x
"""


class ProcessesContract(EngineUnderTest):
    """The driver can wait for tasks with a timeout, cancel them, and leave them behind."""

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
        assert future.result(self.patience_s) == "late"

    def test_cancel_of_a_waiting_task(self, engine: Engine) -> None:
        blockers = [
            engine.submit(sleep_and_return, 0.5, None) for _ in range(12 * engine.n_workers)
        ]
        assert blockers[-1].cancel()
        assert blockers[-1].cancelled()
        for blocker in blockers[2 * engine.n_workers :]:
            blocker.cancel()
        assert not concurrent.futures.wait(blockers, timeout=self.patience_s).not_done
        with pytest.raises(concurrent.futures.CancelledError):
            blockers[-1].result(timeout=0)

    def test_shutdown_can_cancel_what_has_not_started(self, engine: Engine) -> None:
        other = self.open_engine()
        tasks = [other.submit(sleep_and_return, 0.1, i) for i in range(20 * other.n_workers)]
        tasks[0].result(self.patience_s)
        other.shutdown(cancel_futures=True)
        assert all(task.done() for task in tasks)
        ended = {i: task for i, task in enumerate(tasks) if not task.cancelled()}
        assert [task.result(timeout=0) for task in ended.values()] == list(ended)
        assert len(ended) < len(tasks)

    def test_an_error_in_the_block_does_not_wait_for_tasks(self, engine: Engine) -> None:
        other = self.open_engine()
        with contextlib.suppress(Misfit), other:
            long = other.submit(sleep_and_return, 8.0, None)
            time.sleep(0.5)
            raise Misfit
        # Ended with its worker, or given up where the pool is not ours.
        assert long.cancelled() or long.running() or isinstance(long.exception(0), EngineError)
        assert engine.submit(int).result(self.patience_s) == 0

    def test_keyboard_interrupt_of_a_task_is_a_task_error(self, engine: Engine) -> None:
        error = engine.submit(raise_made, KeyboardInterrupt).exception(self.patience_s)
        assert isinstance(error, TaskError)
        assert isinstance(error.__cause__, KeyboardInterrupt)

    def test_a_module_of_the_user_s_is_as_the_driver_has_it(
        self, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Even if workers could import an older version of the file."""
        with users_module(tmp_path, f"users_{self.name}", SCALES) as module:
            monkeypatch.setattr(module, "FACTOR", 32)
            assert engine.submit(module.scale, 2).result(self.patience_s) == 64
            found = list(scoopsci.map(module.scale, range(4), **self.options(engine)))
            assert found == [0, 32, 64, 96]
