"""Runs that stop at a half-width: the same last bit on one core and on three hosts."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import scoopsci
from scoopsci.road.replay import describe_ledger, replay_block, verify_ledger
from tests import pool_console
from tests.conftest import RunScoop, becomes
from tests.lan import Lan
from tests.pools import OpenPool, check_nothing_left, signal_on

pytestmark = pytest.mark.cluster

SCRIPT = Path("scoopsci") / "montecarlo.py"

#: How close, and the seconds that a run may take. The narrow one draws 10^11 points.
GOALS = [
    pytest.param("1e-4", 100, id="1e-4"),
    pytest.param("1e-5", 400, id="1e-5", marks=[pytest.mark.slow, pytest.mark.timeout(1_500)]),
]
BITS = ("estimate", "n_points", "n_inside", "standard_error", "half_width", "interval", "n_blocks")


def take_bits(printed: str) -> dict[str, Any]:
    found = json.loads(printed)
    return {name: found[name] for name in BITS}


def run_command(*options: str, timeout: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "scoopsci", "pi", "--seed", "3", "--json", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stderr
    return take_bits(done.stdout)


@pytest.mark.parametrize(("half_width", "timeout"), GOALS)
def test_same_bits_with_a_worker_killed_on_the_way(
    lan: Lan, run_scoop: RunScoop, half_width: str, timeout: float
) -> None:
    goal = ("--half-width", half_width)
    expected = run_command(*goal, "--engine", "serial", timeout=timeout)
    assert expected["half_width"] <= float(half_width)
    by_processes = run_command(*goal, "--engine", "processes", "--workers", "2", timeout=timeout)
    assert by_processes == expected
    options = (*goal, "--seed", "3", "--json")
    done = run_scoop("-q", SCRIPT, *options, n=3, timeout=timeout)
    assert take_bits(done.stdout) == expected

    with OpenPool(lan) as pool:
        hosts = {host["name"]: host for host in pool.hear()}
        victim, agent = next(iter(hosts["node2"]["workers"])), hosts["node2"]["agent"]
        # Stopped, it keeps the tasks that it is given until it is killed; and it is given some, as
        # its agent, stopped as well, cannot tell.
        for process in (agent, victim):
            signal_on(lan, "node2", process, signal.SIGSTOP)
        pool.say("stop", float(half_width), "node2", victim)
        assert becomes(lambda: pool.n_done > 0), "it has been given no task"
        signal_on(lan, "node2", victim, signal.SIGKILL)
        signal_on(lan, "node2", agent, signal.SIGCONT)
        n_points, value, error, width, low, high, n_lost = pool.hear(timeout)
    check_nothing_left(lan)
    assert n_lost >= 1
    assert n_points == expected["n_points"]
    assert [float.fromhex(x) for x in (value, error, width)] == [
        expected[name] for name in ("estimate", "standard_error", "half_width")
    ]
    assert [float.fromhex(x) for x in (low, high)] == expected["interval"]


def test_blocks_of_a_pool_s_run_are_replayed_here(lan: Lan) -> None:
    ledger = lan.folder / "kept.ledger"
    with OpenPool(lan) as pool:
        pool.hear()
        bits = pool.ask("keep", str(ledger))
    check_nothing_left(lan)
    told = describe_ledger(ledger)
    assert verify_ledger(ledger) == told["n_rows"]
    n_blocks = bits[0] // 500
    assert n_blocks >= 500
    for block in random.Random(1).sample(range(n_blocks), 50):
        replay = replay_block(ledger, block, trust=True)
        assert replay.equal, f"block {block}"
    # Another engine reuses the finished blocks, and stops at the same sample.
    options: Any = {"seed": 3, "block_size": 500, "engine": "serial", "ledger": ledger}
    found = scoopsci.estimate(pool_console.draw, half_width=0.002, **options)
    assert pool_console.stopping_bits(found) == bits
    assert found.receipt["run"]["n_recalled_blocks"] == n_blocks
