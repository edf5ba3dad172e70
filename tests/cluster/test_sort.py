"""Sorts under plain ``python -m scoop``: on this machine, and over isolated hosts by real SSH."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import sort_program
from tests.cluster.sort_program import run_sorts
from tests.cluster.test_map_ssh import NODES, launch
from tests.conftest import RunScoop
from tests.lan import SCRIPTS, WORK, Lan

SCRIPT = Path("scoopsci") / "mergesort.py"
PROMISED_KEYS = {
    "n_items", "elapsed_s", "sorted", "same_multiset", "engine", "n_workers", "serial_elapsed_s",
}  # fmt: skip


def check_balance_and_bits(found: list[dict[str, Any]]) -> None:
    assert [sort["digest"] for sort in found] == [sort["digest"] for sort in run_sorts("serial")]
    assert max(sort["largest_share"] for sort in found) <= 1.5


@pytest.mark.parametrize("n", [1, 3])
def test_same_bits_through_shared_memory(run_scoop: RunScoop, tmp_path: Path, n: int) -> None:
    report = tmp_path / "report.json"
    done = run_scoop("-q", Path(sort_program.__file__), report, n=n)
    assert report.exists(), done.stdout + done.stderr
    found = json.loads(report.read_text())
    check_balance_and_bits(found)
    assert [sort["in_shared_memory"] for sort in found] == [True, True, True, False, False, True]
    assert all(sort["sent_bytes"] < 100_000 for sort in found if sort["in_shared_memory"])


def test_script_prints_one_object(run_scoop: RunScoop) -> None:
    done = run_scoop("-q", SCRIPT, "--items", "100000", "--seed", "3", "--json", n=2)
    found = json.loads(done.stdout)
    assert found.keys() >= PROMISED_KEYS, done.stderr
    assert found["sorted"] is True
    assert found["same_multiset"] is True
    assert (found["n_items"], found["engine"], found["n_workers"]) == (100_000, "scoop", 2)
    assert found["in_shared_memory"] is True


def test_text_output_says_whether_it_pays(run_scoop: RunScoop) -> None:
    done = run_scoop("-q", SCRIPT, "--items", "2000", n=2)
    assert "2,000 random integers" in done.stdout
    assert "in order, the same items" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("do not distribute: ")


@pytest.mark.cluster
@pytest.mark.parametrize("names", [NODES, ("127.0.0.1", "node1", "node2")], ids=lambda n: n[0])
def test_same_bits_over_hosts(lan: Lan, names: tuple[str, ...]) -> None:
    program = lan.share("sort_program.py", Path(sort_program.__file__).read_text())
    report = SCRIPTS / "report.json"
    said, found = launch(lan, names, SCRIPTS, program.name, report, timeout=100)
    assert isinstance(found, list), said
    check_balance_and_bits(found)
    assert not any(sort["in_shared_memory"] for sort in found)


@pytest.mark.cluster
def test_a_million_items_over_hosts_report_the_cost_of_the_network(lan: Lan) -> None:
    options = ("--items", "1000000", "--seed", "5", "--output", SCRIPTS / "report.json")
    said, found = launch(lan, NODES, WORK, SCRIPT, *options, timeout=100)
    assert found is not None, said
    assert (found["sorted"], found["same_multiset"], found["n_workers"]) == (True, True, 6)
    assert found["largest_share"] <= 1.5
    # Items go as 8 bytes, there and back in both phases, to workers beyond the origin's host.
    assert 2 * 8_000_000 // 6 < found["sent_bytes"] < 2 * 8_000_000 + 1_000_000
    cost = r"s  of it to convert and move the items, without shared memory: ([\d,]+) bytes sent"
    told = re.search(cost, said)
    assert told is not None, said
    assert int(told[1].replace(",", "")) == found["sent_bytes"]
    assert "do not distribute: " in said
