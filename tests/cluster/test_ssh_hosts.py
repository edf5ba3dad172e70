"""The script over isolated hosts by real SSH, under plain ``python -m scoop``."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from scoopsci import pi
from scoopsci.hosts import Host, to_plain_scoop
from tests.lan import PLAIN, PYTHON, SCRIPTS, WORK, Lan

pytestmark = pytest.mark.cluster

N_POINTS = 50_000_000
SCRIPT = Path("scoopsci") / "montecarlo.py"
RECEIPT = SCRIPTS / "pi.json"
NODES = ("node1", "node2", "node3")


def command(
    lan: Lan, hosts: list[Host], n_points: int, seed: int, variables: Sequence[str]
) -> list[str | Path]:
    hostfile = lan.folder / "hostfile"
    hostfile.write_text(to_plain_scoop(hosts))
    launch: list[str | Path] = ["env", *variables, PYTHON, "-m", "scoop", "--hostfile", hostfile]
    launch += ["--path", WORK, "--python-interpreter", PYTHON, "--ssh-executable", lan.ssh]
    return [*launch, SCRIPT, "--points", str(n_points), "--seed", str(seed), "--output", RECEIPT]


def receipt_on(lan: Lan, host: str) -> Path:
    return lan.root(host) / RECEIPT.relative_to("/")


def launch_pi(
    lan: Lan, hosts: list[Host], *options: str, variables: Sequence[str] = PLAIN
) -> tuple[subprocess.CompletedProcess[str], dict[str, Any] | None]:
    """Run the script over hosts, and return the receipt that the first of them has written."""
    written = receipt_on(lan, "laptop" if hosts[0].name == "127.0.0.1" else "node1")
    written.unlink(missing_ok=True)
    started = command(lan, hosts, N_POINTS, 7, variables)
    done = lan.run([*started, *options], timeout=100, cwd=WORK)
    return done, json.loads(written.read_text()) if written.exists() else None


def run_pi(lan: Lan, hosts: list[Host], *options: str, **more: Any) -> dict[str, Any]:
    done, receipt = launch_pi(lan, hosts, *options, **more)
    assert receipt is not None, done.stdout + done.stderr
    return receipt


def hosts_of(lan: Lan, *names: str) -> list[Host]:
    addresses = {host.name: host.address for host in lan.hosts}
    return [Host(addresses.get(name, name), n_workers=2) for name in names]


@pytest.mark.parametrize("first", [NODES, ("127.0.0.1", "node1", "node2")], ids=lambda f: f[0])
def test_same_bits_over_six_workers(lan: Lan, first: tuple[str, ...]) -> None:
    receipt = run_pi(lan, hosts_of(lan, *first))
    assert receipt["result"] == pi(N_POINTS, seed=7, engine="serial").receipt["result"]
    workers = receipt["run"]["workers"]
    seen = {worker["host"] for worker in workers}
    assert seen <= {"laptop" if name == "127.0.0.1" else name for name in first}
    assert len(seen) >= 2, "the work stayed on one host"
    assert receipt["run"]["n_workers"] == 6
    assert len(workers) <= 6


def test_nothing_is_left_on_the_hosts(lan: Lan) -> None:
    run_pi(lan, hosts_of(lan, *NODES))
    deadline = time.monotonic() + 20
    while left := [line for name in ("laptop", *NODES) for line in lan.processes(name)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


OTHER_KERNELS = ["OPENBLAS_CORETYPE=Nehalem"]


def test_hosts_that_compute_differently_are_refused(lan: Lan) -> None:
    hosts = hosts_of(lan, "127.0.0.1", "node1", "node2")
    done, receipt = launch_pi(lan, hosts, variables=OTHER_KERNELS)
    assert receipt is None
    (line,) = [line for line in done.stderr.splitlines() if "compute differently" in line]
    assert "laptop" in line
    assert "node" in line
    assert "--mixed" in line


def test_mixed_continues_and_the_receipt_records_it(lan: Lan) -> None:
    hosts = hosts_of(lan, "127.0.0.1", "node1", "node2")
    receipt = run_pi(lan, hosts, "--mixed", variables=OTHER_KERNELS)
    assert receipt["run"]["mixed"] is True
    # Counting points takes integers and + × alone, which agree everywhere.
    assert receipt["result"] == pi(N_POINTS, seed=7, engine="serial").receipt["result"]


@pytest.mark.slow
def test_a_host_unplugged_in_mid_run_changes_no_bit(lan: Lan) -> None:
    n_points = 60_000_000_000
    run = lan.popen(command(lan, hosts_of(lan, *NODES), n_points, 5, PLAIN), cwd=WORK)
    try:
        while len([line for line in lan.processes("node3") if "scoop.bootstrap" in line]) < 2:
            assert run.poll() is None
            time.sleep(0.05)
        time.sleep(4.0)
        lan.power_off("node3")
        out, err = run.communicate(timeout=110)
    finally:
        run.kill()
        lan.power_on("node3")
    assert receipt_on(lan, "node1").exists(), out + err
    found = json.loads(receipt_on(lan, "node1").read_text())
    assert found["run"]["n_lost_tasks"] >= 1
    assert found["result"] == pi(n_points, seed=5, engine="processes").receipt["result"]
