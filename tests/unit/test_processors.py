"""How many processors a process may use."""

from __future__ import annotations

import os
from pathlib import Path

import loky
import pytest

from scoopsci.basics.processors import MOST, count_processors


@pytest.fixture(autouse=True)
def many(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Eight processors, and a folder for control groups."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr("scoopsci.basics.processors.GROUPS", tmp_path)
    monkeypatch.delenv(MOST, raising=False)
    return tmp_path


def test_of_the_affinity() -> None:
    assert count_processors() == 8


@pytest.mark.parametrize(
    ("text", "count"),
    [("max 100000", 8), ("250000 100000", 3), ("1000 100000", 1), ("1600000 100000", 8), ("", 8)],
)
def test_of_the_quota(many: Path, text: str, count: int) -> None:
    (many / "cpu.max").write_text(f"{text}\n")
    assert count_processors() == count


@pytest.mark.parametrize(("quota", "count"), [("-1", 8), ("150000", 2)])
def test_of_the_quota_of_older_groups(many: Path, quota: str, count: int) -> None:
    (many / "cpu").mkdir()
    (many / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (many / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert count_processors() == count


@pytest.mark.parametrize(("most", "count"), [("3", 3), ("99", 8), ("0", 1), ("few", 8)])
def test_of_the_variable(monkeypatch: pytest.MonkeyPatch, most: str, count: int) -> None:
    monkeypatch.setenv(MOST, most)
    assert count_processors() == count


def test_as_loky_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert count_processors() == loky.cpu_count()
