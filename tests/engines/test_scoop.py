"""The contract, for plain SCOOP: run inside ``python -m scoop``, and its absence outside."""

from __future__ import annotations

from pathlib import Path

import pytest

import scoopsci
from scoopsci import EngineNotStartedError
from tests.conftest import RunScoop

CONTRACT = Path(__file__).with_name("scoop_contract.py")


@pytest.mark.parametrize("n", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_contract_inside_scoop(run_scoop: RunScoop, tmp_path: Path, n: int) -> None:
    status = tmp_path / "status"
    arguments = ("-q", "-p", "no:cacheprovider")
    done = run_scoop(CONTRACT, status, *arguments, n=n)
    assert status.exists(), done.stderr
    assert status.read_text() == "0", done.stdout
    assert "passed" in done.stdout


def test_outside_scoop_it_names_the_command() -> None:
    with pytest.raises(EngineNotStartedError, match="python -m scoop"):
        scoopsci.pi(10, engine="scoop")
