"""The command line: statuses, streams, one line for each mistake, and clean ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from tests.conftest import becomes, wait_for_end
from tests.sizes import has_worked, wait_for_records

PROMISED_KEYS = {
    "estimate", "standard_error", "half_width", "confidence", "n_points", "n_inside", "seed",
    "n_blocks", "engine", "n_workers", "elapsed_s", "receipt",
}  # fmt: skip

ENDLESS = str(10**15)


def scoopsci(
    *arguments: str, cwd: Path | None = None, variables: Mapping[str, str] = MappingProxyType({})
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scoopsci", *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        cwd=cwd,
        env={**os.environ, **variables},
    )


@pytest.fixture
def endless_run(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a run without end, and yield it once its workers compute."""
    ledger = tmp_path / "ledger"
    command = [sys.executable, "-m", "scoopsci", "pi", "--points", ENDLESS, "--ledger", str(ledger)]
    process = subprocess.Popen(
        [*command, "--engine", request.param, "--seed", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        wait_for_records(ledger, process)
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture
def integrand(tmp_path: Path) -> Path:
    """Write a user's module, in a folder that only the command's own process knows."""
    (tmp_path / "integrands.py").write_text(
        "import numpy as np\n"
        "def gaussian(x):\n    return np.exp(-(x**2).sum(axis=1))\n"
        "def wrong_shape(x):\n    return x[:3]\n"
        "def failing(x):\n    raise KeyError('of the user')\n"
        "number = 3\n"
    )
    return tmp_path


def test_pi_prints_one_json_object_with_the_promised_keys() -> None:
    done = scoopsci("pi", "--points", "100000", "--seed", "7", "--engine", "serial", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found) >= PROMISED_KEYS
    assert (found["n_points"], found["seed"], found["engine"]) == (100_000, 7, "serial")
    assert found["estimate"] == 4 * found["n_inside"] / found["n_points"]
    assert done.stderr == ""


def test_pi_prints_the_result_and_its_speed() -> None:
    done = scoopsci("pi", "--points", "1000000", "--seed", "7", "--engine", "serial")
    assert done.returncode == 0
    assert done.stdout.startswith("π ≈ 3.14")
    assert "points per second" in done.stdout
    assert "seed 7" in done.stdout


def test_output_is_the_receipt(tmp_path: Path) -> None:
    target = tmp_path / "receipt.json"
    arguments = ("pi", "--points", "100000", "--seed", "7", "--json", "--output", str(target))
    done = scoopsci(*arguments, "--engine", "processes", "--workers", "2")
    receipt = json.loads(target.read_text())
    assert receipt == json.loads(done.stdout)["receipt"]
    assert receipt["options"]["seed"] == 7
    assert {worker["host"] for worker in receipt["run"]["workers"]} == {os.uname().nodename}
    assert [path.name for path in tmp_path.iterdir()] == ["receipt.json"]


@pytest.mark.parametrize("engine", ["serial", "processes"])
def test_integrate_sends_the_user_s_module_to_workers(integrand: Path, engine: str) -> None:
    arguments = ("integrate", "integrands:gaussian", "--dim", "3", "--points", "50000")
    done = scoopsci(*arguments, "--seed", "1", "--engine", engine, "--json", cwd=integrand)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert abs(found["estimate"] - 0.4165) < 5 * found["standard_error"]
    assert "n_inside" not in found


def test_integrate_over_a_box_with_negative_bounds(integrand: Path) -> None:
    bounds = ("--lower", "-1", "-2", "--upper", "1", "2")
    done = scoopsci("integrate", "integrands:gaussian", *bounds, "--json", cwd=integrand)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert abs(found["estimate"] - 1.493648 * 1.764163) < 5 * found["standard_error"]


def test_a_half_width_takes_the_same_points_on_every_engine() -> None:
    goal = ("pi", "--half-width", "0.01", "--block-size", "1000", "--seed", "3", "--json")
    done = [scoopsci(*goal, "--engine", engine) for engine in ("serial", "processes")]
    assert [each.returncode for each in done] == [0, 0], done[1].stderr
    one, two = (json.loads(each.stdout) for each in done)
    assert one["half_width"] <= 0.01
    assert one["receipt"]["options"]["goal_half_width"] == 0.01
    names = ("n_points", "n_inside", "n_blocks", "estimate", "half_width", "interval")
    assert [one[name] for name in names] == [two[name] for name in names]


def test_a_half_width_relative_to_the_estimate(integrand: Path) -> None:
    goal = ("--half-width", "0.01", "--relative", "--seed", "1", "--json")
    done = scoopsci("integrate", "integrands:gaussian", "--dim", "3", *goal, cwd=integrand)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["half_width"] <= 0.01 * found["estimate"]
    assert found["n_points"] == 12_288


def test_a_half_width_that_is_not_reached_is_status_1() -> None:
    goal = ("pi", "--half-width", "1e-6", "--max-points", "100000", "--seed", "3", "--json")
    done = scoopsci(*goal, "--engine", "serial")
    assert done.returncode == 1
    assert json.loads(done.stdout)["n_points"] == 100_000, "the estimate so far is not lost"
    assert "a half-width of 1e-06 is not reached: max_samples = 100,000 were drawn" in done.stderr
    assert "give 3.1" in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_interval_that_holds_at_every_look(integrand: Path) -> None:
    goal = ("--half-width", "0.01", "--seed", "1", "--json", "--engine", "serial")
    anytime = (*goal, "--guarantee", "anytime", "--bounds", "0", "1")
    runs = [
        scoopsci("integrate", "integrands:gaussian", "--dim", "3", *options, cwd=integrand)
        for options in (goal, anytime)
    ]
    plain, bounded = (json.loads(done.stdout) for done in runs)
    assert plain["guarantee"] == "asymptotic"
    assert bounded["guarantee"].startswith("anytime, by an empirical-Bernstein sequence")
    assert bounded["n_points"] > 2 * plain["n_points"]
    told = bounded["receipt"]["options"]
    assert (told["guarantee"], told["bounds"]) == ("anytime", [0.0, 1.0])


def test_integrate_by_scrambled_points(integrand: Path) -> None:
    done = scoopsci(
        "integrate", "integrands:gaussian", "--dim", "3", "--method", "qmc", "--points", "65536",
        "--seed", "1", "--json", cwd=integrand,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert abs(found["estimate"] - 0.416538385) < 5 * found["standard_error"]
    assert found["variance_reduction"]["scrambled Sobol' points"] > 1_000
    assert found["receipt"]["options"]["n_scrambles"] == 16


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--half-width", "0"], "must be a positive number, got 0.0"),
        (["--half-width", "wide"], "must be a number, got 'wide'"),
        (["--half-width", "0.1", "--points", "5"], "not allowed with argument"),
        (["--points", "5", "--relative"], "relative must come with --half-width"),
        (
            ["--half-width", "0.1", "--max-points", "9"],
            "--max-points must be at least --min-points = 1000, got 9",
        ),
    ],
)
def test_wrong_goals_are_one_line_and_status_2(arguments: list[str], told: str) -> None:
    done = scoopsci("pi", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--bounds", "0", "1"], "bounds must come with guarantee='anytime', got [0.0, 1.0]"),
        (["--guarantee", "anytime", "--bounds", "0", "0.5"], "must lie within bounds=(0.0, 0.5)"),
        (["--guarantee", "anytime", "--method", "qmc"], "use method='mc', or guarantee="),
        (["--guarantee", "always"], "invalid choice: 'always'"),
    ],
)
def test_wrong_guarantees_are_one_line_and_status_2(
    arguments: list[str], told: str, integrand: Path
) -> None:
    goal = ("--dim", "3", "--half-width", "0.1", "--engine", "serial")
    done = scoopsci("integrate", "integrands:gaussian", *goal, *arguments, cwd=integrand)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.count("\n") == 1


PI = ("pi", "--points", "100000", "--seed", "7")


@pytest.mark.parametrize("engine", ["serial", "processes"])
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_closed_streams_lose_nothing_but_the_text(tmp_path: Path, engine: str, closed: str) -> None:
    target = tmp_path / "receipt.json"
    command = [sys.executable, "-m", "scoopsci", *PI, "--engine", engine, "--output", str(target)]
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *command], capture_output=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(target.read_text())["options"]["seed"] == 7


def test_a_terminal_that_cannot_show_pi_loses_no_result() -> None:
    done = scoopsci(*PI, "--engine", "serial", variables={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0, done.stderr
    assert "3.133 ? 0.010" in done.stdout


def test_the_receipt_may_go_to_a_device() -> None:
    done = scoopsci(*PI, "--engine", "serial", "--json", "--output", "/dev/stderr")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stderr) == json.loads(done.stdout)["receipt"]


@pytest.mark.parametrize("command", [PI, ("sort", "--items", "100"), ("mapreduce", "--tasks", "9")])
def test_a_full_disk_loses_no_printed_result(command: tuple[str, ...]) -> None:
    done = scoopsci(*command, "--engine", "serial", "--output", "/dev/full")
    assert done.returncode == 1
    assert done.stdout
    told = f"scoopsci {command[0]}: [Errno 28] /dev/full cannot be written: No space left on device"
    assert done.stderr.splitlines() == [told]


def test_files_of_the_working_folder_are_not_imported_as_modules(tmp_path: Path) -> None:
    for name in ("random.py", "queue.py", "hosts.py", "blocks.py"):
        (tmp_path / name).write_text("raise SystemExit('the wrong module')\n")
    command = Path(sys.executable).with_name("scoopsci")
    done = subprocess.run(
        [command, *PI, "--engine", "processes"],
        capture_output=True,
        text=True,
        timeout=100,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr


WRONG_USE = [
    (["pi", "--points", "-3"], "at least 1, got -3"),
    (["pi", "--points", "0"], "at least 1, got 0"),
    (["pi", "--points", "1e6"], "must be an integer, such as 1_000_000, got '1e6'"),
    (["pi", "--points", "nan"], "must be an integer, such as 1_000_000, got 'nan'"),
    (["pi", "--confidence", "1"], "within (0, 1), such as 0.95, got 1.0"),
    (["pi", "--confidence", "nan"], "within (0, 1), such as 0.95, got nan"),
    (["pi", "--seed", "-1"], "at least 0, got -1"),
    (["pi", "--workers", "0"], "at least 1, got 0"),
    (["pi", "--engine", "warp"], "engine must be one of auto, "),
    (["pi", "--engine", "scoop"], "scoopsci run --hostfile"),
    (["pi", "--engine", "serial", "--workers", "3"], "exactly 1 worker, got --workers=3"),
    (["pi", "--engine", "processes", "--hostfile", "hostfile"], "only this machine"),
    (["pi", "--hostfile", "missing"], "missing: "),
    (["pi", "--hostfile", "bad"], "bad, line 2: "),
    (["pi", "--output", "missing/receipt.json"], "folder that exists"),
    (["pi", "--output", "."], "folder that exists"),
    (["pi", "--half"], "--half"),
    (["warp"], "warp"),
    ([], "COMMAND"),
    (["integrate", "integrands:gaussian", "--lower", "nan"], "must be finite"),
    (["integrate", "integrands:gaussian", "--lower", "2"], "below its upper one"),
    (["integrate", "integrands:gaussian", "--lower", "0", "0", "0", "--dim", "2"], "shape (2,)"),
    (["integrate", "integrands:missing"], "integrands:missing"),
    (["integrate", "integrands:number"], "must be callable"),
    (["integrate", "gaussian"], "MODULE:FUNCTION"),
    (["integrate", "no_such_module:f"], "no_such_module"),
]


@pytest.mark.parametrize(("arguments", "told"), WRONG_USE, ids=[" ".join(w[0]) for w in WRONG_USE])
def test_wrong_use_is_one_line_and_status_2(
    integrand: Path, arguments: list[str], told: str
) -> None:
    (integrand / "bad").write_text("127.0.0.1 2\nhost zero\n")
    (integrand / "hostfile").write_text("127.0.0.1 2\n")
    done = scoopsci(*arguments, cwd=integrand)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("engine", ["serial", "processes"])
@pytest.mark.parametrize(
    ("function", "told"), [("wrong_shape", "got shape (3, 1)"), ("failing", "of the user")]
)
def test_a_failing_function_is_status_1_with_its_traceback(
    integrand: Path, engine: str, function: str, told: str
) -> None:
    done = scoopsci("integrate", f"integrands:{function}", "--engine", engine, cwd=integrand)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" in done.stderr
    last_line = done.stderr.splitlines()[-1]
    assert re.match(r"scoopsci integrate: block \d+ failed on host", last_line)
    assert told in last_line


@pytest.mark.parametrize("endless_run", ["serial", "processes"], indirect=True)
def test_ctrl_c_is_one_line_and_status_130(endless_run: subprocess.Popen[str]) -> None:
    os.killpg(endless_run.pid, signal.SIGINT)
    out, err = endless_run.communicate(timeout=30)
    assert (endless_run.returncode, out, err) == (130, "", "scoopsci pi: interrupted\n")
    wait_for_end(endless_run.pid)


@pytest.mark.parametrize(
    ("endless_run", "number"),
    [
        ("processes", signal.SIGTERM),
        ("serial", signal.SIGHUP),
        pytest.param("serial", signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param("processes", signal.SIGHUP, marks=pytest.mark.slow),
    ],
    indirect=["endless_run"],
)
def test_signals_that_end_a_run_leave_no_process(
    endless_run: subprocess.Popen[str], number: signal.Signals
) -> None:
    endless_run.send_signal(number)
    out, err = endless_run.communicate(timeout=30)
    told = f"scoopsci pi: ended by {number.name}\n"
    assert (endless_run.returncode, out, err) == (128 + number, "", told)
    wait_for_end(endless_run.pid)
    assert list(Path("/dev/shm").glob(f"sem.loky-{endless_run.pid}-*")) == []


@pytest.mark.parametrize("endless_run", ["serial", "processes"], indirect=True)
def test_a_killed_driver_leaves_no_process(endless_run: subprocess.Popen[str]) -> None:
    endless_run.kill()
    endless_run.wait(timeout=30)
    wait_for_end(endless_run.pid)


class TestMapReduce:
    """``scoopsci mapreduce``; under SCOOP it is tested in tests/cluster/test_map_scripts.py."""

    TASKS = ("--tasks", "40", "--task-seconds", "0.001")

    @pytest.mark.parametrize(
        ("engine", "n_workers"), [("serial", 1), ("processes", 2), ("processes", 3)]
    )
    def test_one_json_object_with_the_promised_keys(self, engine: str, n_workers: int) -> None:
        where = ("--engine", engine, "--workers", str(n_workers))
        done = scoopsci("mapreduce", *self.TASKS, *where, "--json")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.count("\n") == 1
        found = json.loads(done.stdout)
        assert set(found) >= {"result", "rows"}
        for row in found["rows"]:
            assert set(row) == {"method", "elapsed_s", "speedup", "efficiency", "equal"}
            assert row["equal"] is True
        assert [row["method"] for row in found["rows"]] == [
            "serial: sum of map",
            "scoopsci: map",
            "scoopsci: map_as_completed",
            "scoopsci: map_reduce",
        ]
        assert found["result"] == sum(a * a for a in range(40))
        assert (found["engine"], found["n_workers"], found["n_tasks"]) == (engine, n_workers, 40)

    def test_text(self) -> None:
        done = scoopsci("mapreduce", *self.TASKS, "--engine", "processes", "--workers", "2")
        assert (done.returncode, done.stderr) == (0, "")
        heading, *rows, last = done.stdout.splitlines()
        assert heading.split() == ["method", "seconds", "speed-up", "efficiency", "equal"]
        assert [row.split()[-1] for row in rows] == ["yes"] * 4
        assert last.startswith("result 20540; 40 tasks of 1 ms; engine processes, 2 workers")

    @pytest.mark.parametrize("json_too", [True, False])
    def test_output_is_what_json_prints(self, tmp_path: Path, json_too: bool) -> None:
        target = tmp_path / "figures.json"
        arguments = (*self.TASKS, "--engine", "serial", "--output", str(target))
        done = scoopsci("mapreduce", *arguments, *(["--json"] if json_too else []))
        found = json.loads(target.read_text())
        assert found["result"] == 20540
        if json_too:
            assert json.loads(done.stdout) == found

    @pytest.mark.parametrize("engine", ["serial", "processes"])
    def test_one_task(self, engine: str) -> None:
        arguments = ("--tasks", "1", "--task-seconds", "0", "--engine", engine, "--json")
        found = json.loads(scoopsci("mapreduce", *arguments).stdout)
        assert found["result"] == 0
        assert [row["equal"] for row in found["rows"]] == [True] * 4

    def test_as_a_script(self, tmp_path: Path) -> None:
        script = Path(sys.modules["scoopsci"].__file__ or "").with_name("mapreduce.py")
        command = [sys.executable, str(script), *self.TASKS, "--engine", "processes", "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout)["result"] == 20540
        wrong = subprocess.run([*command, "--tasks", "0"], capture_output=True, timeout=100)
        assert (wrong.returncode, wrong.stdout) == (2, b"")

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["--task-seconds", "-1"], "positive number of seconds, or 0, got -1.0"),
            (["--task-seconds", "nan"], "positive number of seconds, or 0, got nan"),
            (["--task-seconds", "inf"], "positive number of seconds, or 0, got inf"),
            (["--task-seconds", "soon"], "must be a number, got 'soon'"),
            (["--tasks", "0"], "at least 1, got 0"),
            (["--tasks", "-5"], "at least 1, got -5"),
            (["--tasks", "many"], "must be an integer, such as 1_000_000, got 'many'"),
            (["--workers", "0"], "at least 1, got 0"),
            (["--engine", "warp"], "engine must be one of auto, "),
            (["--engine", "scoop"], "scoopsci run --hostfile"),
            (["--engine", "serial", "--workers", "3"], "exactly 1 worker, got --workers=3"),
            (["--hostfile", "missing"], "missing: "),
            (["--output", "missing/figures.json"], "folder that exists"),
            (["--seed", "3"], "--seed"),
            (["3"], "unrecognized arguments: 3"),
        ],
    )
    def test_wrong_use_is_one_line_and_status_2(
        self, tmp_path: Path, arguments: list[str], told: str
    ) -> None:
        done = scoopsci("mapreduce", "--tasks", "1", *arguments, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert told in done.stderr
        assert done.stderr.count("\n") == 1

    @pytest.mark.parametrize("engine", ["serial", "processes"])
    def test_ctrl_c_is_one_line_and_status_130(self, engine: str) -> None:
        command = [sys.executable, "-m", "scoopsci", "mapreduce", "--tasks", ENDLESS]
        process = subprocess.Popen(
            [*command, "--task-seconds", "0", "--engine", engine],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            assert becomes(lambda: has_worked(process.pid)), "the driver does not work"
            os.killpg(process.pid, signal.SIGINT)
            out, err = process.communicate(timeout=30)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        assert (process.returncode, out, err) == (130, "", "scoopsci mapreduce: interrupted\n")
        wait_for_end(process.pid)
