"""The benchmarks run, and a quick run changes no stored results."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import kernels
from benchmarks.__main__ import BENCHMARKS
from benchmarks.form import README, RESULTS, make_table, mark, put_table
from scoopsci.estimation.compiled import find_numba
from scoopsci.montecarlo import PI_BLOCK_SIZE
from tests.conftest import REPOSITORY, require


def run_quick(*names: str, scratch: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", *names],
        cwd=REPOSITORY,
        env={**os.environ, "TMPDIR": str(scratch)},
        capture_output=True,
        text=True,
        timeout=110,
    )


def require_compilers(*, numba: bool = True) -> None:
    missing = [] if shutil.which("gcc") else ["gcc"]
    require(missing if find_numba() or not numba else [*missing, "numba"])


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
    if name == "kernels":
        require_compilers()
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
    assert "unknown: warp; choose from pi, kernels" in done.stderr


def test_table_is_put_between_its_marks() -> None:
    table = make_table(["a", "b"], [["1", "2"]])
    assert table == "| a | b |\n|---|---|\n| 1 | 2 |\n"
    text = f"before\n{mark('one')}old\n<!-- end of table -->\nafter\n"
    assert put_table(text, "one", table) == text.replace("old\n", table)
    assert put_table(text, "two", table) == text


@pytest.mark.parametrize("lanes", kernels.LANES_IN_REGISTERS)
def test_c_counts_the_points_that_numpy_counts(lanes: int, tmp_path: Path) -> None:
    require_compilers(numba=False)
    program = kernels.compile_c(tmp_path, lanes)
    n_points = 2 * PI_BLOCK_SIZE
    found = kernels.run_c(program, n_points, first=5)
    assert found["n_inside"] == kernels.count_numpy(n_points, first=5)
    assert found["n_inside"] != kernels.count_numpy(n_points, first=6)


def test_c_prints_its_usage(tmp_path: Path) -> None:
    require_compilers(numba=False)
    program = kernels.compile_c(tmp_path, 32)
    done = subprocess.run([program, "1"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.endswith("K0 K1 FIRST_BLOCK N_BLOCKS\n")


def test_missing_gcc_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="compiles C with gcc, which is not installed"):
        kernels.compile_c(tmp_path, 16)


@pytest.mark.parametrize("way", kernels.COUNTS)
def test_every_implementation_finds_a_quarter_of_pi(way: str) -> None:
    require([] if way != kernels.NUMBA or find_numba() else ["numba"])
    n_points = PI_BLOCK_SIZE // 8 if way == kernels.LOOP else PI_BLOCK_SIZE
    assert kernels.time_way(way, n_points)["n_inside"] / n_points == pytest.approx(
        0.7854, abs=0.003
    )


@pytest.mark.parametrize(
    ("side", "bound", "holds"),
    [
        ("at most", 4.0, True),
        ("at most", 3.9, False),
        ("at least", 2.0, True),
        ("at least", 2.1, False),
    ],
)
def test_a_claim_holds_with_its_whole_interval(side: str, bound: float, holds: bool) -> None:
    rounds = [{"a": 2.0, "b": 1.0}, {"a": 9.0, "b": 3.0}, {"a": 8.0, "b": 2.0}]
    judged = kernels.judge(rounds, "a", "b", side, bound)
    assert judged["ratio_interval_95"] == [2.0, 4.0]
    assert judged["holds"] is holds
    assert judged["claim"] == f"a to b: {side} {bound:g}"
