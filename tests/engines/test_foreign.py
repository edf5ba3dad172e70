"""Executors of other libraries: wrapped, left open, and no part of the result."""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from time import sleep
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from scoopsci import open_engine
from scoopsci.testing.bits import mixed_magnitudes


class Shuffled(ThreadPoolExecutor):
    """Ends its tasks in a random order."""

    def __init__(self, seed: int) -> None:
        super().__init__(8)
        self._rng = random.Random(seed)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        delay = self._rng.uniform(0.0, 0.03)

        def run_late() -> Any:
            sleep(delay)
            return fn(*args, **kwargs)

        return super().submit(run_late)


@pytest.mark.parametrize("chunk_target_s", [0.001, 0.1, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_random_completion_order_changes_no_bit(seed: int, chunk_target_s: float) -> None:
    expected = mixed_magnitudes(engine="serial")
    with Shuffled(seed) as executor:
        options = {"chunk_target_s": chunk_target_s, "window": 16}
        found = mixed_magnitudes(engine=executor, n_workers=8, **options)
        assert found.receipt["result"] == expected.receipt["result"]
        assert executor.submit(int).result(60) == 0  # still open: it is not ours to shut down


def fill(array: NDArray[np.float64]) -> NDArray[np.float64]:
    array[:] = 9.0
    return array


@pytest.fixture(scope="module")
def standard_pool() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        pool.submit(int).result(60)
        yield pool


class TestStandardProcesses:
    """Their queues do not support out-of-band buffers."""

    @pytest.mark.parametrize("writable", [True, False])
    def test_large_arrays_travel_both_ways(
        self, standard_pool: ProcessPoolExecutor, writable: bool
    ) -> None:
        array = np.arange(1_000_000.0)
        array.flags.writeable = writable

        def negate(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], bool]:
            return -x, x.flags.writeable

        back, was_writable = open_engine(standard_pool).submit(negate, array).result(60)
        assert np.array_equal(back, -array)
        assert was_writable is writable
        assert back.flags.writeable

    def test_estimates_have_the_serial_bits(self, standard_pool: ProcessPoolExecutor) -> None:
        found = mixed_magnitudes(engine=standard_pool)
        assert found.receipt["result"] == mixed_magnitudes(engine="serial").receipt["result"]


def test_tasks_of_threads_have_arrays_of_their_own() -> None:
    """As on any other engine: a block that writes into its input changes nobody else's."""
    array = np.zeros(1_000_000)
    with ThreadPoolExecutor(1) as pool:
        back = open_engine(pool).submit(fill, array).result(60)
    assert (array[0], back[0]) == (0.0, 9.0)
