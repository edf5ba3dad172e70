"""The warning of a distant goal: when it comes, and what it says."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest

import scoopsci
from scoopsci import DistantGoalWarning, EngineTimeoutError, cli
from scoopsci.reporting.progress import Progress
from scoopsci.road.outlook import Outlook
from scoopsci.road.stopping import Goal, Supply

DAY_S = 86_400


def look(
    n_projected: float, max_samples: int | None = None, sample_s: float = 1.0, n_recalled: int = 0,
    **goal: Any,
) -> list[str]:  # fmt: skip
    """Return the warnings at 10 blocks of 1,000 samples, of two workers, and at 20 again."""
    outlook = Outlook(
        Goal(half_width=1e-3, max_samples=max_samples, **goal), Supply(1_000, None), "samples"
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for n_done in (10, 20):
            state = Progress(
                n_done, None, 0, 0, 1.0, n_recalled=n_recalled, n_workers=2,
                worker_s=sample_s * 1_000 * (n_done - n_recalled),
            )  # fmt: skip
            outlook.look(n_projected, state)
    return [str(warning.message) for warning in caught]


def test_more_than_a_day_is_told_once_with_samples_and_time() -> None:
    told = look(10_000 + 2 * 3.5 * DAY_S)
    assert told == [
        "half_width=0.001 needs about 6.1e+05 samples, about 3.5 days at the present rate"
    ]
    assert look(10_000 + 2 * 0.99 * DAY_S) == []


def test_a_maximum_that_is_too_small_is_told_if_it_takes_more_than_a_minute() -> None:
    (told,) = look(20_000, max_samples=10_130)
    assert told.endswith("about 1:23 h at the present rate; the run ends at max_samples=10,130")
    assert look(20_000, max_samples=10_110) == []
    assert look(1e12, max_samples=10_110) == []
    assert look(20_000, max_samples=20_000) == []


def test_the_rate_is_that_of_computed_blocks() -> None:
    """Of recalled ones alone it is unknown, and then told later."""
    n_needed = 20_000 + 2 * 2.0 * DAY_S
    assert len(look(n_needed, n_recalled=5)) == 1
    (told,) = look(n_needed, n_recalled=10)
    assert "about 2.0 days" in told


def test_a_relative_goal_is_called_so() -> None:
    (told,) = look(1e9, relative=True)
    assert told.startswith("half_width=0.001 of the estimate needs about 1e+09 samples")


def test_a_hopeless_goal_is_told_while_the_run_goes_on() -> None:
    def draw(rng: np.random.Generator, size: int) -> Any:
        return rng.random(size)

    with (
        pytest.warns(
            DistantGoalWarning, match=r"half_width=1e-09 needs about 3\.\de\+17"
        ) as caught,
        pytest.raises(EngineTimeoutError) as ended,
    ):
        scoopsci.estimate(draw, half_width=1e-9, seed=1, timeout=0.5, engine="serial")
    assert [warning.filename for warning in caught] == [__file__]
    assert ended.value.estimate.n_samples > 4_096


def test_the_command_line_tells_it_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(options: argparse.Namespace) -> None:
        warnings.warn("it needs 1e+17 samples", DistantGoalWarning, stacklevel=2)
        warnings.warn("something else", UserWarning, stacklevel=2)

    monkeypatch.setattr("scoopsci.commands.montecarlo._run_pi", run)
    with pytest.warns(UserWarning, match="something else"):
        assert cli.main(["pi"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "scoopsci: it needs 1e+17 samples\n"


def test_the_line_of_a_real_command() -> None:
    command = [
        sys.executable,
        "-m",
        "scoopsci",
        "pi",
        "--half-width",
        "1e-10",
        "--engine",
        "serial",
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        line = running.stderr.readline()
        running.send_signal(signal.SIGINT)
        rest = running.stderr.read()
    assert line.startswith("scoopsci: half_width=1e-10 needs about ")
    assert line.endswith("at the present rate\n")
    assert rest == "scoopsci pi: interrupted\n"
    assert running.returncode == 130
