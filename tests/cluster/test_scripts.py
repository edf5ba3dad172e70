"""The scripts under plain ``python -m scoop`` on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from scoopsci import estimate, pi
from scoopsci.engines.scoop import OPEN
from tests.cluster.mixed_program import draw
from tests.conftest import (
    REPOSITORY,
    RunScoop,
    becomes,
    end_session,
    start_scoop,
    wait_for_end,
)
from tests.sizes import has_worked, points_taking, start_up_s, wait_for_records

SCRIPT = Path("scoopsci") / "montecarlo.py"
HOSTFILE = ("--hostfile", REPOSITORY / "hostfile")
OPTIONS = ("--points", "50000000", "--seed", "7", "--json")
BITS = ("estimate", "n_inside", "half_width", "standard_error", "interval", "n_blocks")


@pytest.fixture(scope="module")
def serial() -> dict[str, Any]:
    """Compute the reference here, in the caller."""
    result = pi(50_000_000, seed=7, engine="serial")
    return {**result.receipt["result"], "estimate": result.value, "n_blocks": result.n_blocks}


@pytest.mark.parametrize("n", [None, 1, 2, 5])
def test_same_bits_under_scoop(run_scoop: RunScoop, serial: dict[str, Any], n: int | None) -> None:
    done = run_scoop(*HOSTFILE, SCRIPT, *OPTIONS, n=n)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {key: found[key] for key in BITS} == {key: serial[key] for key in BITS}
    assert (found["engine"], found["n_workers"]) == ("scoop", n or 2)


def test_same_bits_from_within_the_package_folder(
    run_scoop: RunScoop, serial: dict[str, Any]
) -> None:
    done = run_scoop(
        "--hostfile", "../hostfile", "montecarlo.py", *OPTIONS, cwd=REPOSITORY / "scoopsci"
    )
    found = json.loads(done.stdout)
    assert {key: found[key] for key in BITS} == {key: serial[key] for key in BITS}


def test_same_bits_by_processes(serial: dict[str, Any]) -> None:
    command = [sys.executable, "-m", "scoopsci", "pi", *OPTIONS]
    done = subprocess.run(
        [*command, "--engine", "processes", "--workers", "3"],
        capture_output=True,
        check=True,
        text=True,
        timeout=100,
    )
    found = json.loads(done.stdout)
    assert {key: found[key] for key in BITS} == {key: serial[key] for key in BITS}
    assert found["n_workers"] == 3


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--points", "0"), "at least 1, got 0"),
        (("--workers", "7"), "the SCOOP pool has 2 workers, got --workers=7"),
        (("--hostfile", "hostfile"), "the SCOOP pool has its hosts already"),
        (("--engine", "warp"), "engine must be one of auto"),
    ],
)
def test_wrong_use_under_scoop_is_one_line(
    run_scoop: RunScoop, arguments: tuple[str, ...], told: str
) -> None:
    done = run_scoop(*HOSTFILE, "-q", SCRIPT, *arguments)
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert told in done.stderr


@pytest.mark.parametrize(
    ("option", "value", "n_lines"), [((), "", 1), (("--quiet",), "", 0), ((), "1", 0)]
)
def test_an_open_pool_is_reported_in_one_line(
    run_scoop: RunScoop,
    option: tuple[str, ...],
    value: str,
    n_lines: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SCOOPSCI_OPEN_POOL", value)
    done = run_scoop(*HOSTFILE, "-q", SCRIPT, "--points", "1000", "--seed", "3", *option)
    assert done.stderr.splitlines() == [OPEN] * n_lines
    assert "scoopsci run" in OPEN
    assert done.stdout


@pytest.fixture
def endless_run(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a run without end, and yield it once its workers compute."""
    ledger = tmp_path / "ledger"
    options = ("--points", str(10**15), "--seed", "1", "--quiet", "--ledger", ledger)
    process = start_scoop(*HOSTFILE, "-q", SCRIPT, *options, n=3)
    try:
        wait_for_records(ledger, process)
        assert becomes(lambda: find_working(process.pid), 90.0), "the worker does not work"
        yield process
    finally:
        end_session(process)


def member_with(session: int, words: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = " ".join(process.info["cmdline"] or [])
        if words in command and os.getsid(process.pid) == session:
            found.append(process)
    return found


def find_working(session: int) -> list[psutil.Process]:
    """Return the worker beside the driver, once it has used more time than it takes to start."""
    found = member_with(session, "plain/substitute.py")
    return [process for process in found if has_worked(process.pid)]


def test_ctrl_c_under_scoop_is_one_line(endless_run: subprocess.Popen[str]) -> None:
    os.killpg(endless_run.pid, signal.SIGINT)
    out, err = endless_run.communicate(timeout=30)
    assert (out, err) == ("", "scoopsci pi: interrupted\n")
    wait_for_end(endless_run.pid)


def kill_origin(run: subprocess.Popen[str]) -> None:
    origin = next(
        process
        for process in member_with(run.pid, "--origin")
        if "scoop.bootstrap.__main__" in process.cmdline()
    )
    origin.kill()
    run.communicate(timeout=30)
    wait_for_end(run.pid)


def test_a_killed_origin_leaves_no_process(endless_run: subprocess.Popen[str]) -> None:
    kill_origin(endless_run)


def test_an_origin_killed_while_its_substitute_starts_leaves_no_process() -> None:
    process = start_scoop(*HOSTFILE, "-q", SCRIPT, "--points", str(10**15), "--seed", "1", n=3)
    try:
        assert becomes(lambda: member_with(process.pid, "plain/substitute.py"), 90.0)
        kill_origin(process)
    finally:
        end_session(process)


def test_a_killed_worker_changes_no_bit(run_scoop: RunScoop) -> None:
    # Two workers are struck when they have used twice the time that each takes to start.
    n_points = points_taking(4 * 2 * 2 * start_up_s())
    process = start_scoop(
        *HOSTFILE, "-q", SCRIPT, "--points", str(n_points), "--seed", "3", "--json", n=2
    )
    try:
        assert becomes(lambda: find_working(process.pid), 90.0), "the worker does not work"
        (substitute,) = find_working(process.pid)
        substitute.kill()
        out, err = process.communicate(timeout=90)
        found = json.loads(out)
        wait_for_end(process.pid)
    finally:
        end_session(process)
    assert found["receipt"]["run"]["n_lost_tasks"] >= 1, err
    assert found["n_inside"] == pi(n_points, seed=3, engine="processes").n_inside


@pytest.mark.parametrize("n", [1, 2, 4])
def test_futures_of_scoop_and_scoopsci_share_a_pool(
    run_scoop: RunScoop, tmp_path: Path, n: int
) -> None:
    report = tmp_path / "report"
    done = run_scoop("-q", Path(__file__).with_name("mixed_program.py"), report, n=n)
    assert report.exists(), done.stdout + done.stderr
    expected = estimate(draw, 20_000, seed=2, engine="serial").value
    assert (
        json.loads(report.read_text()) == [[sum(x * x for x in range(200)), expected, 0, False]] * 3
    )
