"""The contract, for local processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from scoopsci import Engine, EngineError, PoisonTaskError, estimate
from scoopsci.engines.mapped import can_map
from scoopsci.engines.opening import open_engine
from scoopsci.engines.processes import N_STARTS
from scoopsci.testing.engines import WorkersContract


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


def add_one(values: np.ndarray) -> tuple[float, bool, bool]:
    if values.flags.writeable:
        values[0, 0] += 1.0
    is_mapped = "memfd:scoopsci" in Path("/proc/self/maps").read_text()
    return float(values.sum()), values.flags.writeable, is_mapped


def count_files() -> int:
    return len(os.listdir("/proc/self/fd"))


class TestLargeArguments:
    """They are files in memory, which workers map."""

    @pytest.mark.parametrize("maps", [True, False])
    @pytest.mark.parametrize("order", ["C", "F"])
    def test_workers_have_their_own(self, maps: bool, order: Literal["C", "F"]) -> None:
        values = np.ones((1_000, 1_000), order=order)
        fixed = values.copy()
        fixed.flags.writeable = False
        with open_engine("processes", n_workers=2) as engine:
            assert engine._executor._maps  # type: ignore[attr-defined]
            engine._executor._maps = maps  # type: ignore[attr-defined]
            assert list(engine.map(add_one, [values] * 4)) == [(1e6 + 1, True, maps)] * 4
            assert engine.submit(add_one, fixed).result() == (1e6, False, maps)
        assert values.sum() == 1e6

    def test_few_files_are_open_at_a_time(self) -> None:
        values = np.ones(1_000_000)
        with open_engine("processes", n_workers=2) as engine:
            assert engine.submit(np.sum, values).result() == 1e6
            n_before = count_files()
            tasks = [engine.submit(np.sum, values) for _ in range(500)]
            n_most = max(count_files() for task in tasks if task.result() == 1e6)
            assert n_most <= n_before + 10
            tasks[-1].result()
            lost = [engine.submit(os._exit, 3), *(engine.submit(np.sum, values) for _ in range(9))]
            assert isinstance(lost[0].exception(), EngineError)
            wait(lost)
            assert engine.submit(np.sum, values).result() == 1e6
            assert count_files() <= n_before + 10

    def test_another_user_may_not_open_them(self) -> None:
        """As workers of a program that has changed its user since it was started."""
        assert can_map(os.getpid())
        pid = os.fork()
        if pid == 0:
            with suppress(PermissionError):  # of another user than root already
                os.setuid(65534)
            os._exit(can_map(1))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


class TestStart:
    def test_no_more_workers_than_a_machine_can_have(self) -> None:
        with (
            pytest.raises(ValueError, match=r"workers must be .* from 1 to 4096, got 100000"),
            open_engine("processes", n_workers=100_000),
        ):
            pass

    @pytest.mark.parametrize("n_deaths", [2, 3])
    def test_workers_that_end_while_they_start_are_started_again(
        self, n_deaths: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def die_at_first(*_: object) -> None:
            for death in range(n_deaths):
                with suppress(FileExistsError):
                    (tmp_path / str(death)).touch(exist_ok=False)
                    os._exit(1)

        monkeypatch.setattr("scoopsci.engines.processes._set_up", die_at_first)
        with ExitStack() as stack:
            if n_deaths == N_STARTS:
                stack.enter_context(pytest.raises(EngineError, match="do not start"))
            engine = stack.enter_context(open_engine("processes", n_workers=1))
            assert engine.submit(abs, -3).result() == 3
        assert len(list(tmp_path.iterdir())) == n_deaths

    def test_modules_of_the_working_folder_hide_none(self, tmp_path: Path) -> None:
        (tmp_path / "random.py").write_text("print('hidden')\n")
        command = [sys.executable, "-P", "-m", "scoopsci", "pi", "--points", "10", "--json"]
        done = subprocess.run(
            [*command, "--engine", "processes"], cwd=tmp_path, capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        assert done.stderr == ""
        assert json.loads(done.stdout)["n_points"] == 10
