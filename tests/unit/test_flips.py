"""Damaged ledgers, a bit at a time: an error that is ours, or the right number."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import scoopsci
from scoopsci import LedgerError
from scoopsci.reporting.receipts import as_plain
from scoopsci.road.replay import check_ledger, describe_ledger
from tests.ledgers import shrink

#: Bits that are flipped in CI, of each ledger.
N_CHOSEN = 500

#: The test of all bits is run in parts.
N_PARTS = 10


def run_pi(ledger: Path) -> Any:
    return scoopsci.pi(3_000, seed=1, block_size=1_000, engine="serial", ledger=ledger).n_inside


def draw(rng: Any, size: int) -> Any:
    return rng.random((size, 2))


def run_estimate(ledger: Path) -> Any:
    found = scoopsci.estimate(draw, 3_000, seed=1, block_size=1_000, engine="serial", ledger=ledger)
    return [*found.value, *found.half_width]


def run_map(ledger: Path) -> Any:
    options: Any = {"engine": "serial", "ledger": ledger, "chunk_target_s": 1e-9}
    return list(scoopsci.map(float, range(5), **options))


def run_map_of_sets(ledger: Path) -> Any:
    """Their ledger holds pickles."""
    options: Any = {"engine": "serial", "ledger": ledger, "chunk_target_s": 1e-9}
    return list(scoopsci.map(make_set, range(3), **options))


def make_set(value: int) -> set[int]:
    return {value}


def show(path: Path) -> Any:
    return as_plain(describe_ledger(path))


RUNS: list[Callable[[Path], Any]] = [run_pi, run_estimate, run_map, run_map_of_sets]


def flip_each(
    run: Callable[[Path], Any], path: Path, choose: Callable[[int], Sequence[int]]
) -> None:
    """Flip bits one at a time, and look at the file, check it and resume its run each time."""
    expected = run(path)
    whole = shrink(path)
    shown = show(path)
    told: Counter[str] = Counter()

    def use(name: str, call: Callable[[Path], Any]) -> Any:
        for file in path.parent.iterdir():
            file.unlink()
        path.write_bytes(damaged)
        try:
            return call(path)
        except LedgerError:
            told[name] += 1
            return None

    chosen = choose(8 * len(whole))
    for bit in chosen:
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        assert use("run", run) in (None, expected), bit
        found = use("show", show)
        if found is not None:
            assert found["identity"] == shown["identity"], bit
            assert found == shown or found["n_rows"] < shown["n_rows"], bit
        n_rows = use("verify", lambda path: check_ledger(path, trust=False)[0])
        assert n_rows is None or n_rows <= shown["n_rows"], bit
    assert min(told["run"], told["show"], told["verify"]) > len(chosen) / 5, told


@pytest.mark.parametrize("run", RUNS)
def test_bits_chosen_by_seed(run: Callable[[Path], Any], tmp_path: Path) -> None:
    def choose(n_bits: int) -> Sequence[int]:
        return random.Random(16).sample(range(n_bits), N_CHOSEN)

    flip_each(run, tmp_path / "run.ledger", choose)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", range(N_PARTS))
@pytest.mark.parametrize("run", RUNS)
def test_every_bit(run: Callable[[Path], Any], part: int, tmp_path: Path) -> None:
    flip_each(run, tmp_path / "run.ledger", lambda n_bits: range(part, n_bits, N_PARTS))
