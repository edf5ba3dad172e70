"""The README says what was measured, and its cell runs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import scoopsci
from benchmarks.__main__ import BENCHMARKS
from benchmarks.form import RESULTS, put_table, read_table
from tests.conftest import REPOSITORY

README = (REPOSITORY / "README.md").read_text("utf-8")


CELLS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
TABLES = re.findall(r"<!-- table: benchmarks/results/(\w+)\.json -->", README)


def test_every_benchmark_but_the_road_s_has_its_table() -> None:
    assert [name for name in BENCHMARKS if name != "road"] == TABLES


@pytest.mark.parametrize("name", TABLES)
def test_table_is_that_of_the_results(name: str) -> None:
    assert put_table(README, name, read_table(name, BENCHMARKS[name])) == README


@pytest.mark.parametrize("name", [name for name in TABLES if (RESULTS / f"{name}.json").exists()])
def test_results_are_of_at_least_nine_rounds(name: str) -> None:
    results = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
    assert len(results["rounds"]) >= 9
    assert results["quick"] is False
    assert {"rows", "n_processors", "versions"} <= set(results)


def test_cell_runs_and_is_right() -> None:
    *statements, expression = CELLS[0].strip().splitlines()
    names: dict[str, object] = {}
    exec("\n".join(statements), names)
    result = eval(expression.replace("seed=1", "seed=1, engine='serial'"), names)
    assert abs(result.value - 8 * 3.141592653589793**2 / 15) < 5 * result.standard_error


def test_pool_of_the_readme_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hostfile").write_text("localhost 2\n")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"scoopsci": scoopsci, "simulate": abs, "parameters": range(4)}
    exec(next(cell for cell in CELLS if "Pool(" in cell), names)
    assert names["pool"].n_workers == 2


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)]+)\)", README))
def test_links_lead_somewhere(target: str) -> None:
    assert (REPOSITORY / target).exists()
