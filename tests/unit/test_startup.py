from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from scoopsci import Engine, open_engine
from scoopsci.engines.taskfuture import TaskFuture
from scoopsci.harness.startup import start_workers


def test_workers_killed_during_start_up_are_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    killed: list[int] = []
    submit = Engine.submit

    def submit_and_strike(self: Engine, *task: Any) -> TaskFuture:
        future = submit(self, *task)
        if not killed:
            killed.append(pid)
            os.kill(pid, signal.SIGKILL)
        return future

    with open_engine("processes", n_workers=2) as engine:
        pid = engine.submit(os.getpid).result()
        monkeypatch.setattr(Engine, "submit", submit_and_strike)
        assert start_workers(engine) == 2
        monkeypatch.undo()
        assert engine.submit(os.getpid).result() not in killed
    assert len(killed) == 1
