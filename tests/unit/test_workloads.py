"""Workloads: by name, and results with equal digests for equal bits."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scoopsci.compare
from scoopsci.harness.workloads import WORKLOADS, digest, find_workload, import_function

RANDOM = np.random.default_rng(1).random(50)
NAME = "".join(["na", "me"])  # an object of its own

EQUAL: list[tuple[Any, Any]] = [
    (1, 1),
    ({"a", "b", "c", "d"}, {"d", "c", "b", "a"}),
    (frozenset({(1, 2), (3,)}), frozenset({(3,), (1, 2)})),
    (RANDOM[::2], RANDOM[::2].copy()),
    (np.asfortranarray(RANDOM.reshape(5, 10)), RANDOM.reshape(5, 10)),
    ([NAME, NAME], ["name", "".join(["na", "me"])]),
    ({"x": [RANDOM, {1}]}, {"x": [RANDOM.copy(), {1}]}),
    (Path("a"), pickle.loads(pickle.dumps(Path("a")))),
]

DIFFERENT: list[tuple[Any, Any]] = [
    (1, 1.0),
    (1, True),
    (0.0, -0.0),
    (1.0, np.nextafter(1.0, 2.0)),
    (1.0, np.float64(1.0)),
    ([1, 2], [2, 1]),
    ([1, 2], (1, 2)),
    ({1}, frozenset({1})),
    (RANDOM, RANDOM.astype(np.float32)),
    (RANDOM, RANDOM.reshape(5, 10)),
    (np.zeros(2, np.int64), np.zeros(2, np.uint64)),
]


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_equal_bits_have_equal_digests(one: object, other: object) -> None:
    assert digest([one]) == digest([other])


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_bits_have_different_digests(one: object, other: object) -> None:
    assert digest([one]) != digest([other])


def test_digest_covers_all_items_of_any_iterable() -> None:
    assert digest(iter(range(2500))) == digest(list(range(2500)))
    assert digest(range(2500)) != digest(range(2501))
    assert digest([]) != digest([None])


def test_digest_of_strings_does_not_depend_on_their_hashes() -> None:
    program = "from scoopsci.harness.workloads import digest; print(digest([{'a', 'b', 'c', 'd'}]))"
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            check=True,
            text=True,
            env={"PYTHONHASHSEED": str(seed)},
        ).stdout
        for seed in range(3)
    }
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("name", "error", "told"),
    [
        ("warp", ValueError, "workload must be one of pi, mapreduce, sort, or MODULE:FUNCTION"),
        ("no_such_module:f", ValueError, "no_such_module"),
        ("math:no_such_function", ValueError, "no_such_function"),
        (":f", ValueError, "MODULE:FUNCTION"),
        ("math:pi", TypeError, "must be callable, got 3.14"),
    ],
)
def test_wrong_names_are_refused(name: str, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        find_workload(name)


def test_a_function_of_the_working_folder_is_pickled_by_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "local_tasks.py").write_text("def twice(a):\n    return 2 * a\n")
    monkeypatch.chdir(tmp_path)
    twice = import_function("local_tasks:twice")
    assert twice(4) == 8
    assert find_workload("local_tasks:twice").unit == "task"
    assert str(tmp_path) not in sys.path


def test_error_names_a_module_that_fails_to_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_tasks.py").write_text("def f(a:\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"'broken_tasks:f' cannot be imported: .*line 1"):
        find_workload("broken_tasks:f")


@pytest.fixture
def run_script(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def run(*arguments: str) -> dict[str, Any]:
        output = tmp_path / "report.json"
        script = scoopsci.compare.__file__
        command = [sys.executable, script, *arguments, "--output", str(output)]
        subprocess.run(command, check=True, timeout=100)
        found: dict[str, Any] = json.loads(output.read_text())
        return found

    return run


OPTIONS = {
    "pi": ("--size", "300000", "--seed", "7"),
    "mapreduce": ("--size", "1000", "--task-seconds", "0"),
    "sort": ("--size", "20000", "--seed", "7"),
    "math:sqrt": ("--size", "3000"),
}


@pytest.mark.parametrize("workload", OPTIONS)
def test_the_script_reports_the_same_digest_on_both_engines(
    run_script: Callable[..., dict[str, Any]], workload: str
) -> None:
    serial = run_script(workload, *OPTIONS[workload], "--engine", "serial")
    other = run_script(workload, *OPTIONS[workload], "--engine", "processes", "--workers", "2")
    assert serial["digest"] == other["digest"]
    assert (serial["engine"], serial["n_workers"]) == ("serial", 1)
    assert (other["engine"], other["n_workers"]) == ("processes", 2)
    assert set(other["times"]) == {
        *("start_up_s", "serialising_s", "waiting_s", "computing_s", "returning_s")
    }


def test_the_script_computes_the_expected_sum(
    run_script: Callable[..., dict[str, Any]],
) -> None:
    found = run_script("mapreduce", *OPTIONS["mapreduce"], "--engine", "serial")
    assert found["digest"] == digest([332_833_500])


def test_parts_make_up_the_whole(run_script: Callable[..., dict[str, Any]]) -> None:
    shares = [sum(a * a for a in range(i, 1000, 3)) for i in range(3)]
    assert sum(shares) == 332_833_500
    for i, share in enumerate(shares):
        part = ("--part", str(i), "3", "--engine", "serial")
        assert run_script("mapreduce", *OPTIONS["mapreduce"], *part)["digest"] == digest([share])


def test_every_workload_describes_its_arguments() -> None:
    for workload in WORKLOADS.values():
        assert workload.size.startswith("n_")
        assert workload.default >= 1
