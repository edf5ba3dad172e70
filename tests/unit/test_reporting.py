"""Progress: what is reported, and how it is shown."""

from __future__ import annotations

import io
import sys
from typing import Any

import numpy as np
import pytest
from tqdm import tqdm

import scoopsci
from scoopsci.reporting.bars import describe, open_progress
from scoopsci.reporting.progress import Progress

tqdm.monitor_interval = 0  # its thread would outlive the test


def draw(rng: np.random.Generator, size: int) -> Any:
    return rng.exponential(size=size)


def state(n_done: int = 30, n_blocks: int | None = 40, **more: Any) -> Progress:
    return Progress(**{"n_in_flight": 4, "n_lost": 0, "elapsed_s": 6.0, **more}, n_done=n_done,
                    n_blocks=n_blocks)  # fmt: skip


class TestProgress:
    def test_rate_excludes_blocks_from_the_ledger(self) -> None:
        assert state(30, n_recalled=10).rate == pytest.approx(20 / 6)
        assert state(30, n_samples=3_000, n_recalled=10).rate == pytest.approx(2_000 / 6)
        assert state(0, elapsed_s=0.0).rate == 0.0

    def test_share(self) -> None:
        assert state(30, 40).share == 0.75
        assert state(30, None).share is None
        assert state(50, 40).share == 1.0, "more than was forecast"
        assert state(0, 0).share == 0.0


class TestDescribe:
    def test_of_a_monte_carlo_run(self) -> None:
        told = describe(
            state(
                estimate=3.14159, half_width=0.00123, n_samples=12_000_000, n_workers=4, n_lost=2,
                unit="points",
            )
        )  # fmt: skip
        assert told == [
            *("75 %", "3.1416 ± 0.0012", "2 s left", "2 repeated", "4 workers", "2 M points/s"),
        ]

    def test_of_a_vector(self) -> None:
        told = describe(state(estimate=np.zeros(3), half_width=np.array([0.1, 0.3, 0.2])))
        assert "3 estimates, ± 0.3 at most" in told

    def test_of_a_run_of_unknown_length(self) -> None:
        assert describe(state(1_234_567, None))[:2] == ["1,234,567 blocks", "6 s"]

    @pytest.mark.parametrize("n_blocks", [None, 0, 1])
    def test_at_the_very_start(self, n_blocks: int | None) -> None:
        assert describe(state(0, n_blocks, elapsed_s=0.0))


class TestBarsOfOthers:
    def test_an_instance_is_advanced_and_left_open(self) -> None:
        shown = io.StringIO()
        with tqdm(file=shown) as bar:
            scoopsci.estimate(draw, 100_000, seed=1, engine="serial", progress=bar)
            assert bar.total == bar.n == 25
            bar.update(0)
        assert "25/25" in shown.getvalue()

    def test_a_class_is_called_and_closed(self, capsys: pytest.CaptureFixture[str]) -> None:
        list(scoopsci.map(abs, range(1_000), engine="serial", progress=tqdm))
        assert "1000/1000" in capsys.readouterr().err

    def test_a_forecast_updates_the_total(self) -> None:
        with tqdm(file=io.StringIO()) as bar:
            found = scoopsci.estimate(
                draw, half_width=0.01, seed=1, engine="serial", progress=bar
            )  # fmt: skip
            assert bar.n == found.n_blocks

    @pytest.mark.parametrize("progress", [3, "bar", object()])
    def test_something_else_is_refused(self, progress: Any) -> None:
        with pytest.raises(TypeError, match=r"must be True, a callable, or a bar .* got"):
            scoopsci.pi(1_000, engine="serial", progress=progress)


class TestNotShown:
    @pytest.mark.parametrize("progress", [None, False])
    def test_off(self, progress: bool | None) -> None:
        with open_progress(progress) as callback:
            assert callback is None

    def test_true_is_quiet_where_there_is_no_terminal(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        scoopsci.pi(1_000_000, seed=1, engine="serial", progress=True)
        assert capsys.readouterr() == ("", "")

    def test_true_is_quiet_without_stderr(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stderr", None)
        scoopsci.pi(1_000_000, seed=1, engine="serial", progress=True)


class TestWatchers:
    def test_watchers_see_each_run_of_an_engine_to_its_end(self) -> None:
        told: list[Progress] = []
        with scoopsci.open_engine("processes", n_workers=2) as engine:
            engine.watchers.append(told.append)
            found = scoopsci.pi(30_000_000, seed=1, engine=engine, block_size=1 << 20)
            list(scoopsci.map(abs, range(10), engine=engine))
        assert [s.workload for s in told if s.ended] == ["pi", "map"]
        (last,) = (s for s in told if s.ended and s.workload == "pi")
        assert last.n_done == last.n_blocks == found.n_blocks
        assert last.n_samples == 30_000_000
        assert (last.estimate, last.half_width) == (found.value, found.half_width)
        assert last.unit == "points"
        assert last.n_workers == 2
        assert sum(worker["n_blocks"] for worker in last.workers) == found.n_blocks
        assert len({(s.workload, s.started_s) for s in told}) == 2

    def test_watchers_see_a_run_before_its_first_task_ends(self) -> None:
        told: list[Progress] = []
        with scoopsci.open_engine("serial") as engine:
            engine.watchers.append(told.append)
            list(scoopsci.map(abs, range(10), engine=engine))
        assert (told[0].workload, told[0].n_done, told[0].ended) == ("map", 0, False)

    def test_watchers_see_the_end_of_a_run_that_fails(self) -> None:
        told: list[Progress] = []
        with scoopsci.open_engine("serial") as engine:
            engine.watchers.append(told.append)
            with pytest.raises(ValueError, match="invalid literal"):
                list(scoopsci.map(int, ["1", "x"], engine=engine))
        assert told[-1].ended
        assert told[-1].n_done < 2

    def test_estimate_of_a_run_of_fixed_size_converges(self) -> None:
        told: list[Progress] = []
        scoopsci.estimate(
            draw, 400_000, seed=1, engine="serial", progress=told.append, chunk_target_s=1e-9,
            block_size=1_000,
        )  # fmt: skip
        assert told[0].estimate is not None
        assert all(abs(s.estimate - 1.0) < 6 * s.half_width for s in told)
        assert told[-1].half_width < 0.2 * told[0].half_width

    @pytest.mark.filterwarnings("ignore:The error is zero:scoopsci.DoubtfulEstimateWarning")
    def test_estimate_by_scrambles_is_there_from_the_first_block(self) -> None:
        told: list[Progress] = []
        found = scoopsci.integrate(
            lambda x: x.sum(axis=1), 0, 1, 1 << 18, dim=2, method="qmc", seed=1, engine="serial",
            progress=told.append, chunk_target_s=1e-9,
        )  # fmt: skip
        assert told[0].estimate is not None, "each block has points of all scrambles"
        assert told[-1].estimate == pytest.approx(found.value, abs=2 * found.half_width + 1e-12)
