"""The contract of engines: whatever fails becomes a `TaskError`, and the engine lives."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from scoopsci import Engine, TaskError
from scoopsci.testing.opening import EngineUnderTest
from scoopsci.testing.tasks import (
    Misfit,
    Unpicklable,
    UnpicklableError,
    Ununpicklable,
    raise_error,
    raise_made,
)
from scoopsci.testing.users import users_module

__all__ = ["FailuresContract"]

RAISES = """
def raise_error(error):
    raise error
"""


FIVE_WAYS: list[tuple[str, Callable[..., Any], Callable[[], Any]]] = [
    ("pickling the task", len, Unpicklable),
    ("unpickling the task", len, Ununpicklable),
    ("running", raise_error, Misfit),
    ("pickling the result", Unpicklable, tuple),
    ("unpickling the result", Ununpicklable, tuple),
]


class FailuresContract(EngineUnderTest):
    """What a task raises, or cannot be pickled, is told with its place and its cause."""

    def test_exception_becomes_task_error(self, engine: Engine, tmp_path: Path) -> None:
        with users_module(tmp_path, f"raises_for_{self.name}", RAISES) as module:
            future = engine.submit(module.raise_error, Misfit("a", 1))
            error = future.exception(self.patience_s)
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
        error = engine.submit(fn, *arguments).exception(self.patience_s)
        assert isinstance(error, TaskError)
        assert error.stage == stage
        assert engine.submit(pow, 2, 3).result(self.patience_s) == 8

    @pytest.mark.parametrize("make", [UnpicklableError, Ununpicklable, SystemExit])
    def test_difficult_exceptions(self, engine: Engine, make: type[BaseException]) -> None:
        error = engine.submit(raise_made, make).exception(self.patience_s)
        assert isinstance(error, TaskError)
        assert make.__name__ in str(error)
        assert "raise_made" in error.remote_traceback
        assert engine.submit(pow, 2, 3).result(self.patience_s) == 8
