"""The contract, for a pool on this machine, and its status."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from scoopsci import EngineTimeoutError, Pool, open_engine
from scoopsci.pool.status import MOST_LOSSES, LossLog
from scoopsci.testing.engines import WorkersContract
from tests.conftest import becomes

GENEROUS_S = 60.0


class TestPool(WorkersContract):
    name = "pool"


def wait_for(go: Path) -> None:
    """Return once a file is there."""
    while not go.exists():
        time.sleep(0.005)


def workers_of(pool: Pool) -> list[dict[str, Any]]:
    (host,) = pool.status()["hosts"]
    workers: list[dict[str, Any]] = host["workers"]
    return workers


class TestStatus:
    @pytest.fixture
    def pool(self) -> Iterator[Pool]:
        with Pool(2) as pool:
            yield pool

    def test_describes_the_host_and_its_workers(self, pool: Pool) -> None:
        assert becomes(lambda: all(worker["memory_bytes"] for worker in workers_of(pool)))
        (host,) = pool.status()["hosts"]
        assert (host["label"], host["connected"], host["n_wanted"]) == ("localhost", True, 2)
        assert host["n_cores"] == len(os.sched_getaffinity(0))
        assert 0 < host["available_bytes"] < host["memory_bytes"]
        assert host["load"] >= 0.0
        for worker in host["workers"]:
            assert worker["memory_bytes"] > 1 << 20
            assert (worker["state"], worker["n_done"]) == ("idle", 0)
            os.kill(worker["pid"], 0)

    def test_counts_tasks_while_it_is_busy(self, pool: Pool, tmp_path: Path) -> None:
        futures = [pool.submit(wait_for, tmp_path / "go") for _ in range(9)]
        assert becomes(lambda: pool.status()["tasks"]["running"] == 2)
        assert {worker["state"] for worker in workers_of(pool)} == {"running"}
        tasks = pool.status()["tasks"]
        assert tasks["running"] + tasks["waiting"] + tasks["done"] == 9
        (tmp_path / "go").touch()
        for future in futures:
            future.result(GENEROUS_S)
        tasks = pool.status()["tasks"]
        assert tasks == {"waiting": 0, "running": 0, "done": 9, "lost": 0, "repeated": 0}
        assert sum(worker["n_done"] for worker in workers_of(pool)) == 9

    def test_lists_lost_workers(self, pool: Pool, tmp_path: Path) -> None:
        future = pool.submit(wait_for, tmp_path / "go")
        assert becomes(lambda: pool.status()["tasks"]["running"] == 1)
        (pid,) = [w["pid"] for w in workers_of(pool) if w["state"] == "running"]
        os.kill(pid, signal.SIGKILL)
        (tmp_path / "go").touch()
        future.result(GENEROUS_S)
        (loss,) = pool.status()["losses"]
        assert abs(loss.pop("at_s") - time.time()) < GENEROUS_S
        assert loss == {"host": "localhost", "pid": pid, "why": "ended with SIGKILL"}
        tasks = pool.status()["tasks"]
        assert (tasks["lost"], tasks["repeated"], tasks["done"]) == (1, 1, 1)
        assert becomes(lambda: sum(w["state"] == "idle" for w in workers_of(pool)) == 2)

    def test_shows_stopped_workers_and_drops_unwanted_ones(self, pool: Pool) -> None:
        first, second = [worker["pid"] for worker in workers_of(pool)]
        os.kill(first, signal.SIGSTOP)
        try:
            assert becomes(lambda: {w["state"] for w in workers_of(pool)} == {"idle", "stopped"})
        finally:
            os.kill(first, signal.SIGCONT)
        assert becomes(lambda: {w["state"] for w in workers_of(pool)} == {"idle"})
        pool.resize(1)
        assert becomes(lambda: len(workers_of(pool)) == 1)
        assert workers_of(pool)[0]["pid"] in (first, second)
        assert pool.status()["losses"] == []

    def test_may_be_asked_by_many_threads_and_by_no_callback(
        self, pool: Pool, tmp_path: Path
    ) -> None:
        found: list[Any] = []

        def ask(*_: Future[Any]) -> None:
            try:
                found.append(pool.status()["hosts"][0]["n_wanted"])
            except RuntimeError as error:
                found.append(str(error))

        futures = [pool.submit(pow, 2, 5) for _ in range(500)]
        threads = [threading.Thread(target=ask) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [2] * 20
        assert {future.result(GENEROUS_S) for future in futures} == {32}
        pool.submit(wait_for, tmp_path / "go").add_done_callback(ask)
        (tmp_path / "go").touch()
        assert becomes(lambda: len(found) == 21)
        assert "cannot wait" in found[-1]

    def test_does_not_wait_for_a_broker_that_is_silent(self, pool: Pool) -> None:
        broker = pool._driver._broker.pid
        os.kill(broker, signal.SIGSTOP)
        try:
            with pytest.raises(EngineTimeoutError, match=r"not answered within 0\.2 s"):
                pool._driver.status(0.2)
        finally:
            os.kill(broker, signal.SIGCONT)
        assert becomes(lambda: len(workers_of(pool)) == 2)

    def test_ends_with_the_pool(self) -> None:
        pool = Pool(1)
        pool.shutdown()
        with pytest.raises(RuntimeError, match="has been shut down"):
            pool.status()

    def test_is_available_from_engines_too(self) -> None:
        with open_engine("pool", n_workers=1) as engine:
            found = engine.status()
            assert found is not None
            assert found["hosts"][0]["n_wanted"] == 1
        with open_engine("serial") as engine:
            assert engine.status() is None

    def test_runs_share_the_watchers(self, pool: Pool) -> None:
        told: list[object] = []
        pool.watchers.append(told.append)
        assert pool.for_runs().watchers is pool.watchers
        found = pool.for_runs().status()
        assert found is not None
        assert found["hosts"][0]["n_wanted"] == 2


def test_the_log_of_losses_is_bounded() -> None:
    log = LossLog()
    for pid in range(3 * MOST_LOSSES):
        log.add("here", pid, "ended")
    assert [loss["pid"] for loss in log] == [*range(2 * MOST_LOSSES, 3 * MOST_LOSSES)]
