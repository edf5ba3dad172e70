"""The README says what was measured, and its cell runs."""

from __future__ import annotations

import json
import re

import pytest

from benchmarks.pi import as_table, put_table
from tests.conftest import REPOSITORY

README = (REPOSITORY / "README.md").read_text("utf-8")


def test_table_is_that_of_the_results() -> None:
    results = json.loads((REPOSITORY / "benchmarks/results/pi.json").read_text("utf-8"))
    assert len(results["rounds_million_points_per_s"]) >= 9
    assert put_table(README, as_table(results)) == README


def test_cell_runs_and_is_right() -> None:
    (cell,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    *statements, expression = cell.strip().splitlines()
    names: dict[str, object] = {}
    exec("\n".join(statements), names)
    result = eval(expression.replace("seed=1", "seed=1, engine='serial'"), names)
    assert abs(result.value - 8 * 3.141592653589793**2 / 15) < 5 * result.standard_error


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)]+)\)", README))
def test_links_lead_somewhere(target: str) -> None:
    assert (REPOSITORY / target).exists()
