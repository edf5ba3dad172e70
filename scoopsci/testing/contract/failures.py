"""The contract of engines: what a task raises is raised here, and the engine goes on."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

import scoopsci
from scoopsci import Engine, EngineTimeoutError, TaskError, WorkerLostError
from scoopsci.testing.opening import EngineUnderTest
from scoopsci.testing.tasks import (
    ERRORS,
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


#: Exceptions by which an engine or the road would be steered, were they not a task's.
STEERING = [
    BrokenProcessPool,
    CancelledError,
    EngineTimeoutError,
    TimeoutError,
    WorkerLostError,
    TaskError,
    LookupError,
]


def describe_error(error: BaseException | None) -> Any:
    """Describe an exception, without the `TaskError` behind it and its note."""
    if error is None or isinstance(error, TaskError):
        return None
    found = {name: getattr(error, name, None) for name in dir(error) if not name.startswith("__")}
    attributes = {name: value for name, value in found.items() if not callable(value)}
    attributes.pop("exceptions", None)
    members = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    attributes["args"] = repr(error.args)
    notes = [note for note in getattr(error, "__notes__", []) if not note.startswith("task failed")]
    inner = [describe_error(each) for each in (error.__cause__, *members)]
    return type(error), str(error), attributes, notes, inner


class FailuresContract(EngineUnderTest):
    """Errors of tasks, and of pickling, come back with their stage, traceback and cause."""

    def test_exception_is_the_task_s_own(self, engine: Engine, tmp_path: Path) -> None:
        with users_module(tmp_path, f"raises_for_{self.name}", RAISES) as module:
            future = engine.submit(module.raise_error, Misfit("a", 1))
            raised = future.exception(self.patience_s)
        assert isinstance(raised, Misfit)
        assert raised.args == ("a", 1)
        error = raised.__cause__
        assert isinstance(error, TaskError)
        assert (error.stage, error.block) == ("running", None)
        assert str(error).startswith(raised.__notes__[0])
        assert "Misfit" in str(error)
        assert str(error.host) in str(error)
        assert str(error.pid) in str(error)
        first_frame = error.remote_traceback.splitlines()[1]
        assert first_frame.endswith("in raise_error")
        again = pickle.loads(cloudpickle.dumps(error))
        assert (str(again), again.host, again.pid) == (str(error), error.host, error.pid)

    @pytest.mark.parametrize(("stage", "fn", "make"), FIVE_WAYS, ids=[w[0] for w in FIVE_WAYS])
    def test_five_ways_of_pickling(
        self, engine: Engine, stage: str, fn: Callable[..., Any], make: Callable[[], Any]
    ) -> None:
        arguments = () if make is tuple else (make(),)
        raised = engine.submit(fn, *arguments).exception(self.patience_s)
        assert raised is not None
        assert isinstance(raised, Misfit if stage == "running" else TaskError)
        error = TaskError.behind(raised)
        assert error is not None
        assert error.stage == stage
        assert engine.submit(pow, 2, 3).result(self.patience_s) == 8

    @pytest.mark.parametrize("kind", ERRORS)
    def test_exception_keeps_all_that_it_has(self, engine: Engine, kind: str) -> None:
        error = engine.submit(raise_made, ERRORS[kind]).exception(self.patience_s)
        made = ERRORS[kind]()
        assert describe_error(error) == describe_error(made)
        assert TaskError.behind(error or made) is not None

    @pytest.mark.parametrize("kind", STEERING)
    def test_exception_steers_nothing_by_its_type(self, engine: Engine, kind: type[Any]) -> None:
        """A task that raises what an engine might raise ends no loop and blames no worker."""
        receipts: list[dict[str, Any]] = []

        def fail(item: int) -> int:
            if item % 10 == 7:
                raise kind("of the task")
            return item

        options: Any = {**self.options(engine), "receipt": receipts.append}
        found: list[Any] = list(scoopsci.map(fail, range(20), on_error="return", **options))
        assert [item for item, each in enumerate(found) if each != item] == [7, 17]
        assert receipts[0]["run"]["n_lost_tasks"] == receipts[0]["run"]["n_retried_tasks"] == 0
        with pytest.raises(kind, match="of the task") as caught:
            list(scoopsci.map(fail, range(20), **self.options(engine)))
        assert type(caught.value) is kind
        with pytest.raises(kind, match="of the task"):
            engine.submit(fail, 7).result(self.patience_s)
        assert engine.submit(pow, 2, 3).result(self.patience_s) == 8

    @pytest.mark.parametrize("make", [UnpicklableError, Ununpicklable, SystemExit])
    def test_difficult_exceptions(self, engine: Engine, make: type[BaseException]) -> None:
        error = engine.submit(raise_made, make).exception(self.patience_s)
        assert isinstance(error, TaskError)
        assert make.__name__ in str(error)
        assert "raise_made" in error.remote_traceback
        assert engine.submit(pow, 2, 3).result(self.patience_s) == 8
