"""Comparing engines: real runs on this machine, wrong arguments, failing and endless children."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from scoopsci import pi
from scoopsci.compare import compare
from scoopsci.errors import EngineError, EngineTimeoutError, HostfileError
from scoopsci.harness.workloads import digest
from scoopsci.reporting.progress import Progress
from tests.conftest import begin_of_advice, end_in_mid_run
from tests.sizes import tasks_that_pay


@pytest.fixture(autouse=True)
def no_files_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a user's module into the working folder."""
    (tmp_path / "tasks.py").write_text(
        "import os, sys, time\n"
        "def square(a):\n    return a * a\n"
        "def process(a):\n    return os.getpid()\n"
        "def fail(a):\n    raise KeyError(f'of the user at {a}')\n"
        "def vanish(a):\n    os._exit(0)\n"
        "def idle(a):\n    time.sleep(1000)\n"
    )
    monkeypatch.chdir(tmp_path)
    for folder in sys.path:
        assert not (Path(folder) / "tasks.py").exists()
    monkeypatch.delitem(sys.modules, "tasks", raising=False)


def test_pi_on_both_engines() -> None:
    told: list[Progress] = []
    found = compare("pi", n_points=1_000_000, seed=7, n_workers=2, n_rounds=2, progress=told.append)
    assert [(row.engine, row.n_workers, row.equal) for row in found.rows] == [
        ("serial", 1, True),
        ("processes", 2, True),
    ]
    receipt = pi(1_000_000, seed=7, engine="serial").receipt
    assert {taken[row.engine]["digest"] for taken in found.rounds for row in found.rows} == {
        digest([receipt["result"]])
    }
    assert [(state.n_done, state.n_blocks) for state in told] == [(n, 6) for n in range(7)]
    assert found.facts["options"] == {"n_points": 1_000_000, "seed": 7}
    assert "--engine processes --workers 2" in found.facts["commands"]["processes"]
    assert found.rows[0].elapsed_s > found.task_s * 1_000_000
    assert found.n_bare == 2
    plain = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert plain["advice"] == found.advice
    assert found.advice.startswith(begin_of_advice(found))
    assert plain["versions"]["scoop"] == "0.7.2.0"
    assert len(plain["rounds"]) == plain["n_rounds"] == 2


def test_a_fresh_seed_is_the_same_for_every_run() -> None:
    found = compare("pi", n_points=1000, n_workers=1, n_rounds=1)
    assert found.rows[1].equal
    result = pi(1000, seed=found.facts["options"]["seed"], engine="serial").receipt["result"]
    assert found.rounds[0]["serial"]["digest"] == digest([result])


@pytest.mark.usefixtures("tasks")
def test_a_function_of_the_user() -> None:
    found = compare("tasks:square", n_tasks=1000, n_workers=2, n_rounds=1)
    assert found.rows[1].equal
    assert found.rounds[0]["serial"]["digest"] == digest(a * a for a in range(1000))


@pytest.mark.usefixtures("tasks")
def test_an_engine_is_not_advised_for_a_nondeterministic_function() -> None:
    found = compare("tasks:process", n_tasks=3, n_workers=2, n_rounds=1)
    assert not found.rows[1].equal
    assert found.advice.startswith("do not use processes: the results differ from serial's; run")


@pytest.mark.slow
def test_sort() -> None:
    found = compare("sort", n_items=50_000, seed=1, n_workers=2, n_rounds=1)
    assert [row.equal for row in found.rows] == [True, True]


def test_more_workers_than_work() -> None:
    found = compare("mapreduce", n_tasks=1, task_seconds=0, n_workers=2, n_rounds=1)
    assert (found.n_bare, found.rows[1].equal) == (1, True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task_seconds", "n_rounds", "advice"),
    [(1e-6, 6, "run it serially: "), (0.01, 1, "use processes: ")],
)
def test_duration_of_a_task_decides_the_advice(
    task_seconds: float, n_rounds: int, advice: str
) -> None:
    n_tasks = tasks_that_pay("processes", task_seconds) if task_seconds == 0.01 else 500
    found = compare(
        "mapreduce", n_tasks=n_tasks, task_seconds=task_seconds, n_workers=2, n_rounds=n_rounds
    )
    assert found.advice.startswith(advice)
    length_s = found.rows[1].break_even_task_s
    assert length_s is not None
    assert (length_s < found.task_s) == (task_seconds == 0.01)


WRONG: list[tuple[tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
    (("warp",), {}, ValueError, "workload must be one of pi, mapreduce, sort"),
    (("math:no_such",), {}, ValueError, "cannot be imported"),
    (("pi", "serial"), {}, TypeError, "engines must be a sequence of names, got 'serial'"),
    (("pi", ["warp"]), {}, ValueError, "each engine must be one of .*processes.*; got 'warp'"),
    (("pi", ["auto"]), {}, ValueError, "got 'auto'"),
    (("pi",), {"n_points": 0}, ValueError, "n_points must be at least 1, got 0"),
    (("pi",), {"n_points": 1e6}, TypeError, "n_points must be an integer, got 1000000.0"),
    (("pi",), {"n_tasks": 5}, ValueError, "n_tasks does not apply to workload 'pi', got 5"),
    (("pi",), {"task_seconds": 1}, ValueError, "task_seconds does not apply to workload 'pi'"),
    (("math:sqrt",), {"seed": 1}, ValueError, "seed does not apply to workload 'math:sqrt'"),
    (("mapreduce",), {"task_seconds": -1}, ValueError, "task_seconds must be a positive number"),
    (("mapreduce",), {"task_seconds": "1"}, TypeError, "task_seconds must be a real number"),
    (("pi",), {"seed": -1}, ValueError, "seed must be at least 0, got -1"),
    (("pi",), {"n_workers": 0}, ValueError, "n_workers must be at least 1, got 0"),
    (("pi",), {"n_rounds": 0}, ValueError, "n_rounds must be at least 1, got 0"),
    (("pi",), {"timeout": 0}, ValueError, "timeout must be a positive number"),
    (("pi",), {"progress": 3}, TypeError, "progress must be True, a callable, or a bar .* got 3"),
    (("pi",), {"hostfile": "hosts"}, ValueError, "hostfile needs an engine that uses other"),
    (("pi", ["scoop"]), {"hostfile": "missing"}, HostfileError, "missing"),
    (("pi", ["scoop"]), {"hostfile": "hosts"}, ValueError, "no counts, as for 127.0.0.1"),
    (("pi", ["scoop"]), {"hostfile": "port", "n_workers": 1}, ValueError, "takes no port"),
]


@pytest.mark.parametrize(("arguments", "more", "error", "told"), WRONG)
def test_wrong_arguments_start_no_process(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[Any, ...],
    more: dict[str, Any],
    error: type[Exception],
    told: str,
) -> None:
    (tmp_path / "hosts").write_text("127.0.0.1\n")
    (tmp_path / "port").write_text("127.0.0.1:2222 1\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=told):
        compare(*arguments, **more)


@pytest.mark.usefixtures("tasks")
def test_error_of_a_failing_child_has_its_output() -> None:
    with pytest.raises(EngineError, match="serial: the run left no report") as got:
        compare("tasks:fail", n_tasks=3, n_workers=1)
    assert "KeyError: 'of the user at 0'" in str(got.value).splitlines()[0]
    assert "Traceback" in str(got.value)


@pytest.mark.usefixtures("tasks")
def test_a_child_that_writes_no_report_is_an_error_despite_status_0() -> None:
    with pytest.raises(EngineError, match="status 0; the last line of its output: nothing"):
        compare("tasks:vanish", n_tasks=3, n_workers=1)


@pytest.mark.usefixtures("tasks")
def test_a_child_that_exceeds_the_time_out_is_ended() -> None:
    with pytest.raises(EngineTimeoutError, match="timeout of 2 s passed"):
        compare("tasks:idle", n_tasks=3, n_workers=1, timeout=2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_child_outlives_the_comparison(tmp_path: Path, number: signal.Signals) -> None:
    program = (
        "from scoopsci.compare import compare\n"
        "compare('mapreduce', n_tasks=4, task_seconds=1000, n_workers=2)\n"
    )
    driver = subprocess.Popen(
        [sys.executable, "-c", program],
        stderr=subprocess.DEVNULL,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)},
    )
    end_in_mid_run(driver, number, working)


def working(driver_pid: int) -> list[psutil.Process]:
    """Return all processes under the driver, once one of them runs the workload."""
    found = psutil.Process(driver_pid).children(recursive=True)
    commands = []
    for process in found:
        try:
            commands.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found if any("compare.py mapreduce" in command for command in commands) else []
