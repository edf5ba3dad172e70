"""The script over isolated hosts by real SSH, under plain ``python -m scoop``."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from scoopsci import pi
from scoopsci.hosts import Host, to_plain_scoop
from tests.conftest import becomes
from tests.lan import PLAIN, PYTHON, SCRIPTS, WORK, Lan
from tests.sizes import has_worked, points_taking, start_up_s

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
    lan: Lan,
    hosts: list[Host],
    *options: str,
    n_points: int = N_POINTS,
    variables: Sequence[str] = PLAIN,
) -> tuple[subprocess.CompletedProcess[str], dict[str, Any] | None]:
    """Run the script over hosts, and return the receipt that the first of them has written."""
    written = receipt_on(lan, "laptop" if hosts[0].name == "127.0.0.1" else "node1")
    written.unlink(missing_ok=True)
    started = command(lan, hosts, n_points, 7, variables)
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
    # On two cores, as long as four workers take to start one after the other.
    n_points = points_taking(4 * 2 * start_up_s())
    receipt = run_pi(lan, hosts_of(lan, *first), n_points=n_points)
    assert receipt["result"] == pi(n_points, seed=7, engine="serial").receipt["result"]
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


def are_working(lan: Lan, name: str) -> bool:
    """Tell whether both workers of a host have used more time than they take to start."""
    found = psutil.Process(lan.pid(name)).children(recursive=True)
    return sum(has_worked(process.pid) for process in found) == 2


@pytest.mark.slow
def test_a_host_unplugged_in_mid_run_changes_no_bit(lan: Lan) -> None:
    # The workers of the host are struck when each of the six has used twice the time that it takes
    # to start.
    n_points = points_taking(4 * 6 * 2 * start_up_s())
    run = lan.popen(command(lan, hosts_of(lan, *NODES), n_points, 5, PLAIN), cwd=WORK)
    try:
        assert becomes(lambda: run.poll() is not None or are_working(lan, "node3"))
        assert run.poll() is None, run.communicate()
        lan.power_off("node3")
        out, err = run.communicate(timeout=110)
    finally:
        run.kill()
        lan.power_on("node3")
    assert receipt_on(lan, "node1").exists(), out + err
    found = json.loads(receipt_on(lan, "node1").read_text())
    assert found["run"]["n_lost_tasks"] >= 1
    assert found["result"] == pi(n_points, seed=5, engine="processes").receipt["result"]
