"""Pools over isolated hosts, by real SSH."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests import pool_console
from tests.cluster import pool_program
from tests.conftest import becomes
from tests.lan import ENVIRONMENT, PLAIN, PYTHON, REPOSITORY, SHARED, Lan
from tests.pools import (
    GENEROUS_S,
    NODES,
    OpenPool,
    check_nothing_left,
    fail_to_open,
    processes_on,
    serial_bits,
    write_ssh,
)

pytestmark = pytest.mark.cluster

ONE_EACH = [f"{name} 1" for name in NODES]


@pytest.fixture(autouse=True)
def nothing_left(lan: Lan) -> Iterator[None]:
    yield
    check_nothing_left(lan)


@pytest.mark.parametrize("first", ["node1", "127.0.0.1"])
def test_same_bits_over_three_machines(lan: Lan, first: str) -> None:
    names = [first, "node2", "node3"]
    with OpenPool(lan, [f"{name} 2" for name in names]) as pool:
        hosts = pool.hear()
        assert [host["name"] for host in hosts] == names
        assert [(host["connected"], len(set(host["workers"]))) for host in hosts] == [(True, 2)] * 3
        pool.check_bits()


def test_a_program_with_a_pool(lan: Lan) -> None:
    program = Path(pool_program.__file__)
    hostfile = lan.folder / "hosts-of-program"
    hostfile.write_text("node1 2\nnode2 2\n")
    command: list[str | Path] = [
        "env",
        *PLAIN,
        PYTHON,
        program,
        hostfile,
        lan.ssh,
        str(pool_console.N_POINTS),
        str(pool_console.BLOCK_SIZE),
    ]
    done = lan.run(command, env={"PYTHONPATH": str(REPOSITORY)})
    assert f'"n_inside": {serial_bits()["pi"]["n_inside"]}' in done.stdout, done.stderr


def test_arrays_and_sizes_of_one_pool(lan: Lan) -> None:
    with OpenPool(lan, mark="marked") as pool:
        pool.hear()
        assert pool.ask("initialized", 30) == ["marked"]

        told = pool.ask("broadcast", 1_000_000, 30)
        assert told["sums"] == [sum(range(1_000_000))]
        for name in NODES:
            (folder,) = scratch_folders(lan, name)
            files = [path.name for path in folder.glob("data-*")]
            assert len([file for file in files if file.endswith(".lock")]) <= 1
            assert len([file for file in files if "." not in file]) == 1, files

        for n_workers in (8, 3, 6):
            pool.ask("resize", n_workers)
            assert becomes(partial(has_workers, pool, n_workers)), pool.ask("hosts")
            assert pool.ask("initialized", 30) == ["marked"]
        pool.check_bits()


def scratch_folders(lan: Lan, name: str) -> list[Path]:
    return list((lan.root(name) / "tmp").glob("scoopsci-*"))


def has_workers(pool: OpenPool, n_workers: int) -> bool:
    return sum(len(host["workers"]) for host in pool.ask("hosts")) == n_workers


def test_a_module_next_to_the_script_is_sent_along(lan: Lan) -> None:
    beside = lan.folder / "beside"
    beside.mkdir(exist_ok=True)
    program = beside / "console.py"
    (beside / "beside_console.py").write_text("def work(value):\n    return value * 7\n")
    text = Path(pool_console.__file__).read_text()
    program.write_text(text.replace("import scoopsci\n", "import beside_console, scoopsci\n", 1))
    with OpenPool(lan, program=program) as pool:
        pool.hear()
        assert pool.ask("beside") == [7 * value for value in range(8)]
        pool.check_bits()


OTHER_KERNELS = {"OPENBLAS_CORETYPE": "Nehalem"}
OTHERS = ["127.0.0.1 2", "node1 2", "node2 2"]


def test_hosts_that_compute_differently_are_refused(lan: Lan) -> None:
    said = fail_to_open(lan, OTHERS, plain=False, env=OTHER_KERNELS)
    assert "compute differently" in said
    assert "laptop" in said or "127.0.0.1" in said
    assert "node" in said
    assert "mixed=True" in said
    assert "OPENBLAS_CORETYPE" in said


def test_mixed_continues_and_reports_it(lan: Lan) -> None:
    with OpenPool(lan, OTHERS, plain=False, env=OTHER_KERNELS, mixed=True) as pool:
        pool.hear()
        assert pool.ask("mixed") is True
        # Counting points takes integers and + × alone, which agree everywhere.
        assert pool.ask("pi") == serial_bits()["pi"]


ALIASES = """
Host near
    HostName node1
    User nobody-of-this-name
Host far
    HostName 10.77.0.2
    ProxyJump node1
Host other-port
    HostName node3
    Port 2222
    HostKeyAlias node3
"""


def test_ssh_configuration_is_followed(lan: Lan) -> None:
    ssh = write_ssh(lan, ALIASES)
    refused = fail_to_open(lan, ["near 1", "far 1"], ssh=str(ssh))
    assert "near" in refused
    assert "Permission denied" in refused

    sshd = "exec /usr/sbin/sshd -D -e -p 2222 -f /run/sshd/sshd_config"
    with lan.popen(["sh", "-c", sshd], host="node3") as second:
        try:
            probe = "import socket; socket.create_connection(('127.0.0.1', 2222), 5)"
            assert becomes(lambda: not lan.run([PYTHON, "-c", probe], host="node3").returncode)
            with OpenPool(lan, ["root@near 1", "far 1", "other-port 1"], ssh=str(ssh)) as pool:
                assert [host["facts"]["host"] for host in pool.hear()] == list(NODES)
                pool.check_bits()
            refused = fail_to_open(lan, ["node1:2222 1", "node2:22 1"])
            assert "host node1 " in refused
            assert "refused" in refused
        finally:
            second.kill()


def test_the_users_own_connection_stays_open(lan: Lan) -> None:
    path = lan.folder / "own-%h"
    config = f"Host *\n    ControlMaster auto\n    ControlPath {path}\n    ControlPersist 600"
    ssh = write_ssh(lan, config)
    own = lan.popen([ssh, "-M", "-N", "-oControlPersist=no", "node1"])
    try:
        check: list[str | Path] = [ssh, "-O", "check", "node1"]
        assert becomes(lambda: lan.run(check).returncode == 0)
        with OpenPool(lan, ONE_EACH, ssh=str(ssh)) as pool:
            pool.hear()
            pool.check_bits()
            assert lan.run([ssh, "node1", "hostname"], check=True).stdout == "node1\n"
        assert lan.run(check).returncode == 0
        assert lan.run([ssh, "node1", "hostname"], check=True).stdout == "node1\n"
        assert [p.name for p in lan.folder.glob("own-*")] == ["own-node1"]
    finally:
        own.kill()
        own.communicate()


class TestHostsThatAreNotReady:
    def test_without_scoopsci(self, lan: Lan) -> None:
        (site,) = (lan.root("node2") / str(ENVIRONMENT)[1:]).glob("lib/python*/site-packages")
        hidden = site / "scoopsci"
        hidden.rename(site / "hidden")
        try:
            said = fail_to_open(lan, ONE_EACH)
        finally:
            (site / "hidden").rename(hidden)
        assert "host node2 " in said
        assert "scoopsci" in said
        assert "install" in said

    def test_with_another_path_of_python(self, lan: Lan) -> None:
        said = fail_to_open(lan, ONE_EACH, python="/no/such/python")
        assert "host node" in said
        assert "/no/such/python" in said
        assert "python=" in said

    def test_with_a_link_to_python(self, lan: Lan) -> None:
        with OpenPool(lan, ONE_EACH, python=str(SHARED / "environment/bin/../bin/python")) as pool:
            pool.hear()
            pool.check_bits()

    @pytest.mark.parametrize("name", ["10.77.0.99", "no-such-host.invalid"])
    def test_that_cannot_be_reached(self, lan: Lan, name: str) -> None:
        start_s = time.monotonic()
        said = fail_to_open(lan, [f"{name} 1", "node1 1"], host_timeout=4)
        assert time.monotonic() - start_s < GENEROUS_S
        assert f"host {name} " in said
        assert "ssh" in said

    def test_in_silence(self, lan: Lan) -> None:
        lan.lose_packets("node2", from_host=True)
        try:
            said = fail_to_open(lan, ONE_EACH, host_timeout=4)
        finally:
            lan.mend("node2")
        assert "host node2 " in said


def test_hosts_run_an_agent_and_its_workers(lan: Lan) -> None:
    with OpenPool(lan) as pool:
        hosts = pool.hear()
        for host in hosts:
            pids = set(processes_on(lan, host["name"], "scoopsci.pool.agent"))
            assert pids == {host["agent"], *host["workers"]}
        pool.check_bits()
