"""Workers and agents that are killed, stopped and replaced: every run has the serial bits."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import cloudpickle
import psutil
import pytest

import scoopsci
from scoopsci import EngineError, Pool
from scoopsci.reporting.progress import Progress
from tests.chaos.conftest import (
    GENEROUS_S,
    bits,
    count,
    invert,
    note,
    read_pid,
    touch_and_wait,
    wait_for_workers,
    wait_until,
    workers_of,
)
from tests.sizes import points_taking

cloudpickle.register_pickle_by_value(sys.modules[__name__])

Strike = Callable[[Pool], None]


@cache
def serial_bits(n_items: int) -> list[str]:
    return bits(scoopsci.map(invert, range(n_items), engine="serial"))


def state_of(pid: int) -> str:
    return psutil.Process(pid).status()


def kill_a_worker(pool: Pool) -> None:
    wait_until(lambda: workers_of(pool), "there is a worker")
    with contextlib.suppress(ProcessLookupError):
        os.kill(workers_of(pool)[0], signal.SIGKILL)


def kill_all_workers(pool: Pool) -> None:
    for pid in workers_of(pool):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def kill_the_agent(pool: Pool) -> None:
    wait_until(lambda: pool.hosts[0]["agent"], "there is an agent")
    with contextlib.suppress(ProcessLookupError):
        os.kill(pool.hosts[0]["agent"], signal.SIGKILL)


def terminate_a_worker(pool: Pool) -> None:
    wait_until(lambda: workers_of(pool), "there is a worker")
    with contextlib.suppress(ProcessLookupError):
        os.kill(workers_of(pool)[-1], signal.SIGTERM)


STRIKES: list[Strike] = [kill_a_worker, kill_all_workers, terminate_a_worker, kill_the_agent]


def test_idle_workers_are_killed_in_turn() -> None:
    expected = serial_bits(30)
    with Pool(3) as pool:
        for pid in workers_of(pool):
            os.kill(pid, signal.SIGKILL)
            assert bits(scoopsci.map(invert, range(30), engine=pool)) == expected
            wait_for_workers(pool, 3, without=[pid])
        found = scoopsci.pi(1_000_000, seed=3, engine=pool)
    expected_pi = scoopsci.pi(1_000_000, seed=3, engine="serial")
    assert found.receipt["result"] == expected_pi.receipt["result"]


def test_busy_workers_are_killed_in_turn(tmp_path: Path) -> None:
    def visit(item: int) -> float:
        if item % 10 == 5 and note(tmp_path, item) == 1:
            touch_and_wait(tmp_path / f"pid{item}", tmp_path / "never")
        return 1.0 / (item + 3)

    receipts: list[dict[str, Any]] = []
    options: Any = {"chunk_target_s": 1e-9, "receipt": receipts.append}
    with ThreadPoolExecutor(1) as thread, Pool(3) as pool:
        run = thread.submit(lambda: [*scoopsci.map(visit, range(60), engine=pool, **options)])
        for item in range(5, 60, 10):
            os.kill(read_pid(tmp_path / f"pid{item}"), signal.SIGKILL)
        assert bits(run.result(GENEROUS_S)) == bits(1.0 / (item + 3) for item in range(60))
    assert receipts[0]["run"]["n_lost_tasks"] >= 6
    assert count(tmp_path, range(5, 60, 10)) == [2] * 6


@pytest.mark.parametrize("strike", STRIKES)
def test_a_failure_in_the_middle_of_a_map_changes_no_bit(strike: Strike) -> None:
    with Pool(2) as pool:
        results = scoopsci.map(invert, range(200), engine=pool, chunk_target_s=0.02)
        found = bits(itertools.islice(results, 40))
        strike(pool)
        found += bits(itertools.islice(results, 100))
        strike(pool)
        found += bits(results)
        wait_for_workers(pool, 2)
    assert found == serial_bits(200)


@pytest.mark.parametrize("strike", STRIKES)
@pytest.mark.slow
def test_a_failure_in_the_middle_of_pi_changes_no_bit(strike: Strike) -> None:
    struck: list[int] = []

    def look(state: Progress) -> None:
        if state.n_done >= 5 * (2 * len(struck) + 1) and len(struck) < 2:
            strike(pool)
            struck.append(state.n_done)

    n_points = points_taking(6.0)
    with Pool(2) as pool:
        found = scoopsci.pi(n_points, seed=5, engine=pool, progress=look, chunk_target_s=0.02)
        wait_for_workers(pool, 2)
    assert len(struck) == 2
    expected = scoopsci.pi(n_points, seed=5, engine="serial")
    assert found.receipt["result"] == expected.receipt["result"]


@pytest.mark.parametrize("run_s", [8.0, pytest.param(60.0, marks=pytest.mark.slow)])
def test_random_kills(run_s: float) -> None:
    n_items, n_kills = 0, 0

    def inputs() -> Iterator[int]:
        nonlocal n_items
        end_s = time.monotonic() + run_s
        while time.monotonic() < end_s or not n_kills:
            yield n_items
            n_items += 1

    def kill() -> None:
        nonlocal n_kills
        rng, mean_life_s = random.Random(4), 4.0
        while not over.wait(rng.expovariate(2 / mean_life_s)):  # of either worker
            with contextlib.suppress(ProcessLookupError, IndexError):
                os.kill(rng.choice(workers_of(pool)), signal.SIGKILL)
                n_kills += 1

    over = threading.Event()
    with Pool(2) as pool:
        killer = threading.Thread(target=kill)
        killer.start()
        try:
            found = bits(scoopsci.map(invert, inputs(), engine=pool))
        finally:
            over.set()
            killer.join()
    assert n_kills >= 1
    assert len(found) == n_items
    assert found == bits(1.0 / (item + 3) for item in range(n_items))


def test_submitted_tasks_survive_kills_from_outside(tmp_path: Path) -> None:
    def visit(item: int) -> int:
        if note(tmp_path, item) <= 4:  # more than would be poison, if it were the task's doing
            os.kill(os.getpid(), signal.SIGKILL)
        return item

    with Pool(2) as pool:
        assert pool.submit(visit, 8).result(GENEROUS_S) == 8
    assert count(tmp_path, [8]) == [5]


def test_processes_started_by_a_task_end_with_its_worker(tmp_path: Path) -> None:
    def visit() -> None:
        import subprocess

        with (tmp_path / "pid").open("w") as file:
            subprocess.run(["sh", "-c", "echo $$; exec sleep 1000"], stdout=file, check=False)

    with Pool(1) as pool:
        future = pool.submit(visit)
        child = psutil.Process(read_pid(tmp_path / "pid"))
        assert future.cancel(kill=True)
        wait_until(
            lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE,
            "the child of the task has ended",
        )


@pytest.mark.slow
def test_a_late_result_of_a_stopped_worker_counts_once(tmp_path: Path) -> None:
    go, end, late = tmp_path / "go", tmp_path / "end", tmp_path / "late"

    def visit(item: int) -> int:
        execution = note(tmp_path, item)
        if item == 5 and execution == 1:
            touch_and_wait(tmp_path / "pid", go)
            late.touch()
        if item == 39:
            while not end.exists():
                time.sleep(0.005)
        return item if execution == 1 else 1000 * execution + item

    receipts: list[dict[str, Any]] = []
    options: Any = {"chunk_target_s": 1e-9, "receipt": receipts.append}
    with ThreadPoolExecutor(1) as thread, Pool(3, host_timeout=3) as pool:
        run = thread.submit(lambda: [*scoopsci.map(visit, range(40), engine=pool, **options)])
        pid = read_pid(tmp_path / "pid")
        os.kill(pid, signal.SIGSTOP)
        try:
            wait_until(lambda: count(tmp_path, [5]) == [2], "item 5 is sent again")
            go.touch()
        finally:
            os.kill(pid, signal.SIGCONT)
        wait_until(late.exists, "the stopped worker has a result")
        end.touch()
        assert run.result(GENEROUS_S) == [2005 if item == 5 else item for item in range(40)]
        assert count(tmp_path, range(40)) == [1 + (item == 5) for item in range(40)]
        assert receipts[0]["run"]["n_lost_tasks"] == 1
        wait_until(lambda: pool.submit(os.getpid).result(GENEROUS_S) == pid, "it is used again")


def test_a_worker_that_is_stopped_for_a_moment_keeps_its_task(tmp_path: Path) -> None:
    go = tmp_path / "go"

    def visit() -> int:
        touch_and_wait(tmp_path / "pid", go)
        return note(tmp_path, "visit")

    with Pool(2) as pool:
        future = pool.submit(visit)
        pid = read_pid(tmp_path / "pid")
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: state_of(pid) == psutil.STATUS_STOPPED, "it has stopped")
        assert pool.submit(pow, 2, 5).result(GENEROUS_S) == 32
        go.touch()
        os.kill(pid, signal.SIGCONT)
        assert future.result(GENEROUS_S) == 1


@pytest.mark.slow
def test_an_idle_worker_is_stopped() -> None:
    with Pool(2, host_timeout=3) as pool:
        pid = workers_of(pool)[0]
        os.kill(pid, signal.SIGSTOP)
        try:
            assert bits(scoopsci.map(invert, range(50), engine=pool)) == serial_bits(50)
        finally:
            os.kill(pid, signal.SIGCONT)
        wait_until(lambda: pool.submit(os.getpid).result(GENEROUS_S) == pid, "it is used again")


@pytest.mark.slow
def test_no_call_waits_for_ever_where_all_workers_are_stopped() -> None:
    with Pool(1, host_timeout=1) as pool:
        (pid,) = workers_of(pool)
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(EngineError, match="no worker"):
                list(scoopsci.map(invert, range(5), engine=pool))
        finally:
            os.kill(pid, signal.SIGCONT)
        assert bits(scoopsci.map(invert, range(5), engine=pool)) == serial_bits(5)


@pytest.mark.slow
def test_an_agent_is_stopped_and_goes_on() -> None:
    with Pool(2, host_timeout=1) as pool:
        results = scoopsci.map(invert, range(200), engine=pool)
        found = bits(itertools.islice(results, 40))
        agent = pool.hosts[0]["agent"]
        os.kill(agent, signal.SIGSTOP)
        try:
            found += bits(results)
            wait_until(lambda: pool.hosts[0]["agent"] not in (None, agent), "there is a new agent")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(agent, signal.SIGCONT)
        wait_for_workers(pool, 2)
    assert found == serial_bits(200)


@pytest.mark.slow
def test_poison_after_so_many_deaths(tmp_path: Path) -> None:
    def visit(item: int) -> None:
        note(tmp_path, item)
        os._exit(5)

    for n_deaths in (1, 2):
        with Pool(1, poison_after=n_deaths) as pool:
            error = pool.submit(visit, n_deaths).exception(GENEROUS_S)
        assert isinstance(error, scoopsci.PoisonTaskError)
        assert f"{n_deaths} times" in str(error)
    options: Any = {"poison_after": 2, "on_error": "return", "chunk_target_s": 1e-9}
    with Pool(2) as pool:
        (found,) = scoopsci.map(visit, [9], engine=pool, **options)
    assert isinstance(found, scoopsci.PoisonTaskError)
    assert count(tmp_path, [1, 2, 9]) == [1, 2, 2]


def test_resize_of_an_idle_pool() -> None:
    expected = serial_bits(40)
    with Pool(1) as pool:
        for n_workers in (3, 1, 2):
            pool.resize(n_workers)
            wait_for_workers(pool, n_workers)
            assert pool.n_workers == n_workers
            assert bits(scoopsci.map(invert, range(40), engine=pool)) == expected
        with pytest.raises(ValueError, match="at least 1"):
            pool.resize(0)
        with pytest.raises(ValueError, match=r"at most 4096, .* got 5000; name more hosts"):
            pool.resize(5000)
        assert pool.n_workers == 2


def test_resize_of_a_busy_pool(tmp_path: Path) -> None:
    go = tmp_path / "go"

    def visit(item: int) -> int:
        touch_and_wait(tmp_path / f"pid{item}", go)
        return note(tmp_path, item)

    with Pool(3) as pool:
        futures = [pool.submit(visit, item) for item in range(3)]
        busy = {read_pid(tmp_path / f"pid{item}") for item in range(3)}
        assert len(busy) == 3
        pool.resize(1)
        wait_until(lambda: pool.n_workers == 1, "the pool knows")
        assert set(workers_of(pool)) == busy
        go.touch()
        assert [future.result(GENEROUS_S) for future in futures] == [1, 1, 1]
        wait_for_workers(pool, 1)
        assert set(workers_of(pool)) < busy
        results = scoopsci.map(invert, range(200), engine=pool)
        found = bits(itertools.islice(results, 20))
        pool.resize(3)
        found += bits(itertools.islice(results, 80))
        pool.resize(2)
        found += bits(results)
        wait_for_workers(pool, 2)
    assert found == serial_bits(200)
