"""Hosts, links, agents and drivers that fail in mid-run."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from scoopsci.pool.trace import replay
from tests import pool_console
from tests.conftest import becomes
from tests.lan import Lan
from tests.pools import (
    GENEROUS_S,
    HOST_TIMEOUT_S,
    LEASE_S,
    MACHINES,
    NODES,
    SCRATCH,
    OpenPool,
    PoolError,
    check_nothing_left,
    processes_on,
    serial_sum,
    signal_on,
)

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

#: Of a sum: six workers need about 6 s for what follows a strike.
N_ITEMS, PAUSE_S = 360, 0.1


@pytest.fixture(autouse=True)
def mended(lan: Lan) -> Iterator[None]:
    """Start each test without leftovers of another, and restore the links afterwards."""
    try:
        yield
    finally:
        for name in NODES:
            lan.mend(name)
    check_nothing_left(lan, within_s=30 + LEASE_S)


def in_mid_run(
    lan: Lan, strike: Callable[[OpenPool, list[dict[str, Any]]], None], **options: Any
) -> list[dict[str, Any]]:
    """Cause a failure during a run, and check its bits and the next run's against serial."""
    options = {"host_timeout": HOST_TIMEOUT_S, **options}
    with OpenPool(lan, **options) as pool:
        hosts = pool.hear()
        with pool.in_mid_sum(N_ITEMS, PAUSE_S):
            strike(pool, hosts)
        now: list[dict[str, Any]] = pool.ask("hosts")
        pool.check_bits()
    return now


def named(hosts: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(host for host in hosts if host["name"] == name)


@pytest.mark.slow
def test_a_link_that_goes_down_for_good(lan: Lan) -> None:
    hosts = in_mid_run(lan, lambda *_: lan.unplug("node3"))
    assert named(hosts, "node3")["connected"] is False
    # The host detects it by itself.
    check_nothing_left(lan, within_s=30 + LEASE_S)


def is_complete(pool: OpenPool, name: str) -> bool:
    return len(named(pool.ask("hosts"), name)["workers"]) == 2


@pytest.mark.slow
def test_a_link_that_is_down_for_30_s(lan: Lan) -> None:
    with OpenPool(lan, host_timeout=HOST_TIMEOUT_S) as pool:
        before = named(pool.hear(), "node3")
        with pool.in_mid_sum(N_ITEMS, PAUSE_S):
            lan.unplug("node3")
        time.sleep(30.0)
        lan.mend("node3")
        assert becomes(partial(is_complete, pool, "node3"))
        after = named(pool.ask("hosts"), "node3")
        assert not {before["agent"], *before["workers"]} & {after["agent"], *after["workers"]}
        assert pool.ask("sum", N_ITEMS, PAUSE_S) == serial_sum(N_ITEMS)
        pool.check_bits()
        folders = list((lan.root("node3") / "tmp").glob("scoopsci-*"))
        assert len(folders) == 1, folders


@pytest.mark.parametrize("from_host", [True, False], ids=["from", "to"])
@pytest.mark.slow
def test_a_link_that_drops_all_packets(lan: Lan, from_host: bool) -> None:
    hosts = in_mid_run(lan, lambda *_: lan.lose_packets("node2", from_host=from_host))
    assert named(hosts, "node2")["connected"] is False


# A result of 1 MB takes 8 s at 1 Mbit/s.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("host_timeout", "n_bytes"), [(HOST_TIMEOUT_S, 1_000_000), (15.0, 3_000_000)]
)
def test_a_slow_link_is_no_loss(lan: Lan, host_timeout: float, n_bytes: int) -> None:
    with OpenPool(lan, host_timeout=host_timeout) as pool:
        before = pool.hear()
        lan.slow_down("node2", rate="1mbit")
        pool.say("hash", 6, n_bytes)
        assert pool.hear(400) == pool_console.find_hash(6, n_bytes, "serial")
        assert [host["agent"] for host in pool.ask("hosts")] == [h["agent"] for h in before]
        assert [host["workers"] for host in pool.ask("hosts")] == [h["workers"] for h in before]


def test_an_agent_that_is_killed(lan: Lan) -> None:
    def kill(pool: OpenPool, hosts: list[dict[str, Any]]) -> None:
        signal_on(lan, "node1", named(hosts, "node1")["agent"], signal.SIGKILL)
        old = named(hosts, "node1")["agent"]
        assert becomes(lambda: agents(lan, "node1") - {old, *named(hosts, "node1")["workers"]})

    hosts = in_mid_run(lan, kill)
    assert named(hosts, "node1")["connected"] is True
    assert len(named(hosts, "node1")["workers"]) == 2


def test_an_agent_that_is_killed_at_the_end(lan: Lan) -> None:
    with OpenPool(lan) as pool:
        old = named(pool.hear(), "node1")["agent"]
        signal_on(lan, "node1", old, signal.SIGKILL)
    check_nothing_left(lan, within_s=30.0)


def test_a_broker_that_is_killed(lan: Lan) -> None:
    with OpenPool(lan) as pool:
        pool.hear()
        pool.begin_sum(N_ITEMS, PAUSE_S)
        (pid,) = processes_on(lan, "laptop", "scoopsci.pool.broker")
        signal_on(lan, "laptop", pid, signal.SIGKILL)
        with pytest.raises(PoolError, match="EngineError: the broker of the pool ended"):
            pool.hear()
    check_nothing_left(lan, within_s=30.0)


def agents(lan: Lan, machine: str) -> set[int]:
    return set(processes_on(lan, machine, "scoopsci.pool.agent"))


@pytest.mark.slow
def test_an_ssh_that_is_killed(lan: Lan) -> None:
    def kill(pool: OpenPool, hosts: list[dict[str, Any]]) -> None:
        (pid,) = (pid for pid, said in processes_on(lan, "laptop", "ssh").items()
                  if "pool.agent" in said and " node2 " in said)  # fmt: skip
        signal_on(lan, "laptop", pid, signal.SIGKILL)
        old = {named(hosts, "node2")["agent"], *named(hosts, "node2")["workers"]}
        assert becomes(lambda: agents(lan, "node2") - old)

    hosts = in_mid_run(lan, kill)
    assert named(hosts, "node2")["connected"] is True
    assert len(named(hosts, "node2")["workers"]) == 2


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_driver_that_ends(lan: Lan, sign: signal.Signals) -> None:
    with OpenPool(lan, ["127.0.0.1 1", *(f"{name} 2" for name in NODES)]) as pool:
        pool.hear()
        pool.check_bits()
        pool.begin_sum(N_ITEMS, PAUSE_S)
        pool.process.send_signal(sign)
        pool.process.wait(GENEROUS_S)
        check_nothing_left(lan, within_s=30.0)


@pytest.mark.slow
def test_a_driver_and_a_link_that_end_together(lan: Lan) -> None:
    with OpenPool(lan, host_timeout=HOST_TIMEOUT_S) as pool:
        pool.hear()
        pool.check_bits()
        pool.begin_sum(N_ITEMS, PAUSE_S)
        lan.unplug("node1")
        pool.process.send_signal(signal.SIGKILL)
        pool.process.wait(GENEROUS_S)
        check_nothing_left(lan, within_s=30 + LEASE_S)


def processes(lan: Lan, hosts: list[dict[str, Any]]) -> list[tuple[str, int]]:
    """Return the workers, ready or not."""
    return [
        (host["name"], pid)
        for host in hosts
        for pid in sorted(agents(lan, host["name"]) - {host["agent"]})
    ]


def is_replaced(lan: Lan, name: str, pid: int) -> bool:
    return len(agents(lan, name) - {pid}) == 3


def test_a_recording_of_a_run_with_a_kill_is_replayed(lan: Lan) -> None:
    recorded = lan.root("laptop") / str(SCRATCH / "pool.trace")[1:]
    with OpenPool(lan, record=str(SCRATCH / "pool.trace")) as pool:
        hosts = pool.hear()
        with pool.in_mid_sum(N_ITEMS // 2, PAUSE_S):
            signal_on(lan, "node2", named(hosts, "node2")["workers"][0], signal.SIGKILL)
    found = replay(recorded)
    recorded.unlink()
    assert {side: facts["agrees"] for side, facts in found.items()} == {
        "driver": True,
        "broker": True,
    }
    assert len(found["broker"]["believes"]["hosts"]) == 3
    assert found["broker"]["n_events"] > 100


def kill_in_turn(lan: Lan, hosts: list[dict[str, Any]]) -> None:
    for name, pid in processes(lan, hosts):
        signal_on(lan, name, pid, signal.SIGKILL)
        assert becomes(partial(is_replaced, lan, name, pid))


@pytest.mark.slow
def test_busy_workers_are_killed_in_turn_twice(lan: Lan) -> None:
    with OpenPool(lan) as pool:
        hosts = pool.hear()
        with pool.in_mid_sum(N_ITEMS, PAUSE_S):
            for n_items in (300, 2_400):
                assert becomes(partial(pool.has_done, n_items), 200.0)
                kill_in_turn(lan, hosts)
        assert [host["agent"] for host in pool.ask("hosts")] == [host["agent"] for host in hosts]
        pool.check_bits()


@pytest.mark.slow
def test_workers_most_of_them_idle_are_killed_in_turn_at_5_s_and_at_40_s(lan: Lan) -> None:
    with OpenPool(lan) as pool:
        hosts = pool.hear()
        pool.say("sum", 2, 45.0)
        start_s = time.monotonic()
        for at_s in (5.0, 40.0):
            time.sleep(max(0.0, start_s + at_s - time.monotonic()))
            kill_in_turn(lan, hosts)
        assert pool.hear(200.0) == serial_sum(2)
        assert [host["agent"] for host in pool.ask("hosts")] == [host["agent"] for host in hosts]
        pool.check_bits()


@pytest.mark.slow
def test_workers_with_a_mean_life_of_4_s(lan: Lan) -> None:
    rng, n_kills = random.Random(4), 0
    with OpenPool(lan) as pool:
        hosts = pool.hear()
        end_s = time.monotonic() + 60.0
        while time.monotonic() < end_s or n_kills < 40:
            pool.begin_sum(N_ITEMS, PAUSE_S)
            n_before_the_end = n_kills + 5
            while not pool.has_answered(rng.expovariate(6 / 4.0)):
                if found := processes(lan, hosts):
                    signal_on(lan, *rng.choice(found), signal.SIGKILL, check=False)
                    n_kills += 1
                if n_kills >= n_before_the_end:
                    pool.let_end()
            bits, n_items = pool.hear()
            assert bits == serial_sum(n_items)
        assert n_kills >= 40
        pool.check_bits()


def test_one_of_a_hundred_ends_its_process(lan: Lan) -> None:
    with OpenPool(lan) as pool:
        pool.hear()
        found = pool.ask("map_with_one_that_exits", 100, 50)
        assert found.pop(50).startswith("PoisonTaskError: block 50 ended its worker 3 times")
        assert found == [pool_console.linger(i, 0.0).hex() for i in range(100) if i != 50]
        pool.check_bits()


@pytest.mark.slow
def test_a_worker_that_is_stopped(lan: Lan) -> None:
    stopped: list[int] = []

    def stop(pool: OpenPool, hosts: list[dict[str, Any]]) -> None:
        stopped.append(named(hosts, "node2")["workers"][0])
        signal_on(lan, "node2", stopped[0], signal.SIGSTOP)

    hosts = in_mid_run(lan, stop)
    assert named(hosts, "node2")["connected"] is True


@pytest.mark.slow
def test_a_worker_that_is_stopped_for_30_s(lan: Lan) -> None:
    with OpenPool(lan, host_timeout=HOST_TIMEOUT_S) as pool:
        worker = named(pool.hear(), "node2")["workers"][0]
        pool.begin("map_until", 120, 0.2)
        signal_on(lan, "node2", worker, signal.SIGSTOP)
        pool.let_end()
        found = pool.hear()
        expected = [pool_console.linger(i, 0.0).hex() for i in range(len(found))]
        assert found == expected
        time.sleep(30.0)
        signal_on(lan, "node2", worker, signal.SIGCONT)
        assert pool.ask("map", 120, 0.02) == expected[:120]
        assert pool.ask("sum", N_ITEMS, PAUSE_S) == serial_sum(N_ITEMS)
        assert worker in named(pool.ask("hosts"), "node2")["workers"]


@pytest.mark.slow
def test_every_host_loses_power_once(lan: Lan) -> None:
    with OpenPool(lan, host_timeout=HOST_TIMEOUT_S) as pool:
        pool.hear()
        for name in NODES:
            try:
                with pool.in_mid_sum(N_ITEMS, PAUSE_S):
                    lan.power_off(name)
            finally:
                lan.power_on(name)
            assert becomes(partial(is_complete, pool, name))
        pool.check_bits()
    check_nothing_left(lan, MACHINES)
