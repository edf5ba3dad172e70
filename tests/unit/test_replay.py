"""Ledgers are inspected, and their blocks recomputed."""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
import random
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest

import scoopsci
from scoopsci import Estimate, LedgerError
from scoopsci.basics.codehash import hash_code
from scoopsci.basics.moved import FORMER
from scoopsci.cli import main
from scoopsci.estimation.estimators import CircleCount
from scoopsci.road.partials import encode
from scoopsci.road.replay import describe_ledger, replay_block, verify_ledger
from tests.ledgers import craft

cloudpickle.register_pickle_by_value(sys.modules[__name__])


def draw(rng: np.random.Generator, size: int) -> Any:
    return np.exp(0.5 * rng.standard_normal((size, 2)))


def gauss(x: Any) -> Any:
    return np.exp(-np.square(x).sum(axis=1))


def run_pi(**run: Any) -> Estimate:
    return scoopsci.pi(100_500, seed=2, block_size=1_000, **run)


def run_estimate(**run: Any) -> Estimate:
    return scoopsci.estimate(draw, 100_500, seed=2, block_size=1_000, **run)


def run_reduced(**run: Any) -> Estimate:
    methods = [scoopsci.Antithetic()]
    options: Any = {"dim": 2, "seed": 2, "block_size": 1_000, "variance_reduction": methods}
    return scoopsci.integrate(gauss, 0, 1, 100_500, **options, **run)


def run_scrambled(**run: Any) -> Estimate:
    options: Any = {"dim": 2, "seed": 2, "block_size": 1_024, "method": "qmc"}
    return scoopsci.integrate(gauss, 0, 1, 1 << 17, **options, **run)


RUNS: list[Callable[..., Estimate]] = [run_pi, run_estimate, run_reduced, run_scrambled]
every_run = pytest.mark.parametrize("run", RUNS, ids=lambda run: run.__name__)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.ledger"


def count(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as database:
        return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


class TestReplay:
    @every_run
    def test_the_same_partials(self, run: Callable[..., Estimate], path: Path) -> None:
        found = run(engine="processes", n_workers=2, ledger=path)
        chosen = random.Random(1).sample(range(found.n_blocks), 20)
        for block in [0, found.n_blocks - 1, *chosen]:
            replay = replay_block(path, block, trust=run is not run_pi)
            assert replay.blocks.start <= block < replay.blocks.stop
            assert replay.equal
            assert replay.same_numerics

    def test_the_last_block_is_cut_short(self, path: Path) -> None:
        run_pi(engine="serial", ledger=path)
        assert replay_block(path, 100).n_samples == 500

    def test_another_partial_is_noticed(self, path: Path) -> None:
        run_pi(engine="serial", ledger=path)
        craft(path, "ranges", lambda row: [*row[:3], encode(700 * (row[1] - row[0]))])
        assert not replay_block(path, 0).equal

    def test_a_function_with_an_array_that_it_writes_to(self, path: Path) -> None:
        scratch = np.zeros(20_000)

        def draw_there(rng: np.random.Generator, size: int) -> Any:
            scratch[:size] = rng.random(size)
            return scratch[:size].copy()

        scoopsci.estimate(draw_there, 5_000, seed=1, block_size=1_000, engine="serial", ledger=path)
        with pytest.raises(LedgerError, match=r"function .* as a pickle, .* pass --trust"):
            replay_block(path, 2)
        assert replay_block(path, 2, trust=True).equal

    def test_an_unknown_block(self, path: Path) -> None:
        run_pi(engine="serial", ledger=path)
        with pytest.raises(LedgerError, match=r"no block 101, its blocks are below 101; see"):
            replay_block(path, 101)

    def test_a_map_has_no_items_to_replay(self, path: Path) -> None:
        assert list(scoopsci.map(abs, range(5), engine="serial", ledger=path))
        with pytest.raises(
            ValueError, match="must be the ledger of a Monte Carlo run, got one of map"
        ):
            replay_block(path, 0)
        assert describe_ledger(path)["n_blocks"] == 5
        assert verify_ledger(path) == count(path, "ranges")

    def test_a_function_that_fails_here(self, path: Path) -> None:
        run_estimate(engine="serial", ledger=path)
        craft(
            path, "task", lambda row: [row[0], encode([b"\x80"]) if row[0] == "pickle" else row[1]]
        )
        for look in (replay_first, functools.partial(verify_ledger, trust=True)):
            with pytest.raises(LedgerError, match="holds a function that cannot be loaded here"):
                look(path)
        assert verify_ledger(path) == count(path, "ranges")


def replay_first(path: Path) -> Any:
    return replay_block(path, 0, trust=True)


class TestFormerLayout:
    """Rows of ledgers of before had no checksum of all that they say."""

    def test_it_is_refused_with_the_reason(self, tmp_path: Path) -> None:
        ledger = Path(shutil.copy(Path(__file__).with_name("before_checksums.ledger"), tmp_path))
        before = ledger.read_bytes()
        uses: list[Callable[[Path], Any]] = [
            verify_ledger,
            describe_ledger,
            replay_first,
            lambda path: scoopsci.pi(1_000, seed=5, ledger=path),
        ]
        for use in uses:
            with pytest.raises(LedgerError, match="its layout is 2, whose rows cannot be checked"):
                use(ledger)
        assert ledger.read_bytes() == before

    def test_hashes_keep_the_former_names(self) -> None:
        hashed = hashlib.sha256(b"type\0scoopsci.estimates Estimate\0").hexdigest()
        assert hash_code(Estimate) == hashed
        assert {importlib.import_module(name).__name__ for name in FORMER} == set(FORMER)


class TestDescribe:
    @every_run
    def test_description_of_a_ledger(self, run: Callable[..., Estimate], path: Path) -> None:
        found = run(engine="serial", ledger=path)
        told = describe_ledger(path)
        assert told["needs_trust"] == (run in (run_reduced, run_scrambled))
        if told["needs_trust"]:
            assert (told["estimate"], told["n_pickled"]) == (None, 0)
            told = describe_ledger(path, trust=True)
        assert told["identity"]["seed"] == 2
        assert told["n_blocks"] == told["n_in_sequence"] == found.n_blocks
        assert told["n_rows"] == count(path, "ranges")
        if run is run_scrambled:
            assert told["n_samples"] == found.n_samples
            assert (told["estimate"], told["half_width"]) == (found.value, found.half_width)
        else:
            assert told["n_samples"] == 96_000  # the last check before the end
            assert np.allclose(told["estimate"], found.value, rtol=0.01)

    def test_a_gap(self, path: Path) -> None:
        run_pi(engine="serial", ledger=path)
        with closing(sqlite3.connect(path)) as database:
            database.execute("DELETE FROM ranges WHERE start <= 40 AND stop > 40")
            database.commit()
        told = describe_ledger(path)
        assert told["n_in_sequence"] <= 40 < told["n_blocks"]

    def test_a_missing_file_is_not_created(self, path: Path) -> None:
        for look in (describe_ledger, verify_ledger):
            with pytest.raises(LedgerError, match="there is no ledger"):
                look(path)
        assert not path.exists()

    def test_an_empty_file_is_no_ledger_and_stays_empty(self, path: Path) -> None:
        path.touch()
        with pytest.raises(LedgerError, match="is empty; name the ledger of a run"):
            describe_ledger(path)
        assert path.read_bytes() == b""

    def test_the_file_is_not_modified(self, path: Path) -> None:
        run_pi(engine="serial", ledger=path)
        before = path.read_bytes()
        describe_ledger(path)
        verify_ledger(path)
        replay_block(path, 3)
        assert path.read_bytes() == before
        assert [*path.parent.iterdir()] == [path]


class TestVerify:
    def test_an_intact_ledger(self, path: Path) -> None:
        run_pi(engine="serial", ledger=path)
        assert verify_ledger(path) == count(path, "ranges")

    def test_a_changed_byte(self, path: Path) -> None:
        run_estimate(engine="serial", ledger=path)
        with closing(sqlite3.connect(path)) as database:
            database.execute("UPDATE ranges SET partial = substr(partial, 2) WHERE start = 0")
            database.commit()
        with pytest.raises(LedgerError, match="blocks 0 to 0 cannot be read"):
            verify_ledger(path)

    @pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
    def test_a_truncated_file(self, path: Path, share: float) -> None:
        run_estimate(engine="serial", ledger=path)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(LedgerError, match=r"damaged|cannot be"):
            verify_ledger(path)


class TestCommand:
    def test_show(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        run_pi(engine="serial", ledger=path)
        assert main(["ledger", "show", str(path)]) == 0
        told = capsys.readouterr().out
        assert "  seed: 2\n" in told
        assert "101 blocks are finished" in told
        assert "96,000 samples give 3.1" in told

    def test_json(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        run_pi(engine="serial", ledger=path)
        for action, more in (("show", []), ("verify", []), ("replay", ["7", "100"])):
            assert main(["ledger", action, str(path), *more, "--json"]) == 0
            told = json.loads(capsys.readouterr().out)
            assert told
        assert told["equal"] is True
        assert [each["block"] for each in told["blocks"]] == [7, 100]

    def test_replay_in_words(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        run_pi(engine="serial", ledger=path)
        assert main(["ledger", "replay", str(path), "7"]) == 0
        assert "the same partial" in capsys.readouterr().out

    def test_another_partial_is_status_1(
        self, path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        scoopsci.pi(10_000, seed=203, block_size=1_000, engine="serial", ledger=path)
        craft(path, "task", lambda row: ["outline", encode(CircleCount(204))])
        assert main(["ledger", "replay", str(path), "7"]) == 1
        assert "A DIFFERENT partial" in capsys.readouterr().out

    def test_what_was_not_loaded_is_said(
        self, path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        list(scoopsci.map(lambda x: {x}, range(3), engine="serial", ledger=path))
        n_rows = count(path, "ranges")
        for more, told in (
            ([], f"; {n_rows} hold pickles, which were not loaded"),
            (["--trust"], ""),
        ):
            assert main(["ledger", "verify", str(path), *more]) == 0
            out = capsys.readouterr().out
            assert out.startswith(f"all {n_rows} rows are whole{told}")
            assert "; nothing was computed again" in out

    def test_show_says_what_needs_trust(
        self, path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run_reduced(engine="serial", ledger=path)
        assert main(["ledger", "show", str(path)]) == 0
        assert "the estimate needs the run's function, a pickle" in capsys.readouterr().out
        assert main(["ledger", "show", str(path), "--trust"]) == 0
        assert "96,000 samples give 0.5" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("arguments", "status", "told"),
        [
            (["show", "nonesuch"], 1, "there is no ledger"),
            (["replay", "FILE", "9999"], 1, "has no block 9999"),
            (["replay", "FILE", "-1"], 2, "at least 0, got -1"),
            (["replay", "FILE", "x"], 2, "must be an integer, such as 1_000_000, got 'x'"),
            (["replay", "FILE"], 2, "BLOCK"),
            (["burn", "FILE"], 2, "invalid choice"),
            ([], 2, "ACTION"),
        ],
    )
    def test_wrong_use_is_one_line(
        self,
        arguments: list[str],
        status: int,
        told: str,
        path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        run_pi(engine="serial", ledger=path)
        given = [str(path) if argument == "FILE" else argument for argument in arguments]
        assert main(["ledger", *given]) == status
        out, err = capsys.readouterr()
        assert out == ""
        assert told in err
        assert err.count("\n") == 1
