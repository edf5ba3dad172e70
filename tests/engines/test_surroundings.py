"""What pools and local processes do about the program around them: forks, initializers, ends."""

from __future__ import annotations

import atexit
import contextlib
import decimal
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import loky
import psutil
import pytest

import scoopsci
from scoopsci import Engine, EngineError, Pool, open_engine
from scoopsci.basics.processors import count_processors
from scoopsci.testing.surroundings import start_processes
from scoopsci.testing.users import users_module
from tests.conftest import becomes

cloudpickle.register_pickle_by_value(sys.modules[__name__])

GENEROUS_S = 60.0

ENGINES = ("processes", "pool")


@pytest.fixture(params=ENGINES)
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@contextlib.contextmanager
def opened(name: str, **options: Any) -> Iterator[Engine]:
    with Pool(**options) if name == "pool" else open_engine(name, **options) as engine:
        yield engine


# --- initializers


def set_up(mark: Path, value: str) -> None:
    with mark.open("a") as file:
        file.write(f"{os.getpid()}\n")
    os.environ["SET_UP"] = value
    decimal.getcontext().prec = 33
    print("set up")


def what_is_set_up() -> tuple[str | None, int]:
    return os.environ.get("SET_UP"), decimal.getcontext().prec


def refuse(words: str) -> None:
    raise LookupError(words)


def end_worker() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class TestInitializers:
    def test_runs_on_each_worker_and_those_that_replace_them(
        self, name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        mark = tmp_path / "mark"
        with opened(name, n_workers=1, initializer=set_up, initargs=(mark, "yes")) as engine:
            assert engine.submit(what_is_set_up).result(GENEROUS_S) == ("yes", 33)
            with pytest.raises(scoopsci.ScoopsciError):
                engine.submit(end_worker).result(GENEROUS_S)
            assert engine.submit(what_is_set_up).result(GENEROUS_S) == ("yes", 33)
        assert len(set(mark.read_text().splitlines())) >= 2
        assert "] set up\n" in capfd.readouterr().err

    def test_the_driver_s_settings_come_before_what_it_sets(
        self, name: str, tmp_path: Path
    ) -> None:
        with opened(name, n_workers=1, initializer=set_up, initargs=(tmp_path / "m", "")) as engine:
            with decimal.localcontext() as context:
                context.prec = 50
                assert engine.submit(what_is_set_up).result(GENEROUS_S)[1] == 50
            assert engine.submit(what_is_set_up).result(GENEROUS_S)[1] == 33

    def test_that_fails_ends_the_start(self, name: str) -> None:
        told = "the initializer of .* failed: .*LookupError: no data"
        with (
            pytest.raises(EngineError, match=told) as failed,
            opened(name, n_workers=1, initializer=refuse, initargs=("no data",)),
        ):
            pass
        assert isinstance(failed.value.__cause__, LookupError)

    def test_that_cannot_be_called_is_refused(self, name: str) -> None:
        with (
            pytest.raises(TypeError, match="initializer must be callable, got 3"),
            opened(name, n_workers=1, initializer=3),
        ):
            pass


# --- forks of the program


def in_fork(fn: Callable[[], object]) -> str:
    """Return what a call raises in a forked child."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            fn()
            words = "nothing"
        except BaseException as error:
            words = f"{type(error).__name__}: {error}"
        os.write(write, words.encode())
        os._exit(0)
    os.close(write)
    try:
        with open(read) as answer:
            return answer.read()
    finally:
        os.waitpid(pid, 0)


CALLS: dict[str, Callable[[Any], object]] = {
    "submit": lambda engine: engine.submit(abs, -3),
    "map": lambda engine: list(engine.map(abs, [-3])),
    "a run": lambda engine: list(scoopsci.map(abs, [-3], engine=engine)),
    "shutdown": lambda engine: engine.shutdown(),
    "status": lambda engine: engine.status(),
    "resize": lambda engine: engine.resize(2),
    "broadcast": lambda engine: engine.broadcast([1.0]),
    "submit_within": lambda engine: engine.submit_within(9.0, abs, -3),
}

#: A program whose forked child ends as programs do, with an engine open.
FORKS = """
import os, sys
import scoopsci

with scoopsci.open_engine(sys.argv[1], n_workers=1) as engine:
    waits = engine.submit(sum, [1, 2])
    if os.fork() == 0:
        sys.exit(5)
    _, status = os.wait()
    print(os.waitstatus_to_exitcode(status), waits.result(), engine.submit(abs, -3).result())
"""


class TestForks:
    @pytest.mark.parametrize("call", CALLS)
    def test_of_the_program_are_told_who_owns_the_engine(self, name: str, call: str) -> None:
        only_pool = call in ("status", "resize", "broadcast", "submit_within")
        if name == "processes" and only_pool:
            name = "pool"
        with opened(name, n_workers=1) as engine:
            engine.submit(time.sleep, 0.2)  # in flight: a shutdown would wait for it
            told = in_fork(lambda: CALLS[call](engine))
            assert told.startswith("EngineError: "), told
            assert f"belongs to process {os.getpid()}, and this is process" in told
            assert engine.submit(abs, -3).result(GENEROUS_S) == 3

    def test_may_end_and_leave_it_alone(self, name: str) -> None:
        command = [sys.executable, "-c", FORKS, name]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
        assert (done.stdout, done.stderr) == ("5 3 3\n", "")


# --- what user code relies on

SETS_VARIABLE = """
from contextvars import ContextVar

VARIABLE = ContextVar("variable")
VARIABLE.set(5)

def swap(value):
    before = VARIABLE.get()
    VARIABLE.set(value)
    return before
"""


class TestCode:
    def test_a_context_variable_that_a_module_sets_is_set_for_all_tasks(
        self, name: str, tmp_path: Path
    ) -> None:
        with (
            users_module(tmp_path, f"sets_variable_{name}", SETS_VARIABLE) as module,
            opened(name, n_workers=1) as engine,
        ):
            for _ in range(4):
                assert engine.submit(module.swap, 6).result(GENEROUS_S) == 5

    @pytest.mark.parametrize("method", [None, "spawn", "fork", "forkserver"])
    def test_a_task_starts_processes_as_the_driver_does(
        self, name: str, method: str | None
    ) -> None:
        with opened(name, n_workers=1) as engine:
            found = engine.submit(start_processes, method).result(GENEROUS_S)
            assert found == [multiprocessing.get_start_method(), 3]


# --- how workers end


def leave_open(folder: Path) -> None:
    file = (folder / "left").open("w")
    file.write("unflushed")
    vars(textwrap)["left"] = file  # as a global of a module would be
    atexit.register((folder / "atexit").touch)


def sleep_long(mark: Path) -> None:
    mark.touch()
    time.sleep(GENEROUS_S)


def hold_out() -> None:
    atexit.register(time.sleep, GENEROUS_S)


class TestEnds:
    def test_workers_end_as_programs_do(self, name: str, tmp_path: Path) -> None:
        with opened(name, n_workers=1) as engine:
            engine.submit(leave_open, tmp_path).result(GENEROUS_S)
            assert (tmp_path / "left").read_text() == ""
        assert (tmp_path / "left").read_text() == "unflushed"
        assert (tmp_path / "atexit").exists()

    def test_surplus_workers_do_so_too(self, tmp_path: Path) -> None:
        with Pool(1) as pool:
            pool.submit(leave_open, tmp_path).result(GENEROUS_S)
            (pid,) = pool.hosts[0]["workers"]
            pool.resize(2)
            assert becomes(lambda: len(pool.hosts[0]["workers"]) == 2)
            pool.resize(1)  # of idle workers, the first ends
            assert becomes(lambda: pid not in pool.hosts[0]["workers"])
            assert (tmp_path / "atexit").exists()
            assert (tmp_path / "left").read_text() == "unflushed"

    def test_those_that_hold_out_are_ended(self) -> None:
        with Pool(1) as pool:
            pool.submit(hold_out).result(GENEROUS_S)
            worker = psutil.Process(pool.hosts[0]["workers"][0])
        assert not worker.is_running()

    def test_those_that_run_a_task_are_not_waited_for(self, tmp_path: Path) -> None:
        pool = Pool(1)
        pool.submit(sleep_long, tmp_path / "mark")
        assert becomes((tmp_path / "mark").exists)
        worker = psutil.Process(pool.hosts[0]["workers"][0])
        pool.shutdown(wait=False)
        assert not worker.is_running()


# --- the program's own state

#: Writes what two runs give into a file: there may be no standard output.
PROGRAM = """
import os, sys, tempfile
import scoopsci

def talk(item):
    print("said", item)
    print("complained", file=sys.stderr)
    return item * item

{change}
with open(sys.argv[2], "w") as out:
    try:
        with scoopsci.open_engine(sys.argv[1], n_workers=1) as engine:
            found = list(engine.map(talk, range(3)))
            assert found == list(scoopsci.map(talk, range(3), engine=engine))
            out.write(str(found))
    except scoopsci.EngineError as error:
        out.write(str(error))
"""

FOLDER = """
folder = tempfile.mkdtemp()
os.chdir(folder)
os.rmdir(folder)
"""


class TestPrograms:
    @pytest.mark.parametrize("engine", ["serial", *ENGINES])
    @pytest.mark.parametrize(
        "change",
        ["sys.stdout.close(); sys.stderr.close()", "sys.stdout = sys.stderr = None", FOLDER],
        ids=["closed", "none", "folder"],
    )
    def test_lack_streams_or_a_folder(self, engine: str, change: str, tmp_path: Path) -> None:
        program, out = tmp_path / "program.py", tmp_path / "out"
        program.write_text(PROGRAM.format(change=textwrap.dedent(change)))
        subprocess.run([sys.executable, program, engine, out], timeout=100, check=True)
        if engine == "processes" and change == FOLDER:
            assert "the working folder has been deleted; change to one" in out.read_text()
        else:
            assert out.read_text() == "[0, 1, 4]"

    def test_count_the_same_processors(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert count_processors() == loky.cpu_count()
        monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
        for engine in ENGINES:
            with open_engine(engine) as one:
                assert one.n_workers == count_processors() == loky.cpu_count() == 1

    def test_serve_arguments_by_a_manager(self, name: str) -> None:
        with opened(name, n_workers=1) as engine, multiprocessing.Manager() as manager:
            shared = manager.dict()
            engine.submit(shared.update, {"a": 1}).result(GENEROUS_S)
            assert dict(shared) == {"a": 1}

    def test_show_no_key_in_a_list_of_processes(self) -> None:
        key = bytes(multiprocessing.current_process().authkey)
        with Pool(1):
            for child in psutil.Process().children(recursive=True):
                shown = " ".join([*child.cmdline(), *map(str, child.environ().items())])
                assert key.hex() not in shown
                assert repr(key) not in shown
