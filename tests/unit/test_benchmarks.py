"""The benchmarks run, and a quick run changes nothing that is kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import BENCHMARKS
from benchmarks.form import README, RESULTS, make_table, mark, put_table
from tests.conftest import REPOSITORY


def run_quick(*names: str, scratch: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", *names],
        cwd=REPOSITORY,
        env={**os.environ, "TMPDIR": str(scratch)},
        capture_output=True,
        text=True,
        timeout=110,
    )


def read_kept() -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (README, *RESULTS.iterdir())}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in ("mergesort", "road") else pytest.mark.slow)
        for name in BENCHMARKS
    ],
)
def test_quick_run_says_so_and_keeps_nothing(name: str, tmp_path: Path) -> None:
    kept = read_kept()
    done = run_quick(name, scratch=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "QUICK" in done.stdout
    assert read_kept() == kept
    (folder,) = tmp_path.glob("scoopsci-quick-*")
    results = json.loads((folder / f"{name}.json").read_text("utf-8"))
    assert results["quick"] is True
    assert len(results["rounds"]) == 3
    assert BENCHMARKS[name].as_table(results) in done.stdout


def test_unknown_benchmark_is_refused(tmp_path: Path) -> None:
    done = run_quick("warp", scratch=tmp_path)
    assert done.returncode == 2
    assert "there is no warp; choose of pi, calls" in done.stderr


def test_a_table_is_put_between_its_marks() -> None:
    table = make_table(["a", "b"], [["1", "2"]])
    assert table == "| a | b |\n|---|---|\n| 1 | 2 |\n"
    text = f"before\n{mark('one')}old\n<!-- end of table -->\nafter\n"
    assert put_table(text, "one", table) == text.replace("old\n", table)
    assert put_table(text, "two", table) == text
