"""Executors of other libraries: wrapped, left open, and no part of the result."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from time import sleep
from typing import Any

import pytest

from tests.engines.contract import mixed_magnitudes


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
