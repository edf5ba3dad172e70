"""`scoopsci run` on this machine: SCOOP programs, unchanged, on a safe pool."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import REPOSITORY, becomes

HERE = Path(__file__).parent
RUN = [sys.executable, "-m", "scoopsci", "run"]
SCOOP = [sys.executable, "-m", "scoop", "--quiet"]
GENEROUS_S = 120.0


def start(command: list[str], folder: Path, **options: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(
        command, cwd=folder, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
    )  # fmt: skip


def run(
    command: list[str], folder: Path, said: str | None = None
) -> subprocess.CompletedProcess[str]:
    stdin = subprocess.DEVNULL if said is None else subprocess.PIPE
    with start(command, folder, stdin=stdin, start_new_session=True) as process:
        try:
            out, err = process.communicate(said, timeout=GENEROUS_S)
        finally:
            with contextlib.suppress(ProcessLookupError):  # workers of plain SCOOP, too
                os.killpg(process.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def run_text(tmp_path: Path, text: str, *more: str, said: str | None = None) -> Any:
    """Run a program of a few lines, after a line of imports."""
    program = tmp_path / "program.py"
    program.write_text(f"from scoop import futures, shared\n{textwrap.dedent(text)}")
    return run([*RUN, "-n", "2", *more, "program.py"], tmp_path, said)


@pytest.mark.parametrize("n_workers", ["1", "2"])
def test_every_call_as_under_scoop(n_workers: str) -> None:
    arguments = ["every_call.py", "a", "b c", "--option", "-n"]
    theirs = json.loads(run([*SCOOP, "-n", "2", *arguments], HERE).stdout)
    done = run([*RUN, "-n", n_workers, *arguments], HERE)
    ours = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert (theirs.pop("executed in the origin"), ours.pop("executed in the origin")) == (
        True,
        False,
    )
    assert ours == theirs


def test_errors_where_scoop_is_silent() -> None:
    done = run([*RUN, "-n", "2", "calls_that_fail.py"], HERE)
    found = json.loads(done.stdout)
    assert found.pop("next") == [0, 1, 2]
    assert {name: error for name, (error, _) in found.items()} == {
        "argument": "TaskError",
        "result": "TaskError",
        "unpickling the task": "TaskError",
        "unpickling the result": "TaskError",
        "worker": "PoisonTaskError",
        "timeout of result": "EngineTimeoutError",
        "timeout of map": "EngineTimeoutError",
        "timeout of map_as_completed": "EngineTimeoutError",
        "timeout of as_completed": "EngineTimeoutError",
        "nothing to reduce": "ValueError",
        "no function": "TypeError",
        "constant": "TypeError",
    }
    assert "cannot pickle '_thread.lock' object" in found["argument"][1]


@pytest.mark.parametrize(
    ("end", "status", "words"),
    [
        ("pass", 0, ""),
        ("raise SystemExit(5)", 5, ""),
        ("raise SystemExit", 0, ""),
        ("raise SystemExit('no more')", 1, "no more\n"),
        ("import os; os._exit(7)", 7, ""),
    ],
)
def test_exit_status(tmp_path: Path, end: str, status: int, words: str) -> None:
    done = run_text(
        tmp_path,
        f"""
        if __name__ == "__main__":
            print(futures.submit(abs, -2).result(), flush=True)
            {end}
        """,
    )
    assert (done.returncode, done.stdout, done.stderr) == (status, "2\n", words)


def test_annotations_are_the_programs_own(tmp_path: Path) -> None:
    """Our annotations are not evaluated; neither the program nor a worker may inherit that."""
    done = run_text(
        tmp_path,
        """
        def double(x: int):
            return 2 * x

        def look(_):
            return double.__annotations__

        if __name__ == "__main__":
            print(double.__annotations__, futures.submit(look, 1).result())
        """,
    )
    assert done.stdout == "{'x': <class 'int'>} {'x': <class 'int'>}\n"


@pytest.mark.parametrize(
    "look",
    [
        "future.done()",
        "futures.wait([future], timeout=0).done",
        "future in futures.wait([future], 0.0001).done",
        "ends_now(future)",
    ],
)
def test_polling_a_future_detects_its_end(tmp_path: Path, look: str) -> None:
    """In the program, and in a task that has the only worker."""
    done = run_text(
        tmp_path,
        f"""
        def ends_now(future):
            try:
                return future.result(timeout=0)
            except TimeoutError:
                return False

        def poll():
            future = futures.submit(abs, -3)
            while not {look}:
                pass
            return future.result()

        if __name__ == "__main__":
            print(poll(), futures.submit(poll).result(timeout=60))
        """,
        "-n", "1",
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "3 3\n"), done.stderr


def test_exception_gives_status_1_and_its_traceback_once(tmp_path: Path) -> None:
    done = run_text(tmp_path, "def wrong():\n    [].pop()\n\nif __name__ == '__main__': wrong()\n")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("Traceback (most recent call last):\n  File ")
    assert done.stderr.count("Traceback") == 1
    assert 'program.py", line 5, in <module>' in done.stderr.splitlines()[1]
    assert done.stderr.endswith("IndexError: pop from empty list\n")


def test_exception_of_a_task_is_the_programs_own(tmp_path: Path) -> None:
    done = run_text(
        tmp_path,
        """
        class OwnError(Exception):
            pass

        def fail(x):
            raise OwnError(x)

        if __name__ == "__main__":
            try:
                futures.submit(fail, 1).result()
            except OwnError as error:
                print("caught", error.args)
            list(futures.map(fail, [2]))
        """,
    )
    assert (done.returncode, done.stdout) == (1, "caught (1,)\n")
    assert "in fail\n" in done.stderr  # the worker's traceback
    assert "OwnError: 2\ntask failed on host" in done.stderr


def test_streams_and_standard_input(tmp_path: Path) -> None:
    done = run_text(
        tmp_path,
        """
        import os, sys

        def talk(x):
            print("out", x)
            print("err", x, file=sys.stderr)
            os.write(1, b"low\\n")

        if __name__ == "__main__":
            list(futures.map(talk, range(2)))
            print(sys.stdin.read())
        """,
        said="said to the program",
    )
    assert sorted(done.stdout.splitlines()) == ["out 0", "out 1", "said to the program"]
    # Output of a task that bypasses sys.stdout goes to stderr.
    assert sorted(done.stderr.splitlines()) == ["err 0", "err 1", "low", "low"]


def test_threads_and_children_of_tasks_print(tmp_path: Path) -> None:
    done = run_text(
        tmp_path,
        """
        import multiprocessing, sys, threading

        sys.stdout.reconfigure(line_buffering=True)

        def talk(who):
            for i in range(500):
                sys.stdout.write(f"{who} {i}\\n")

        def task(x):
            threads = [threading.Thread(target=talk, args=(f"{x} {k}",)) for k in range(4)]
            for thread in threads:
                thread.start()
            talk(f"{x} 4")
            for thread in threads:
                thread.join()
            child = multiprocessing.get_context("fork").Process(target=talk, args=("child",))
            child.start()
            child.join()
            sys.stdout.buffer.write(b"bytes\\n")
            return child.exitcode

        if __name__ == "__main__":
            print(sum(futures.map(task, range(4))))
        """,
    )
    lines = [f"{x} {k} {i}" for x in range(4) for k in range(5) for i in range(500)]
    assert sorted(done.stdout.splitlines()) == sorted([*lines, *["bytes"] * 4, "0"])
    assert sorted(done.stderr.splitlines()) == sorted([f"child {i}" for i in range(500)] * 4)


def test_other_threads_and_processes_get_an_error(tmp_path: Path) -> None:
    """Their messages would get lost, or corrupt those of the right thread."""
    done = run_text(
        tmp_path,
        """
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

        future = None

        def call(name):
            return getattr(future, name)() if name != "submit" else futures.submit(abs, -1)

        def use_elsewhere(x):
            global future
            future = futures.submit(abs, x)
            context = multiprocessing.get_context("fork")
            found = []
            for pool in (ThreadPoolExecutor(1), ProcessPoolExecutor(1, context)):
                with pool:
                    for name in ("submit", "result", "done", "cancel"):
                        error = pool.submit(call, name).exception()
                        found.append(type(error).__name__)
            return set(found), future.result()

        if __name__ == "__main__":
            print(use_elsewhere(-2), futures.submit(use_elsewhere, -3).result())
        """,
    )
    assert done.stdout == "({'EngineError'}, 2) ({'EngineError'}, 3)\n", done.stderr


def test_odd_names_and_empty_folders_are_staged(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "empty" / "deep").mkdir(parents=True)
    names = ["#auto#", ";semicolon", "a b", "new\nline", "-dash", "ü"]
    for name in names:
        (project / name).touch()
    (project / "program.py").write_text(
        "import json, os\nfrom scoop import futures\n"
        "def look(_):\n    return sorted(os.listdir()), os.path.isdir('empty/deep')\n"
        "if __name__ == '__main__':\n    print(json.dumps(futures.submit(look, 1).result()))\n"
    )
    done = run([*RUN, "-n", "1", "--stage", "project/program.py"], tmp_path)
    assert json.loads(done.stdout) == [sorted([*names, "program.py", "empty"]), True], done.stderr


def test_script_run_by_a_link_finds_the_files_next_to_it(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "beside.py").write_text("word = 'found'\n")
    (tmp_path / "program.py").symlink_to("project/real.py")
    (tmp_path / "project" / "real.py").write_text(
        "import beside\nfrom scoop import futures\n"
        "def look(_):\n    return beside.word\n"
        "if __name__ == '__main__':\n    print(look(1), futures.submit(look, 1).result())\n"
    )
    done = run([*RUN, "-n", "1", "program.py"], tmp_path)
    assert done.stdout == "found found\n", done.stderr


def test_closed_stdout_loses_no_result(tmp_path: Path) -> None:
    done = run_text(
        tmp_path,
        """
        import sys

        def talk(x):
            print("heard by nobody")
            return x

        if __name__ == "__main__":
            sys.stdout.close()
            print(list(futures.map(talk, range(3))), file=sys.stderr)
        """,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "[0, 1, 2]\n")


def test_constants_that_cannot_be_pickled(tmp_path: Path) -> None:
    done = run_text(
        tmp_path,
        """
        import os, threading

        class Local:
            def __reduce__(self):
                return load, (os.getpid(),)

        def load(pid):
            if os.getpid() != pid:
                raise LookupError("loaded elsewhere")
            return pid

        def get(_):
            try:
                return shared.getConst("local", timeout=60)
            except LookupError as error:
                return str(error)

        if __name__ == "__main__":
            try:
                shared.setConst(lock=threading.Lock())
            except Exception as error:
                print(type(error).__name__)
            shared.setConst(local=Local())
            print(list(futures.map(get, range(3))), get(1) == os.getpid())
        """,
    )
    assert done.stdout == f"TaskError\n{['loaded elsewhere'] * 3} True\n", done.stderr


def test_a_run_that_is_left_early_is_silent(tmp_path: Path) -> None:
    done = run_text(
        tmp_path,
        """
        import scoopsci

        def fail_at_three(item):
            return 1 // (item - 3)

        if __name__ == "__main__":
            try:
                list(scoopsci.map(fail_at_three, range(50), chunk_target_s=1e-9))
            except ZeroDivisionError as error:
                print(error)
            print(scoopsci.map_reduce(abs, max, range(50)))
        """,
    )
    assert (done.stdout, done.stderr) == ("integer division or modulo by zero\n49\n", "")


def test_end_of_the_broker_ends_every_wait(tmp_path: Path) -> None:
    done = run_text(
        tmp_path,
        """
        import psutil, time

        if __name__ == "__main__":
            futures.submit(abs, -1).result()
            future = futures.submit(time.sleep, 1000)
            psutil.Process().children()[0].kill()
            for call in (future.result, lambda: shared.setConst(late=1), future.done):
                try:
                    print(call())
                except Exception as error:
                    print(type(error).__name__, error)
        """,
    )
    error = "EngineError the broker of the pool ended with status -9; open a new pool"
    assert done.stdout.splitlines() == [error, error, "True"]


def test_callback_waits(tmp_path: Path) -> None:
    done = run_text(
        tmp_path,
        """
        def add_more():
            found = []
            future = futures.submit(abs, -1)
            future.add_done_callback(lambda _: found.append(futures.submit(abs, -2).result()))
            future.add_done_callback(lambda _: found.append(3))
            future.result()
            while len(found) < 2:
                futures.wait([futures.submit(abs, -4)])
            return found

        if __name__ == "__main__":
            print(add_more(), futures.submit(add_more).result())
        """,
    )
    assert (done.stdout, done.stderr) == ("[2, 3] [2, 3]\n", "")


def test_unknown_option_is_reported(tmp_path: Path) -> None:
    done = run_text(
        tmp_path, "if __name__ == '__main__': print(list(futures.map(abs, [-1], level=2)))"
    )
    assert (done.returncode, done.stdout) == (0, "[1]\n")
    assert "there is no option 'level'" in done.stderr


def test_methods_of_unhashable_objects(tmp_path: Path) -> None:
    """SCOOP ends with: unhashable type."""
    done = run_text(
        tmp_path,
        """
        class Factor:
            def __init__(self, value):
                self.value = value

            def __eq__(self, other):
                return self.value == other.value

            def times(self, x):
                return self.value * x

        if __name__ == "__main__":
            print(list(futures.map(Factor(3).times, range(3))))
        """,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[0, 3, 6]\n", "")


def test_ctrl_c(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "import time\nfrom scoop import futures\n"
        "if __name__ == '__main__':\n"
        "    tasks = [futures.submit(time.sleep, 100) for _ in range(4)]\n"
        "    print('waits', flush=True)\n"
        "    futures.wait(tasks)\n"
    )
    with start([*RUN, "-n", "2", "program.py"], tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waits\n"
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=GENEROUS_S)
    assert (process.returncode, err) == (130, "scoopsci run: interrupted\n")
    assert len(children) >= 4  # a broker, an agent and two workers
    assert becomes(lambda: not any(child.is_running() for child in children))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import nowhere", "a worker cannot load the script: No module named 'nowhere'"),
        ("1 / 0", "a worker cannot load the script: division by zero"),
        ("list(futures.map(abs, [1]))", "if __name__ == '__main__'"),
    ],
)
def test_script_that_cannot_be_loaded(tmp_path: Path, text: str, words: str) -> None:
    done = run_text(tmp_path, text)
    assert done.returncode == 1
    assert words in done.stderr.splitlines()[-1]
    assert done.stderr.count("Traceback") == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "required: SCRIPT"),
        (["nowhere.py"], "nowhere.py"),
        (["."], "must be a program, got a folder; name its file"),
        (["-n", "0", "every_call.py"], "must be a number of workers, at least 1, got '0'"),
        (["-b", "2", "every_call.py"], "-b must be 1, got 2"),
        (["--rsh", "every_call.py"], "--rsh is not supported: "),
        (["--external-hostname", "me", "every_call.py"], "--external-hostname is not supported: "),
        (["--debug", "every_call.py"], "--debug is not supported: "),
        (["--profile", "every_call.py"], "--profile is not supported: "),
        (["--backend", "TCP", "every_call.py"], "--backend must be ZMQ, got 'TCP'"),
        (["--data", "x", "every_call.py"], "add --stage"),
        (["--stage", "--data", "nowhere", "every_call.py"], "nowhere"),
        (["--hosts", "--", "every_call.py"], "--hosts names no host"),
        (["--hostfile", "nowhere", "every_call.py"], "nowhere"),
        (["--nice", "much", "every_call.py"], "--nice"),
    ],
)
def test_wrong_use(options: list[str], words: str) -> None:
    done = run([*RUN, *options], HERE)
    assert done.returncode in (1, 2)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("scoopsci run: ")
    assert words in line


def test_scoops_options(tmp_path: Path) -> None:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "beside.py").write_text("word = 'found'\n")
    (tmp_path / "there").mkdir()
    (tmp_path / "prolog.sh").write_text("export [[ -n x ]] 2>/dev/null; export PROLOG=sourced\n")
    text = """
        import os, sys
        import scoop

        def look(_):
            import beside
            scoop.logger.info("seen")
            return (os.getcwd(), os.nice(0), os.environ["PROLOG"], beside.word)

        if __name__ == "__main__":
            print(futures.submit(look, 1).result())
        """
    options = [
        "--path", str(tmp_path / "there"), "--nice", "5", "--prolog", str(tmp_path / "prolog.sh"),
        "--pythonpath", str(tmp_path / "modules"), "--backend", "ZMQ", "-b", "1", "--tunnel",
    ]  # fmt: skip
    (tmp_path / "there" / "program.py").symlink_to(tmp_path / "program.py")
    done = run_text(tmp_path, text, *options)
    expected = (str(tmp_path / "there"), 5, "sourced", "found")
    assert (done.stdout, done.returncode) == (f"{expected}\n", 0), done.stderr
    assert done.stderr.endswith("INFO seen\n")
    assert run_text(tmp_path, text, *options, "--quiet").stderr == ""


def test_scripts_of_scoopsci() -> None:
    script = str(REPOSITORY / "scoopsci" / "montecarlo.py")
    options = ["--points", "300000", "--seed", "3", "--json"]
    serial = run([sys.executable, script, *options, "--engine", "serial"], HERE)
    done = run([*RUN, "-n", "2", script, *options], HERE)
    assert (done.returncode, done.stderr) == (0, "")
    alone, together = json.loads(serial.stdout), json.loads(done.stdout)
    assert (alone["engine"], together["engine"]) == ("serial", "scoop")
    same = ("estimate", "standard_error", "n_points", "n_inside", "n_blocks")
    assert [alone[key] for key in same] == [together[key] for key in same]
    wrong = run([*RUN, script, "--points", "few"], HERE)
    assert wrong.returncode == 2
    assert "got 'few'" in wrong.stderr


def find_workers(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Return the workers of a run: forks of its agents."""

    def is_agent(found: psutil.Process | None) -> bool:
        try:
            return found is not None and "scoopsci.pool.agent" in found.cmdline()
        except psutil.NoSuchProcess:  # killed, and perhaps not yet reaped
            return False

    found = psutil.Process(process.pid).children(recursive=True)
    return [child for child in found if is_agent(child) and is_agent(child.parent())]


@pytest.mark.parametrize(
    ("n_generations", "every"),
    [("16", 4), pytest.param("50", 10, marks=pytest.mark.slow)],
)
def test_genetic_algorithm_with_workers_killed(n_generations: str, every: int) -> None:
    command = [*RUN, "-n", "2", "genetic.py", n_generations]
    undisturbed = run(command, HERE)
    n_begun, n_killed, err = 0, 0, ""
    with start(command, HERE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stderr:
            err += line
            n_begun += line == "begins\n"
            if n_begun == every * (n_killed + 1):
                assert becomes(lambda: find_workers(process))
                find_workers(process)[0].kill()
                n_killed += 1
        out = process.stdout.read()
    assert (undisturbed.returncode, process.returncode) == (0, 0), err
    assert out == undisturbed.stdout
    assert len(json.loads(out)[1]) == int(n_generations) + 1
    assert n_killed >= 2


@pytest.mark.parametrize(
    ("n_workers", "status", "words"), [("2", 0, "PoisonTaskError\n"), ("1", 1, "WorkerLostError")]
)
def test_a_waiting_task_is_not_blamed(
    tmp_path: Path, n_workers: str, status: int, words: str
) -> None:
    """With one worker, the waiting task ends each time as well, but not without limit."""
    done = run_text(
        tmp_path,
        """
        import os

        def parent(_):
            try:
                futures.submit(os._exit, 3).result()
            except Exception as error:
                return type(error).__name__

        if __name__ == "__main__":
            print(futures.submit(parent, 1).result())
        """,
        "-n",
        n_workers,
    )
    assert done.returncode == status, done.stderr
    assert words in (done.stderr if status else done.stdout)


@pytest.mark.parametrize(("argument", "status"), [("--help", 0), ("--wrong", 2)])
def test_script_that_exits_while_it_is_loaded(tmp_path: Path, argument: str, status: int) -> None:
    (tmp_path / "program.py").write_text(
        "import argparse\nfrom scoop import futures\nargparse.ArgumentParser().parse_args()\n"
    )
    done = run([*RUN, "-n", "1", "program.py", argument], tmp_path)
    assert done.returncode == status
    assert "usage: program.py" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_function_that_is_redefined_in_the_program(tmp_path: Path) -> None:
    done = run_text(
        tmp_path,
        """
        __all__ = ["f"]

        def f(x):
            return x

        class Kept:
            pass

        def is_kept(kept):
            return isinstance(kept, Kept)

        if __name__ == "__main__":
            def f(x):
                return 10 * x

            print(list(futures.map(f, range(3))), futures.submit(is_kept, Kept()).result())
        """,
    )
    assert (done.returncode, done.stdout) == (0, "[0, 10, 20] True\n"), done.stderr


@pytest.mark.parametrize("has_rsync", [True, False])
def test_staged_data_behind_a_link(tmp_path: Path, has_rsync: bool) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "real.txt").write_text("found")
    (tmp_path / "table.txt").symlink_to("data/real.txt")
    (tmp_path / "tables").symlink_to("data")
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "own.txt").symlink_to("../data/real.txt")
    (tmp_path / "project" / "program.py").write_text(
        "from pathlib import Path\nfrom scoop import futures\n"
        "if __name__ == '__main__':\n"
        "    for path in ('table.txt', 'tables/real.txt', 'own.txt'):\n"
        "        print(futures.submit(Path(path).read_text).result())\n"
    )
    staged = [*RUN, "-n", "1", "--stage"]
    for name in ("table.txt", "tables", "project/own.txt"):
        staged += ["--data", name]
    if not has_rsync:
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "env").symlink_to("/usr/bin/env")
        staged = ["env", f"PATH={tmp_path}/bin", *staged]
    done = run([*staged, "project/program.py"], tmp_path)
    assert (done.returncode, done.stdout) == (0, 3 * "found\n"), done.stderr


def test_runs_of_scoopsci_in_a_program(tmp_path: Path) -> None:
    text = """
        import json
        import scoopsci

        if __name__ == "__main__":
            print(json.dumps([[found.engine, found.value.hex()] for found in
                              (scoopsci.pi(200_000, seed=3, engine=name)
                               for name in ("serial", "auto", "scoop"))]))
        """
    done = run_text(tmp_path, text)
    assert done.returncode == 0, done.stderr
    engines, bits = zip(*json.loads(done.stdout), strict=True)
    assert engines == ("serial", "scoop", "scoop")
    assert len(set(bits)) == 1


SETTINGS = """
    import atexit, decimal, os, subprocess, sys, warnings
    import numpy as np

    decimal.getcontext().prec = 50
    np.seterr(divide="raise")
    folder = os.path.dirname(os.path.abspath(__file__))
    if __name__ != "__main__":
        atexit.register(open, f"{folder}/atexit", "w")
    kept = open(f"{folder}/{__name__}.left", "w")
    kept.write("flushed")

    def look(item):
        shown = subprocess.run(
            ["sh", "-c", "umask; echo $OMP_NUM_THREADS; grep SigIgn /proc/self/status"],
            capture_output=True, text=True, check=True,
        )
        first = warnings.filters[0][0]
        return decimal.getcontext().prec, np.geterr()["divide"], first, shown.stdout

    def change(item):
        decimal.getcontext().prec = 3
        os.chdir("/")
        os.environ["CHANGED"] = "yes"
        return list(futures.map(look, [item]))[0]

    def changes(item):
        return decimal.getcontext().prec, os.getcwd() == folder, os.environ.get("CHANGED")

    if __name__ == "__main__":
        assert set(futures.map(look, range(9))) == {look(0)}
        decimal.getcontext().prec = 60
        warnings.simplefilter("error")
        assert set(futures.map(look, range(9))) == {look(0)}
        import scoopsci
        assert set(scoopsci.map(look, range(9))) == {look(0)}
        assert {found[0] for found in futures.map(change, range(9))} == {3}
        assert set(futures.map(changes, range(9))) == {(60, True, None)}
        print("equal")
"""


def test_tasks_have_the_program_s_settings_and_workers_end_as_programs(tmp_path: Path) -> None:
    done = run_text(tmp_path, SETTINGS)
    assert (done.stdout, done.stderr) == ("equal\n", "")
    assert (tmp_path / "atexit").exists()
    assert (tmp_path / "SCOOP_WORKER.left").read_text() == "flushed"
