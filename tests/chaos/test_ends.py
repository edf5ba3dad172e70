"""Ends of brokers and drivers: typed errors, and nothing left behind."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import cloudpickle
import psutil
import pytest

import scoopsci
from scoopsci import EngineError, Pool
from tests.chaos.conftest import (
    GENEROUS_S,
    bits,
    find_broker,
    invert,
    read_pid,
    touch_and_wait,
    wait_until,
    workers_of,
)
from tests.conftest import REPOSITORY, wait_for_ends

cloudpickle.register_pickle_by_value(sys.modules[__name__])


def nothing_is_left(place: Path) -> bool:
    return not list(place.glob("scoopsci-*"))


# --- the broker


@pytest.mark.parametrize(
    "how", [signal.SIGKILL, signal.SIGTERM, pytest.param(signal.SIGSTOP, marks=pytest.mark.slow)]
)
def test_the_end_of_the_broker_ends_every_call(how: signal.Signals, tmp_path: Path) -> None:
    def idle(item: int) -> int:
        time.sleep(GENEROUS_S)
        return item

    def run() -> list[int]:
        return list(scoopsci.map(idle, range(100), engine=pool))

    never = tmp_path / "never"
    with ThreadPoolExecutor(1) as thread, Pool(2) as pool:
        futures = [pool.submit(touch_and_wait, tmp_path / "pid", never)]
        read_pid(tmp_path / "pid")
        futures += [pool.submit(touch_and_wait, tmp_path / "other", never) for _ in range(20)]
        mapping = thread.submit(run)
        workers = [psutil.Process(pid) for pid in workers_of(pool)]
        broker = find_broker()
        broker.send_signal(how)
        assert not wait([*futures, mapping], GENEROUS_S).not_done
        for future in [*futures, mapping]:
            with pytest.raises(EngineError, match="broker of the pool"):
                future.result(0)
        with pytest.raises(EngineError, match="open a new pool"):
            pool.submit(int)
        with pytest.raises(EngineError, match="open a new pool"):
            list(scoopsci.map(invert, range(5), engine=pool))
    wait_for_ends([broker, *workers])
    with Pool(1) as pool:
        assert pool.submit(pow, 2, 5).result(GENEROUS_S) == 32


# --- the driver

HEAD = """
import itertools, os, signal, subprocess, sys, threading, time
import scoopsci

def visit(item):
    if item == 7:
        subprocess.Popen(["sleep", "1000"])
    time.sleep(0.01)
    return item

def run(pool):
    for n, _ in enumerate(scoopsci.map(visit, itertools.count(), engine=pool)):
        if n == 20:
            print("runs", flush=True)
"""

PLAIN = """
with scoopsci.Pool(2) as pool:
    run(pool)
"""

NEVER_CLOSED = """
pool = scoopsci.Pool(2)
run(pool)
"""

IN_THREAD = """
def work():
    with scoopsci.Pool(1) as pool:
        run(pool)

threading.Thread(target=work, daemon=True).start()
while True:
    time.sleep(1)
"""

WITH_CHILD = """
with scoopsci.Pool(2) as pool:
    child = os.fork()
    if child == 0:
        time.sleep(1000)
        os._exit(0)
    print(child, flush=True)
    run(pool)
"""

BY_SUBMIT = """
with scoopsci.Pool(2) as pool:
    futures = [pool.submit(visit, item) for item in range(5_000)]
    futures[20].result()
    last = pool.submit(time.sleep, 10_000)
    print("runs", flush=True)
    last.result()
"""

PROGRAMS = {"plain": PLAIN, "never closed": NEVER_CLOSED, "thread": IN_THREAD, "submit": BY_SUBMIT}


def start_program(text: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HEAD + text],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONWARNINGS": "ignore"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


@contextlib.contextmanager
def running(text: str) -> Iterator[subprocess.Popen[str]]:
    """Start a driver, and in the end kill it with all that it has started."""
    started: list[psutil.Process] = []
    driver = start_program(text)
    try:
        started.append(psutil.Process(driver.pid))
        yield driver
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            started += psutil.Process(driver.pid).children(recursive=True)
        for process in started:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        driver.communicate()


def read_line(driver: subprocess.Popen[str]) -> str:
    assert driver.stdout is not None
    return driver.stdout.readline().strip()


def kill(driver: subprocess.Popen[str]) -> None:
    driver.kill()


def terminate(driver: subprocess.Popen[str]) -> None:
    driver.terminate()


def interrupt(driver: subprocess.Popen[str]) -> None:
    driver.send_signal(signal.SIGINT)


def interrupt_twice(driver: subprocess.Popen[str]) -> None:
    driver.send_signal(signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        driver.wait(0.05)  # a second key stroke comes later
    driver.send_signal(signal.SIGINT)


WAYS: list[Callable[[subprocess.Popen[str]], None]] = [kill, terminate, interrupt, interrupt_twice]


#: Each program and each signal at least once; other pairs only if slow tests are run.
ENDS = [
    pytest.param(program, end, marks=[] if program == "plain" or end is kill else pytest.mark.slow)
    for program in PROGRAMS
    for end in WAYS
]


@pytest.mark.parametrize(("program", "end"), ENDS)
def test_a_driver_leaves_nothing_behind(
    end: Callable[[subprocess.Popen[str]], None], program: str, place: Path
) -> None:
    with running(PROGRAMS[program]) as driver:
        assert read_line(driver) == "runs"
        family = psutil.Process(driver.pid).children(recursive=True)
        assert len(family) >= 3  # broker, agent, workers
        assert not nothing_is_left(place)
        end(driver)
        assert driver.wait(GENEROUS_S) != 0
        wait_for_ends(family)
        wait_until(lambda: nothing_is_left(place), "the folder is removed")


def test_a_driver_that_is_killed_while_the_pool_starts(place: Path) -> None:
    with running(PLAIN) as driver:
        wait_until(lambda: not nothing_is_left(place), "there is a folder")
        wait_until(lambda: psutil.Process(driver.pid).children(), "there is a broker")
        time.sleep(0.02)  # it is still loading what it needs
        family = psutil.Process(driver.pid).children(recursive=True)
        driver.kill()
        driver.wait()
        wait_for_ends(family)
        wait_until(lambda: nothing_is_left(place), "the folder is removed")


DIES_AT_THE_BROKER = """
import os, signal, subprocess, sys
import scoopsci

start = subprocess.Popen

def start_and_die(*args, **options):
    if sys.argv[1] == "after":
        start(*args, **options)
    os.kill(os.getpid(), signal.SIGKILL)

subprocess.Popen = start_and_die
scoopsci.Pool(1)
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_driver_that_is_killed_where_it_starts_the_broker(when: str, place: Path) -> None:
    command = [sys.executable, "-c", DIES_AT_THE_BROKER, when]
    done = subprocess.run(command, capture_output=True, text=True, timeout=GENEROUS_S, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGKILL, "")
    assert nothing_is_left(place)


def test_a_child_of_the_driver_outlives_it(place: Path) -> None:
    with running(WITH_CHILD) as driver:
        child = psutil.Process(int(read_line(driver)))
        try:
            assert read_line(driver) == "runs"
            family = psutil.Process(driver.pid).children(recursive=True)
            family.remove(child)
            driver.kill()
            wait_for_ends(family)
            wait_until(lambda: nothing_is_left(place), "the folder is removed")
            assert child.status() != psutil.STATUS_ZOMBIE
        finally:
            child.kill()


@pytest.mark.parametrize("how", ["sys.exit()", "del pool, handle", "pool.shutdown(); sys.exit()"])
def test_the_pool_survives_the_end_of_a_child_of_the_driver(how: str) -> None:
    program = f"""
    import gc
    import numpy as np
    pool = scoopsci.Pool(1)
    handle = pool.broadcast(np.arange(10))
    child = os.fork()
    if child == 0:
        {how}
        gc.collect()
        sys.exit()
    os.waitpid(child, 0)
    pool.submit(os._exit, 1).exception()  # a new worker has to find the folder
    print(pool.submit(lambda: int(handle.array[3])).result(30), flush=True)
    pool.shutdown()
    """
    with running(textwrap.dedent(program)) as driver:
        assert read_line(driver) == "3"
        assert driver.wait(GENEROUS_S) == 0


# --- pools opened and closed repeatedly


@pytest.mark.parametrize("n_cycles", [4, pytest.param(50, marks=pytest.mark.slow)])
def test_pools_come_and_go(n_cycles: int, place: Path) -> None:
    def look() -> tuple[int, int, int]:
        descriptors = os.listdir("/proc/self/fd")
        return len(descriptors), threading.active_count(), len(psutil.Process().children())

    sizes = []
    for cycle in range(n_cycles):
        with Pool(1) as pool:
            assert pool.submit(pow, 2, cycle).result(GENEROUS_S) == 2**cycle
        sizes.append(look())
        assert nothing_is_left(place)
    assert sizes[1:] == [sizes[1]] * (n_cycles - 1)


def test_several_pools_at_once() -> None:
    expected = bits(scoopsci.map(invert, range(60), engine="serial"))
    expected_pi = scoopsci.pi(1_000_000, seed=8, engine="serial").receipt["result"]
    with Pool(1) as first, Pool(2) as second:
        maps = [scoopsci.map(invert, range(60), engine=pool) for pool in (first, second, first)]
        rows = list(zip(*maps, strict=True))
        assert [bits(column) for column in zip(*rows, strict=True)] == [expected] * 3
        assert not {*workers_of(first)} & {*workers_of(second)}
        first.shutdown()
        assert scoopsci.pi(1_000_000, seed=8, engine=second).receipt["result"] == expected_pi


@pytest.mark.slow
def test_pools_in_threads() -> None:
    def work(_: int) -> tuple[list[str], Any]:
        with Pool(1) as pool:
            found = bits(scoopsci.map(invert, range(60), engine=pool))
            return found, scoopsci.pi(1_000_000, seed=8, engine=pool).receipt["result"]

    expected = bits(scoopsci.map(invert, range(60), engine="serial"))
    expected_pi = scoopsci.pi(1_000_000, seed=8, engine="serial").receipt["result"]
    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(work, range(3))) == [(expected, expected_pi)] * 3


def test_threads_share_a_pool() -> None:
    def work(_: int) -> list[str]:
        futures = [pool.submit(invert, item) for item in range(20)]
        found = bits(future.result(GENEROUS_S) for future in futures)
        return found + bits(scoopsci.map(invert, range(20, 60), engine=pool))

    expected = bits(scoopsci.map(invert, range(60), engine="serial"))
    with ThreadPoolExecutor(4) as threads, Pool(2) as pool:
        assert list(threads.map(work, range(8))) == [expected] * 8


def test_a_pool_that_is_never_closed_is_collected(place: Path) -> None:
    driver = psutil.Process()
    others = driver.children(recursive=True)  # of fixtures, such as isolated hosts
    pool = Pool(1)
    family = [child for child in driver.children(recursive=True) if child not in others]
    assert len(family) >= 2, "a broker and an agent"
    assert pool.submit(pow, 2, 5).result(GENEROUS_S) == 32
    del pool
    gc.collect()
    wait_for_ends([child for child in family if "resource_tracker" not in " ".join(cmdline(child))])
    wait_until(lambda: nothing_is_left(place), "the folder is removed")


def cmdline(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        return process.cmdline()
    return []


def test_a_pool_is_collected_where_its_last_task_ends(place: Path, tmp_path: Path) -> None:
    pool = Pool(1)
    broker = find_broker()
    pool.submit(touch_and_wait, tmp_path / "pid", tmp_path / "go")
    read_pid(tmp_path / "pid")
    del pool
    gc.collect()
    (tmp_path / "go").touch()
    wait_for_ends([broker])
    wait_until(lambda: nothing_is_left(place), "the folder is removed")


def test_shutdown_without_waiting(place: Path, tmp_path: Path) -> None:
    pool = Pool(2)
    future = pool.submit(touch_and_wait, tmp_path / "pid", tmp_path / "never")
    read_pid(tmp_path / "pid")
    workers = [psutil.Process(pid) for pid in workers_of(pool)]
    pool.shutdown(wait=False)
    assert isinstance(future.exception(GENEROUS_S), EngineError)
    wait_for_ends(workers)
    pool.shutdown()
    with pytest.raises(RuntimeError, match="shut down"):
        pool.submit(int)


def test_a_pool_is_closed_by_a_callback(tmp_path: Path) -> None:
    closed = threading.Event()

    def close(_: object) -> None:
        pool.shutdown(wait=False)
        closed.set()

    with Pool(1) as pool:
        workers = [psutil.Process(pid) for pid in workers_of(pool)]
        pool.submit(touch_and_wait, tmp_path / "pid", tmp_path / "go").add_done_callback(close)
        read_pid(tmp_path / "pid")
        (tmp_path / "go").touch()
        assert closed.wait(GENEROUS_S)
    wait_for_ends(workers)


def test_an_error_in_the_block_ends_the_pool(tmp_path: Path) -> None:
    with contextlib.suppress(ZeroDivisionError), Pool(2) as pool:
        future = pool.submit(touch_and_wait, tmp_path / "pid", tmp_path / "never")
        worker = psutil.Process(read_pid(tmp_path / "pid"))
        raise ZeroDivisionError
    assert isinstance(future.exception(GENEROUS_S), EngineError)
    wait_for_ends([worker])
