"""The method `map` of engines."""

from __future__ import annotations

import gc
import itertools
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from scoopsci import open_engine
from scoopsci.engines.mapping import MappingExecutor


class Held(MappingExecutor):
    """Runs a task only when its result is asked for, and counts those submitted."""

    def __init__(self) -> None:
        self.futures: list[_Late] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.futures.append(_Late(lambda: fn(*args, **kwargs)))
        return self.futures[-1]

    @property
    def n_cancelled(self) -> int:
        return sum(future.cancelled() for future in self.futures)


class _Late(Future[Any]):
    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__()
        self._call = call

    def result(self, timeout: float | None = None) -> Any:
        if timeout is not None and timeout <= 0:
            raise TimeoutError
        try:
            self.set_result(self._call())
        except Exception as error:
            self.set_exception(error)
        return super().result()


@pytest.mark.parametrize("buffersize", [None, 1, 2, 100])
@pytest.mark.parametrize("chunksize", [1, 2, 3, 100])
def test_results_are_those_of_the_builtin(chunksize: int, buffersize: int | None) -> None:
    with open_engine("serial") as engine:
        found = engine.map(pow, range(7), range(9), chunksize=chunksize, buffersize=buffersize)
        assert list(found) == list(map(pow, range(7), range(9)))


@pytest.mark.parametrize(("chunksize", "n_tasks"), [(1, 7), (3, 3), (7, 1), (50, 1)])
def test_items_are_sent_in_chunks(chunksize: int, n_tasks: int) -> None:
    executor = Held()
    assert list(executor.map(abs, range(7), chunksize=chunksize)) == list(range(7))
    assert len(executor.futures) == n_tasks


def test_all_items_are_submitted_at_once_without_buffer() -> None:
    executor = Held()
    executor.map(abs, range(9))
    assert len(executor.futures) == 9


@pytest.mark.parametrize("chunksize", [1, 4])
def test_buffer_bounds_what_is_taken_of_an_endless_input(chunksize: int) -> None:
    executor, taken = Held(), itertools.count()
    found = executor.map(abs, taken, buffersize=3, chunksize=chunksize)
    assert len(executor.futures) == 3
    assert list(itertools.islice(found, chunksize)) == list(range(chunksize))
    assert len(executor.futures) == 4
    assert next(taken) == 4 * chunksize


@pytest.mark.parametrize("chunksize", [1, 2])
def test_failure_is_raised_in_its_place_and_cancels_the_rest(chunksize: int) -> None:
    executor = Held()
    found = executor.map(lambda x: 1 / x, [1, 2, 0, 4, 5, 6], chunksize=chunksize)
    assert [next(found), next(found)] == [1.0, 0.5]
    with pytest.raises(ZeroDivisionError):
        next(found)
    assert executor.n_cancelled == {1: 3, 2: 1}[chunksize]


def test_closing_cancels_the_rest() -> None:
    executor = Held()
    found = executor.map(abs, range(5))
    next(found)
    found.close()  # type: ignore[attr-defined]
    assert executor.n_cancelled == 4


def test_expired_timeout_is_raised_and_cancels_all() -> None:
    executor = Held()
    found = executor.map(abs, range(3), timeout=-1.0)
    with pytest.raises(TimeoutError):
        next(found)
    assert executor.n_cancelled == 3


class Thing:
    """Something to refer to weakly."""


@pytest.mark.parametrize("chunksize", [1, 2])
def test_results_are_freed_once_they_were_yielded(chunksize: int) -> None:
    with open_engine("serial") as engine:
        for thing in engine.map(lambda _: Thing(), range(4), chunksize=chunksize):
            alive = weakref.ref(thing)
            del thing
            gc.collect()
            assert alive() is None


@pytest.mark.parametrize("name", ["chunksize", "buffersize"])
def test_sizes_must_be_counts(name: str) -> None:
    with open_engine("serial") as engine:
        with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
            engine.map(abs, [1], **{name: 0})
        with pytest.raises(TypeError, match=f"{name} must be an integer, got 1.5"):
            engine.map(abs, [1], **{name: 1.5})
