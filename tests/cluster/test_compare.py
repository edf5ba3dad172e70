"""Comparing engines, SCOOP's pool among them, each run a `python -m scoop` of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from scoopsci.compare import compare
from scoopsci.errors import EngineError
from tests.conftest import begin_of_advice, end_in_mid_run
from tests.sizes import tasks_that_pay

ENGINES = ["processes", "scoop"]


@pytest.mark.parametrize(
    ("workload", "size"),
    [
        ("pi", {"n_points": 1_000_000, "seed": 7}),
        ("mapreduce", {"n_tasks": 300, "task_seconds": 0.0}),
        ("sort", {"n_items": 50_000, "seed": 7}),
        pytest.param("math:sqrt", {"n_tasks": 3000}, marks=pytest.mark.slow),
    ],
)
def test_every_workload_under_scoop(workload: str, size: dict[str, float]) -> None:
    found = compare(workload, ENGINES, n_workers=2, n_rounds=1, **size)  # type: ignore[arg-type]
    assert [(row.engine, row.n_workers, row.equal) for row in found.rows] == [
        ("serial", 1, True),
        ("processes", 2, True),
        ("scoop", 2, True),
    ]
    assert found.advice.startswith(begin_of_advice(found))
    assert "-m scoop -q -n 2" in found.facts["commands"]["scoop"]


def test_workers_and_hosts_of_a_hostfile(tmp_path: Path) -> None:
    hostfile = tmp_path / "hosts"
    hostfile.write_text("localhost 3  # plain SCOOP would take this for a host\n")
    found = compare("pi", ["scoop"], n_points=100_000, n_rounds=1, hostfile=hostfile)
    assert [(row.n_workers, row.equal) for row in found.rows] == [(1, True), (3, True)]
    assert found.n_bare == 3
    assert found.facts["hosts"] == ["localhost 3"]


@pytest.mark.slow
def test_length_of_a_task_decides() -> None:
    short, long = (
        compare("mapreduce", ["scoop"], n_tasks=n, task_seconds=t, n_workers=2, n_rounds=rounds)
        for n, t, rounds in ((500, 1e-6, 6), (tasks_that_pay("scoop", 0.01), 0.01, 1))
    )
    assert short.advice.startswith("run it serially: scoop is ")
    assert long.advice.startswith("use scoop: ")


def test_a_run_that_fails_under_scoop_is_reported_with_its_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scoop_tasks.py").write_text(
        "import sys\n"
        "def fail(a):\n"
        "    if 'scoop' in sys.modules:\n        raise KeyError('of the user')\n"
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EngineError, match="scoop: the run left no report") as got:
        compare("scoop_tasks:fail", ["scoop"], n_tasks=3, n_workers=2, n_rounds=1)
    assert "KeyError: 'of the user'" in str(got.value)


@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGKILL]
)
def test_no_process_of_the_pool_outlives_the_comparison(
    tmp_path: Path, number: signal.Signals
) -> None:
    program = (
        "from scoopsci.compare import compare\n"
        "compare('mapreduce', ['scoop'], n_tasks=2, task_seconds=3, n_workers=2)\n"
    )
    driver = subprocess.Popen(
        [sys.executable, "-c", program],
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    end_in_mid_run(driver, number, pool_of)


def pool_of(driver_pid: int) -> list[psutil.Process]:
    """Return launcher, host, origin and two workers, once all of them have started."""
    pool = []
    for process in psutil.Process(driver_pid).children(recursive=True):
        try:
            if "scoop" in process.cmdline()[2:3][0]:
                pool.append(process)
        except (psutil.Error, IndexError):
            continue
    return pool if len(pool) >= 5 else []
