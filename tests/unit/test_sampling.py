"""Runs that stop at a half-width: the same samples everywhere, none drawn twice."""

from __future__ import annotations

import math
import pickle
import random
import secrets
import signal
import sqlite3
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import cloudpickle
import numpy as np
import pytest

import scoopsci
from scoopsci import EngineTimeoutError, Estimate, LedgerError, NotConvergedError
from scoopsci.reporting.progress import Progress
from scoopsci.road.stopping import next_check

cloudpickle.register_pickle_by_value(sys.modules[__name__])

Rng = np.random.Generator


def draw_wide(rng: Rng, size: int) -> Any:
    """Draw numbers of all magnitudes: the bits of their sums depend on the order."""
    return np.exp(rng.standard_normal(size))


def draw_hits(rng: Rng, size: int) -> Any:
    return rng.random((size, 3)) < (0.5, 0.01, 0.001)


def draw_five(rng: Rng, size: int) -> Any:
    return rng.exponential(size=(size, 5)) * np.arange(1.0, 6.0)


def gauss(x: Any) -> Any:
    return np.exp(-np.square(x).sum(axis=1))


def find_pi(**run: Any) -> Estimate:
    return scoopsci.pi(half_width=0.01, seed=3, block_size=1_000, **run)


def find_mean(**run: Any) -> Estimate:
    return scoopsci.estimate(draw_wide, half_width=0.02, seed=3, block_size=300, **run)


def find_vector(**run: Any) -> Estimate:
    return scoopsci.estimate(draw_five, half_width=0.1, seed=3, block_size=300, **run)


def find_hits(**run: Any) -> Estimate:
    return scoopsci.estimate(draw_hits, half_width=0.02, seed=3, block_size=300, **run)


def find_integral(**run: Any) -> Estimate:
    return scoopsci.integrate(
        gauss, 0.0, 1.0, dim=3, half_width=0.002, seed=3, block_size=300, **run
    )


def find_reduced(**run: Any) -> Estimate:
    methods = [scoopsci.Antithetic(), scoopsci.ControlVariates(lambda x: x, [0.5] * 3)]
    return find_integral(variance_reduction=methods, **run)


def find_scrambled(**run: Any) -> Estimate:
    options: Any = {"half_width": 1e-4, "seed": 3, "block_size": 64}
    return scoopsci.integrate(gauss, 0.0, 1.0, dim=3, method="qmc", **options, **run)


RUNS: list[Callable[..., Estimate]] = [
    find_pi, find_mean, find_vector, find_hits, find_integral, find_reduced, find_scrambled,
]  # fmt: skip
every_run = pytest.mark.parametrize("run", RUNS, ids=lambda run: run.__name__)


def to_bits(found: Estimate) -> tuple[Any, ...]:
    numbers = (found.value, found.standard_error, found.half_width, *found.interval)
    numbers += tuple(found.convergence.values())
    return (found.n_samples, found.n_blocks, *(np.asarray(n).tobytes() for n in numbers))


class Shuffled(Executor):
    """Ends tasks after random pauses, and so in another order than that of submission."""

    def __init__(self, seed: int) -> None:
        self._rng, self._pool = random.Random(seed), ThreadPoolExecutor(4)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        pause_s = self._rng.random() * 0.004
        return self._pool.submit(self._run, pause_s, fn, args, kwargs)

    @staticmethod
    def _run(pause_s: float, fn: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        time.sleep(pause_s)
        return fn(*args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._pool.shutdown(wait, cancel_futures=cancel_futures)


class TestSameBits:
    @every_run
    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_in_any_order(self, run: Callable[..., Estimate], seed: int) -> None:
        expected = to_bits(run(engine="serial"))
        with Shuffled(seed) as executor:
            options = {"engine": executor, "n_workers": 4, "window": 3 * seed}
            assert to_bits(run(**options, chunk_target_s=10.0 ** -(seed + 1))) == expected

    @every_run
    def test_by_processes(self, run: Callable[..., Estimate]) -> None:
        expected = to_bits(run(engine="serial"))
        assert to_bits(run(engine="processes", n_workers=2)) == expected

    @every_run
    def test_of_a_run_with_that_many_samples(self, run: Callable[..., Estimate]) -> None:
        found = run(engine="serial")
        if run is find_pi:
            again: Estimate = scoopsci.pi(
                found.n_samples, seed=3, block_size=1_000, engine="serial"
            )
        elif run in (find_mean, find_vector, find_hits):
            fn = {find_mean: draw_wide, find_vector: draw_five, find_hits: draw_hits}[run]
            again = scoopsci.estimate(fn, found.n_samples, seed=3, block_size=300, engine="serial")
        else:
            return
        assert to_bits(again) == to_bits(found)


class TestConvergence:
    @every_run
    def test_ends_with_the_estimate(self, run: Callable[..., Estimate]) -> None:
        found = run(engine="serial")
        n_samples, values, half_widths = found.convergence.values()
        assert n_samples[-1] == found.n_samples
        assert np.array_equal(values[-1], found.value)
        assert np.array_equal(half_widths[-1], found.half_width)
        n_blocks = -(-n_samples // (found.n_samples // found.n_blocks))
        assert all(n.bit_count() == 1 for n in n_blocks[:-1].tolist())
        assert (np.diff(n_samples) > 0).all()
        assert values.shape == (len(n_samples), *np.shape(found.value))

    @pytest.mark.filterwarnings("ignore::scoopsci.DoubtfulEstimateWarning")
    def test_each_row_is_that_of_a_shorter_run(self) -> None:
        found = find_mean(engine="serial")
        for n, value, half_width in zip(*found.convergence.values(), strict=True):
            alone = scoopsci.estimate(draw_wide, int(n), seed=3, block_size=300, engine="serial")
            assert (alone.value, alone.half_width) == (value, half_width)

    def test_a_ledger_does_not_change_it(self, tmp_path: Path) -> None:
        ledger = tmp_path / "run.ledger"
        runs = [find_mean(engine="serial", ledger=ledger) for _ in range(2)]
        assert runs[1].receipt["run"]["n_recalled_blocks"] == runs[0].n_blocks
        assert to_bits(runs[0]) == to_bits(runs[1]) == to_bits(find_mean(engine="serial"))


class TestGoal:
    @every_run
    def test_the_first_check_that_reaches_it(self, run: Callable[..., Estimate]) -> None:
        told: list[Progress] = []
        found = run(engine="serial", progress=told.append)
        goal = found.receipt["options"]["goal_half_width"]
        assert np.max(found.half_width) <= goal
        looked = [s.half_width for s in told if s.half_width is not None and not s.ended]
        assert all(np.max(width) > goal for width in looked)
        unit, per_doubling = (16, 1) if run is find_scrambled else (1, 4)
        check = next_check(found.n_blocks - 1, unit=unit, per_doubling=per_doubling)
        assert check == found.n_blocks

    def test_relative(self) -> None:
        found = scoopsci.estimate(
            lambda rng, size: 1_000.0 + rng.normal(size=size) * 100,
            half_width=0.002, relative=True, seed=1, engine="serial",
        )  # fmt: skip
        assert found.half_width <= 0.002 * found.value
        assert found.n_samples < 20_000

    def test_higher_confidence_takes_more_samples(self) -> None:
        sizes = [find_pi(engine="serial", confidence=level).n_samples for level in (0.5, 0.95)]
        assert sizes[1] > 5 * sizes[0]

    def test_minimum_is_rounded_up_to_a_check(self) -> None:
        for least, expected in ((2_000, 2_000), (2_001, 3_000), (8_500, 10_000)):
            found = scoopsci.pi(
                half_width=1.0, seed=1, block_size=1_000, min_samples=least, engine="serial"
            )
            assert found.n_samples == expected

    def test_maximum_ends_in_an_error_with_the_estimate(self) -> None:
        with pytest.raises(NotConvergedError, match="max_samples = 5,500 were drawn") as caught:
            find_pi(engine="serial", max_samples=5_500)
        found = caught.value.estimate
        again = scoopsci.pi(5_500, seed=3, block_size=1_000, engine="serial")
        assert to_bits(found) == to_bits(again)
        assert found.receipt["result"]["value"] == found.value

    @pytest.mark.parametrize("half_width", [1e-40, 5e-324])
    @pytest.mark.parametrize("method", ["mc", "qmc"])
    def test_an_unreachable_goal_ends_at_the_first_check(
        self, half_width: float, method: Literal["mc", "qmc"]
    ) -> None:
        with pytest.raises(NotConvergedError, match="more samples than a run can draw") as caught:
            scoopsci.integrate(
                np.exp, 0.0, 1.0, half_width=half_width, seed=1, method=method, engine="serial"
            )
        assert abs(caught.value.estimate.value - math.expm1(1.0)) < 0.01

    def test_a_relative_goal_is_kept_while_the_mean_is_close_to_zero(self) -> None:
        def win(rng: np.random.Generator, size: int) -> Any:
            return np.where(rng.random(size) < 0.505, 1.1, -1.1)

        for seed in range(40):
            found = scoopsci.estimate(
                win, half_width=0.9, relative=True, seed=seed, block_size=50, min_samples=100,
                engine="serial",
            )  # fmt: skip
            assert found.half_width <= 0.9 * abs(found.value)

    def test_a_run_with_a_maximum_goes_on_to_it(self) -> None:
        with pytest.raises(NotConvergedError, match="max_samples = 20,000 were drawn"):
            scoopsci.pi(half_width=1e-12, max_samples=20_000, seed=1, engine="serial")

    def test_a_sufficient_maximum_changes_nothing(self) -> None:
        expected = find_pi(engine="serial")
        found = find_pi(engine="serial", max_samples=expected.n_samples)
        assert to_bits(found) == to_bits(expected)

    @pytest.mark.filterwarnings("ignore::scoopsci.DoubtfulEstimateWarning")
    def test_infinite_samples_end_at_the_first_check(self) -> None:
        with pytest.raises(NotConvergedError, match="no finite mean or variance") as caught:
            scoopsci.estimate(
                lambda rng, size: np.where(np.arange(size) == 3, np.nan, 1.0),
                half_width=0.1, seed=1, engine="serial",
            )  # fmt: skip
        assert math.isnan(caught.value.estimate.value)
        assert caught.value.estimate.n_blocks == 1

    @pytest.mark.filterwarnings("ignore::scoopsci.DoubtfulEstimateWarning")
    @pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
    @pytest.mark.parametrize("shape", [(), (2,)])
    def test_equal_samples_that_are_not_finite_reach_nothing(
        self, value: float, shape: tuple[int, ...]
    ) -> None:
        with pytest.raises(NotConvergedError, match=r"no finite mean .*; check") as caught:
            scoopsci.estimate(
                lambda rng, size: np.full((size, *shape), value),
                half_width=0.1, seed=1, timeout=60, engine="serial",
            )  # fmt: skip
        assert np.isnan(caught.value.estimate.standard_error).all()

    @pytest.mark.filterwarnings("ignore::scoopsci.DoubtfulEstimateWarning")
    @pytest.mark.parametrize("scale", [1e155, 1e200])
    def test_samples_whose_squares_overflow_end_the_run(self, scale: float) -> None:
        with pytest.raises(NotConvergedError, match="no finite mean or variance"):
            scoopsci.estimate(
                lambda rng, size: scale * rng.normal(size=size),
                half_width=0.1, seed=1, timeout=60, engine="serial",
            )  # fmt: skip

    @pytest.mark.filterwarnings("ignore::scoopsci.DoubtfulEstimateWarning")
    def test_equal_samples_are_not_accepted_at_once(self) -> None:
        """An event of probability 1e-4 does not occur among the first thousand."""
        found = scoopsci.estimate(
            lambda rng, size: (rng.random(size) < 1e-4).astype(float),
            half_width=1e-3, seed=5, block_size=1_000, engine="serial",
        )  # fmt: skip
        assert 0.0 < found.value < 1e-3
        assert found.half_width > 0.0

    @pytest.mark.filterwarnings("ignore::scoopsci.DoubtfulEstimateWarning")
    def test_a_constant_is_accepted_in_the_end_if_it_may_be_exact(self) -> None:
        found = scoopsci.estimate(
            lambda rng, size: np.ones(size), half_width=1e-3, seed=5, exact_ok=True, engine="serial"
        )
        assert (found.value, found.half_width) == (1.0, 0.0)
        assert found.n_samples >= 64_000
        assert found.receipt["options"]["goal_exact_ok"] is True

    @pytest.mark.filterwarnings("ignore::scoopsci.DoubtfulEstimateWarning")
    @pytest.mark.parametrize(("more", "n_samples"), [({}, 65_536), ({"max_samples": 5_000}, 5_000)])
    def test_equal_samples_end_in_an_error_with_the_remedy(
        self, more: dict[str, Any], n_samples: int
    ) -> None:
        told = r"no error, which is no information, .*; return bool .* pass exact_ok=True"
        with pytest.raises(NotConvergedError, match=told) as caught:
            scoopsci.estimate(
                lambda rng, size: np.stack([rng.random(size), np.ones(size)], axis=1),
                half_width=0.1, seed=5, engine="serial", **more,
            )  # fmt: skip
        found = caught.value.estimate
        assert found.n_samples == n_samples
        assert found.notes[0].startswith(f"All {n_samples:,} samples of column 1 are equal")

    @pytest.mark.parametrize(("more", "n_samples"), [({}, 65_536), ({"max_samples": 5_000}, 5_000)])
    def test_no_hit_is_no_relative_error(self, more: dict[str, Any], n_samples: int) -> None:
        told = "the estimate is zero, to which no half-width is relative.*give an absolute"
        with pytest.raises(NotConvergedError, match=told) as caught:
            scoopsci.estimate(
                lambda rng, size: rng.random(size) < 0.0,
                half_width=0.5, relative=True, seed=5, engine="serial", **more,
            )  # fmt: skip
        found = caught.value.estimate
        assert (found.value, found.n_samples) == (0.0, n_samples)
        assert found.half_width == pytest.approx(3.8415 / n_samples, rel=1e-3)

    def test_equal_scrambles_reach_a_half_width_only_if_they_may_be_exact(self) -> None:
        def step(x: Any) -> Any:
            return x[:, 0] < 0.25

        options: dict[str, Any] = {"half_width": 1e-3, "method": "qmc", "seed": 1}
        options |= {"block_size": 64, "engine": "serial"}
        with pytest.warns(scoopsci.DoubtfulEstimateWarning, match="error is zero although"):
            found = scoopsci.integrate(step, 0.0, 1.0, exact_ok=True, **options)
        assert (found.value, found.half_width) == (0.25, 0.0)
        with (
            pytest.warns(scoopsci.DoubtfulEstimateWarning, match="error is zero although"),
            pytest.raises(NotConvergedError, match="no information"),
        ):
            scoopsci.integrate(step, 0.0, 1.0, **options)

    @pytest.mark.parametrize(
        ("arguments", "error", "told"),
        [
            ({}, ValueError, "either a number of samples or half_width must be given, got neither"),
            ({"n_points": 5, "half_width": 0.1}, ValueError, "must be given, got both"),
            ({"half_width": 0.1, "max_samples": 0}, ValueError, "max_samples must be .*, got 0"),
            ({"half_width": 0.1, "relative": 0}, TypeError, "relative must be True .*, got 0"),
            ({"n_points": 5, "exact_ok": True}, ValueError, "exact_ok must come with half_width"),
            ({"half_width": -0.1}, ValueError, "half_width must be a positive number, got -0.1"),
            ({"n_points": 5, "relative": True}, ValueError, "relative must come with half_width"),
            (
                {"n_points": 5, "max_samples": 9},
                ValueError,
                "max_samples must come with half_width",
            ),
            (
                {"half_width": 0.1, "max_samples": 9},
                ValueError,
                "max_samples must be at least min_samples = 1000",
            ),
            ({"half_width": 0.1, "most": 9}, TypeError, "must be one of .*; got most"),
        ],
    )
    def test_wrong_arguments(
        self, arguments: dict[str, Any], error: type[Exception], told: str
    ) -> None:
        with pytest.raises(error, match=told):
            scoopsci.pi(seed=1, engine="serial", **arguments)

    def test_no_samples_and_a_half_width_are_both_given(self) -> None:
        with pytest.raises(ValueError, match="must be given, got both"):
            scoopsci.estimate(draw_wide, 0, half_width=0.1, engine="serial")


class TestProgress:
    def test_forecast(self) -> None:
        told: list[Progress] = []
        found = scoopsci.pi(
            half_width=0.004, seed=3, block_size=1_000, engine="serial", progress=told.append,
            chunk_target_s=1e-9,
        )  # fmt: skip
        late = [state for state in told if state.n_done > 50]
        assert late
        for state in late:
            assert state.n_blocks is not None
            assert abs(state.n_blocks / found.n_blocks - 1) < 0.35
            assert abs(state.estimate - math.pi) < 5 * state.half_width
            assert state.remaining_s is not None
            assert state.remaining_s >= 0.0
            assert state.remaining_worker_s is not None
            assert 0.0 <= state.remaining_worker_s <= state.remaining_s

    def test_timeout_error_names_the_estimate_so_far(self) -> None:
        with (
            pytest.raises(EngineTimeoutError) as caught,
            pytest.warns(scoopsci.DistantGoalWarning, match="half_width=1e-09 needs about"),
        ):
            scoopsci.pi(half_width=1e-9, seed=3, block_size=1_000, timeout=0.5, engine="serial")
        (note,) = caught.value.__notes__
        assert "estimate so far, in its attribute estimate: 3.1" in note


def strike_after(n_blocks: int) -> Callable[[Progress], None]:
    def strike(state: Progress) -> None:
        if state.n_done >= n_blocks and not state.ended:
            signal.raise_signal(signal.SIGINT)

    return strike


class TestEstimateSoFar:
    """What a timeout or Ctrl-C leaves is the estimate of a run with as many samples."""

    def test_of_a_timeout_without_a_half_width(self) -> None:
        def draw(rng: Rng, size: int) -> Any:
            time.sleep(0.02)
            return rng.random(size)

        options: dict[str, Any] = {"seed": 3, "block_size": 100, "engine": "serial"}
        with pytest.raises(EngineTimeoutError) as caught:
            scoopsci.estimate(draw, 10**6, timeout=0.5, **options)
        found = pickle.loads(pickle.dumps(caught.value)).estimate
        again = scoopsci.estimate(draw, found.n_samples, **options)
        assert to_bits(found) == to_bits(again)
        assert found.receipt["result"]["value"] == found.value
        assert found.receipt["run"]["engine"] == "serial"

    @every_run
    def test_of_ctrl_c(self, run: Callable[..., Estimate]) -> None:
        expected = run(engine="serial")
        least = 16 if run is find_scrambled else 3
        with pytest.raises(KeyboardInterrupt) as caught:
            run(engine="serial", progress=strike_after(least), chunk_target_s=1e-9)
        found: Estimate = caught.value.estimate  # type: ignore[attr-defined]
        assert least <= found.n_blocks <= expected.n_blocks
        assert found.convergence["n_samples"][-1] == found.n_samples
        assert np.all(np.abs(found.value - expected.value) <= 3 * found.half_width)

    @pytest.mark.parametrize("seed", [1, 2])
    def test_only_the_first_blocks_count(self, seed: int) -> None:
        with Shuffled(seed) as executor, pytest.raises(KeyboardInterrupt) as caught:
            scoopsci.estimate(
                draw_wide, 10**6, seed=3, block_size=300, engine=executor, n_workers=4,
                progress=strike_after(100), chunk_target_s=1e-9,
            )  # fmt: skip
        found: Estimate = caught.value.estimate  # type: ignore[attr-defined]
        again = scoopsci.estimate(
            draw_wide, found.n_samples, seed=3, block_size=300, engine="serial"
        )
        assert to_bits(found) == to_bits(again)

    def test_without_a_block_there_is_none(self) -> None:
        def draw(rng: Rng, size: int) -> Any:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt) as caught:
            scoopsci.estimate(draw, 1_000, seed=3, engine="serial")
        assert caught.value.estimate is None  # type: ignore[attr-defined]


def mark_and_draw(marks: Path, rng: Rng, size: int) -> Any:
    """Leave a mark for each execution of a block, by the first number of its stream."""
    samples = np.exp(0.3 * rng.standard_normal(size))
    (marks / f"{samples[0].hex()}-{size}-{secrets.token_hex(6)}").touch()
    return samples


class TestLedger:
    @pytest.fixture
    def marks(self, tmp_path: Path) -> Path:
        folder = tmp_path / "marks"
        folder.mkdir()
        return folder

    def sample(self, marks: Path, **run: Any) -> Estimate:
        def fn(rng: Rng, size: int) -> Any:
            return mark_and_draw(marks, rng, size)

        options = {"seed": 4, "block_size": 100, "engine": "serial", **run}
        return scoopsci.estimate(fn, **options)

    def count(self, marks: Path) -> Counter[str]:
        return Counter(mark.name.rsplit("-", 1)[0] for mark in marks.iterdir())

    def test_a_tighter_tolerance_draws_only_new_blocks(self, marks: Path, tmp_path: Path) -> None:
        ledger = tmp_path / "run.ledger"
        first = self.sample(marks, half_width=0.03, ledger=ledger)
        before = self.count(marks)
        second = self.sample(
            marks, half_width=0.008, ledger=ledger, engine="processes", n_workers=2
        )
        after = self.count(marks)
        assert second.n_blocks > 5 * first.n_blocks
        assert second.receipt["run"]["n_recalled_blocks"] >= first.n_blocks
        assert set(after.values()) == {1}
        assert set(before) <= set(after)
        other = tmp_path / "others"
        other.mkdir()
        assert to_bits(self.sample(other, half_width=0.008)) == to_bits(second)

    def test_a_wider_one_computes_nothing(self, marks: Path, tmp_path: Path) -> None:
        ledger = tmp_path / "run.ledger"
        self.sample(marks, half_width=0.008, ledger=ledger)
        before = self.count(marks)
        wide = self.sample(marks, half_width=0.03, ledger=ledger)
        assert wide.receipt["run"]["n_recalled_blocks"] == wide.n_blocks
        assert self.count(marks) == before

    @pytest.mark.parametrize("more", [1_950, 2_000, 5_050])
    def test_numbers_of_samples_may_grow(self, marks: Path, tmp_path: Path, more: int) -> None:
        """Also if the shorter run ended within a block: only that block is drawn again."""
        ledger = tmp_path / "run.ledger"
        self.sample(marks, n_samples=1_950, ledger=ledger)
        before = self.count(marks)
        found = self.sample(marks, n_samples=more, ledger=ledger)
        after = self.count(marks)
        assert set(after.values()) == {1}
        assert len(after) == len(before) + (0 if more == 1_950 else -(-more // 100) - 19)
        other = tmp_path / "others"
        other.mkdir()
        assert to_bits(self.sample(other, n_samples=more)) == to_bits(found)

    def test_fewer_samples_use_the_recorded_blocks(self, marks: Path, tmp_path: Path) -> None:
        ledger = tmp_path / "run.ledger"
        self.sample(marks, n_samples=6_400, ledger=ledger, chunk_target_s=1e-9)
        before = self.count(marks)
        found = self.sample(marks, n_samples=3_000, ledger=ledger)
        assert found.receipt["run"]["n_recalled_blocks"] == 30
        assert self.count(marks) == before

    def test_a_tolerance_continues_from_a_number(self, marks: Path, tmp_path: Path) -> None:
        ledger = tmp_path / "run.ledger"
        self.sample(marks, n_samples=3_250, ledger=ledger)
        found = self.sample(marks, half_width=0.008, ledger=ledger)
        after = self.count(marks)
        assert found.receipt["run"]["n_recalled_blocks"] == 32
        assert set(after.values()) == {1}

    @pytest.mark.parametrize(
        ("other", "told"),
        [
            ({"seed": 5}, "seed is 4 there and 5 here"),
            ({"block_size": 50}, "block_size is 100 there and 50 here"),
        ],
    )
    def test_two_runs_cannot_mix(
        self, marks: Path, tmp_path: Path, other: dict[str, Any], told: str
    ) -> None:
        ledger = tmp_path / "run.ledger"
        self.sample(marks, n_samples=300, ledger=ledger)
        with pytest.raises(LedgerError, match=told):
            self.sample(marks, n_samples=300, ledger=ledger, **other)

    def test_methods_and_scrambles_are_part_of_a_run(self, tmp_path: Path) -> None:
        ledger = tmp_path / "run.ledger"
        find_integral(engine="serial", ledger=ledger)
        for run in (find_reduced, find_scrambled):
            with pytest.raises(LedgerError, match="another run"):
                run(engine="serial", ledger=ledger)

    def test_no_partial_spans_a_check(self, tmp_path: Path) -> None:
        ledger = tmp_path / "run.ledger"
        find_mean(engine="processes", n_workers=2, ledger=ledger)
        with closing(sqlite3.connect(ledger)) as database:
            rows = database.execute("SELECT start, stop FROM ranges").fetchall()
        assert rows
        assert all(stop <= next_check(start) for start, stop in rows)

    def test_a_thread_may_read_the_progress(self, tmp_path: Path) -> None:
        """The callback runs in the caller's thread, as the run does."""
        seen = set()

        def note(state: Progress) -> None:
            seen.add(threading.get_ident())

        find_mean(engine="serial", ledger=tmp_path / "run.ledger", progress=note)
        assert seen == {threading.get_ident()}
