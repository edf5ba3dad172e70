"""The contract, for local processes."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from scoopsci import Engine, EngineError, PoisonTaskError, estimate
from tests.engines.contract import WorkersContract


def die(rng: np.random.Generator, size: int) -> np.ndarray:
    os._exit(1)


def draw_slowly(rng: np.random.Generator, size: int) -> np.ndarray:
    time.sleep(0.2)
    return rng.random(size)


class TestProcesses(WorkersContract):
    name = "processes"

    @pytest.mark.slow
    def test_the_poison_of_one_run_is_not_blamed_on_another(self, engine: Engine) -> None:
        with ThreadPoolExecutor(2) as threads:
            guilty = threads.submit(estimate, die, 10, seed=1, engine=engine)
            innocent = threads.submit(
                estimate, draw_slowly, 40, seed=1, block_size=10, engine=engine
            )
            assert (
                innocent.result(60).value
                == estimate(draw_slowly, 40, seed=1, block_size=10, engine="serial").value
            )
            with pytest.raises((PoisonTaskError, EngineError)):
                guilty.result(60)
