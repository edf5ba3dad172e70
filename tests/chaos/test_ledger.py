"""Drivers killed at random moments, each time resumed by another engine."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from scoopsci.estimation.streams import block_generator
from scoopsci.road.replay import verify_ledger
from tests.chaos import resumed_program
from tests.chaos.resumed_program import BLOCK_SIZE, MOST, SEED, find_mean
from tests.conftest import REPOSITORY, becomes, end_session, start_scoop, wait_for_end

PROGRAM = Path(resumed_program.__file__)
ENGINES = ("serial", "processes", "scoop", "pool")

#: Blocks that may begin before the driver is killed, or the run would end on a slow machine.
N_AHEAD = 50


def start(engine: str, folder: Path, half_width: float) -> subprocess.Popen[str]:
    """Start the program in a session of its own."""
    if engine == "scoop":
        return start_scoop("-q", PROGRAM, engine, folder, str(half_width), n=2)
    return subprocess.Popen(
        [sys.executable, PROGRAM, engine, folder, str(half_width)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )


def count_marks(folder: Path) -> Counter[str]:
    return Counter(mark.name.split("_")[0] for mark in (folder / "marks").iterdir())


def recorded_blocks(folder: Path) -> set[int]:
    if not (folder / "ledger").exists():
        return set()
    with closing(sqlite3.connect(folder / "ledger")) as database:
        if not database.execute("SELECT 1 FROM sqlite_schema WHERE name = 'ranges'").fetchone():
            return set()
        rows = database.execute("SELECT start, stop FROM ranges").fetchall()
    return {block for row in rows for block in range(*row)}


def name_block(block: int) -> str:
    return str(block_generator(SEED, block).standard_normal(BLOCK_SIZE)[0].hex())


def kill_in_mid_run(engine: str, folder: Path, half_width: float, n_blocks: int) -> None:
    """Kill the driver once it has run this many blocks, or while it is still starting."""
    n_marks = len(os.listdir(folder / "marks")) + n_blocks
    (folder / MOST).write_text(str(n_marks + N_AHEAD))
    process = start(engine, folder, half_width)
    try:
        if n_blocks > 0:
            found = becomes(lambda: len(os.listdir(folder / "marks")) >= n_marks)
            assert found, process.communicate()
        else:
            time.sleep(-n_blocks / 200)
        assert not (folder / "report").exists(), "it was not killed in mid-run"
        if engine == "scoop":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()  # its workers are left to notice by themselves
        process.wait(30)
        wait_for_end(process.pid)
    finally:
        end_session(process)


@pytest.mark.parametrize(
    ("n_kills", "half_width"),
    [(4, 0.012), pytest.param(20, 0.0062, marks=[pytest.mark.slow, pytest.mark.timeout(600)])],
)
def test_killed_at_random_moments_and_resumed_on_other_engines(
    tmp_path: Path, n_kills: int, half_width: float
) -> None:
    (tmp_path / "marks").mkdir()
    chosen = random.Random(n_kills)
    engines = itertools.cycle(ENGINES)
    finished: set[int] = set()
    marked: Counter[str] = Counter()
    for _ in range(n_kills):
        kill_in_mid_run(next(engines), tmp_path, half_width, chosen.randint(-60, 160))
        now = count_marks(tmp_path)
        for name in map(name_block, finished):
            assert now[name] == marked[name], "a finished block was run again"
        recorded = recorded_blocks(tmp_path)
        assert finished <= recorded
        if recorded:
            verify_ledger(tmp_path / "ledger")
        finished, marked = recorded, now
    assert finished

    (tmp_path / MOST).unlink()
    engine = next(engines)
    process = start(engine, tmp_path, half_width)
    try:
        out, err = process.communicate(timeout=100)
    finally:
        end_session(process)
    assert (tmp_path / "report").exists(), out + err
    told = json.loads((tmp_path / "report").read_text())
    assert told["engine"] == engine
    n_blocks = told["bits"][0] // BLOCK_SIZE
    assert told["n_recalled_blocks"] >= len(finished & set(range(n_blocks)))
    now = count_marks(tmp_path)
    assert all(now[name] == marked[name] for name in map(name_block, finished))

    undisturbed = tmp_path / "undisturbed"
    (undisturbed / "marks").mkdir(parents=True)
    found = find_mean(undisturbed / "marks", half_width, engine="processes", n_workers=16)
    assert told["bits"] == [found.n_samples, found.value.hex(), found.half_width.hex()]
