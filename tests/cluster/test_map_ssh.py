"""The map family over isolated hosts by real SSH, under plain ``python -m scoop``."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from scoopsci.hosts import Host, to_plain_scoop
from tests.cluster import map_program
from tests.cluster.test_map_scripts import METHODS
from tests.lan import PLAIN, PYTHON, SCRIPTS, WORK, Lan

pytestmark = pytest.mark.cluster

NODES = ("node1", "node2", "node3")


def launch(
    lan: Lan, names: tuple[str, ...], path: Path, *program: str | Path, timeout: float
) -> tuple[str, dict[str, Any] | None]:
    """Run a program over hosts, and return its output and the report on the first of them."""
    addresses = {host.name: host.address for host in lan.hosts}
    hosts = [Host(addresses.get(name, name), n_workers=2) for name in names]
    hostfile = lan.folder / "hostfile"
    hostfile.write_text(to_plain_scoop(hosts))
    origin = "laptop" if names[0] == "127.0.0.1" else names[0]
    written = lan.root(origin) / (SCRIPTS / "report.json").relative_to("/")
    written.unlink(missing_ok=True)
    scoop: list[str | Path] = ["env", *PLAIN, PYTHON, "-m", "scoop", "--hostfile", hostfile]
    scoop += ["--path", path, "--python-interpreter", PYTHON, "--ssh-executable", lan.ssh]
    done = lan.run([*scoop, *program], timeout=timeout, cwd=path)
    report = json.loads(written.read_text()) if written.exists() else None
    return done.stdout + done.stderr, report


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("names", "n_items"),
    [
        (("127.0.0.1", "node1", "node2"), map_program.N_ITEMS),
        pytest.param(NODES, map_program.N_MORE, marks=pytest.mark.slow),
        pytest.param(("127.0.0.1", "node1", "node2"), map_program.N_MORE, marks=pytest.mark.slow),
    ],
)
def test_same_bits_on_three_hosts(lan: Lan, names: tuple[str, ...], n_items: int) -> None:
    program = lan.share("map_program.py", Path(map_program.__file__).read_text())
    report = SCRIPTS / "report.json"
    said, told = launch(lan, names, SCRIPTS, program.name, report, str(n_items), timeout=500)
    assert told is not None, said
    assert told["found"] == [map_program.find_serial_bits(n_items)] * 3
    assert (told["engine"], told["n_workers"]) == ("scoop", 6)
    seen = {worker["host"] for worker in told["workers"]}
    assert seen <= {"laptop" if name == "127.0.0.1" else name for name in names}
    assert len(seen) >= 2, "the work stayed on one host"


def test_all_methods_of_the_script_are_equal(lan: Lan) -> None:
    options = ("--tasks", "60", "--task-seconds", "0.01", "--output", SCRIPTS / "report.json")
    said, told = launch(lan, NODES, WORK, Path("scoopsci") / "mapreduce.py", *options, timeout=100)
    assert told is not None, said
    assert tuple(row["method"] for row in told["rows"]) == METHODS
    assert all(row["equal"] for row in told["rows"])
    assert told["result"] == sum(a * a for a in range(60))
    assert (told["engine"], told["n_workers"]) == ("scoop", 6)


def test_nothing_is_left_on_the_hosts(lan: Lan) -> None:
    options = ("--tasks", "10", "--task-seconds", "0", "--output", SCRIPTS / "report.json")
    launch(lan, NODES, WORK, Path("scoopsci") / "mapreduce.py", *options, timeout=100)
    deadline = time.monotonic() + 20
    while left := [line for name in ("laptop", *NODES) for line in lan.processes(name)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
