"""Ledgers from others: looking at one runs nothing that it brings."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import scoopsci
from scoopsci import LedgerError, ScoopsciError
from scoopsci.cli import main
from scoopsci.road.partials import PICKLE, decode, encode
from scoopsci.road.replay import describe_ledger, replay_block, verify_ledger
from tests.ledgers import craft


class Crafted:
    """Makes a folder when its pickle is loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


def draw(rng: Any, size: int) -> Any:
    return rng.random(size)


def square(x: Any) -> Any:
    return x[:, 0] ** 2


def run_pi(ledger: Path) -> Any:
    return scoopsci.pi(3_000, seed=1, block_size=1_000, engine="serial", ledger=ledger)


def run_estimate(ledger: Path) -> Any:
    return scoopsci.estimate(draw, 3_000, seed=1, block_size=1_000, engine="serial", ledger=ledger)


def run_integrate(ledger: Path) -> Any:
    options: Any = {"seed": 1, "block_size": 1_000, "engine": "serial", "ledger": ledger}
    methods = [scoopsci.Antithetic()]
    return scoopsci.integrate(square, 0, 1, 3_000, dim=1, variance_reduction=methods, **options)


def run_map(ledger: Path) -> Any:
    return list(scoopsci.map(float, range(5), engine="serial", ledger=ledger))


RUNS: list[Callable[[Path], Any]] = [run_pi, run_estimate, run_integrate, run_map]

#: Where a file stores bytes or text: what is put there instead, made from a pickle.
PLACES: dict[str, tuple[str, int]] = {
    "partial": ("ranges", 3),
    "inputs": ("ranges", 2),
    "function or outline": ("task", 1),
    "name of a task": ("task", 0),
    "identity": ("identity", 1),
    "name in the identity": ("identity", 0),
    "NumPy's version": ("numerics", 0),
    "host": ("numerics", 2),
}
FORMS: dict[str, Callable[[bytes], Any]] = {
    "pickle": bytes,
    "partial that is a pickle": lambda pickled: PICKLE + pickled,
    "list of frames": lambda pickled: encode([pickled]),
    "text": lambda pickled: pickled.decode("latin-1"),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.ledger"


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "mark"


def put(path: Path, place: str, content: Any) -> None:
    table, column = PLACES[place]
    numbers = iter(range(1_000_000))

    def change(row: list[Any]) -> list[Any]:
        is_key = place.startswith("name")  # which must differ from row to row
        row[column] = content * (next(numbers) + 1) if is_key else content
        return row

    craft(path, table, change)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("run", RUNS)
def test_looking_runs_nothing(
    run: Callable[[Path], Any],
    place: str,
    path: Path,
    mark: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(path)
    whole = path.read_bytes()
    for form in FORMS.values():
        path.write_bytes(whole)
        put(path, place, form(pickle.dumps(Crafted(mark), protocol=0)))
        before = path.read_bytes()
        for action, more in (("show", []), ("verify", ["--json"]), ("replay", ["0"])):
            assert main(["ledger", action, str(path), *more]) in (0, 1, 2)
            assert "Traceback" not in capsys.readouterr().err
        assert not mark.exists()
        assert path.read_bytes() == before


@pytest.mark.parametrize("run", [run_pi, run_estimate, run_integrate])
def test_runs_with_partials_of_our_kinds_load_no_pickle(
    run: Callable[[Path], Any], path: Path, mark: Path
) -> None:
    run(path)
    put(path, "partial", encode(Crafted(mark)))
    with pytest.raises(LedgerError, match=r"are a pickle, which .* never stores"):
        run(path)
    assert not mark.exists()


def test_what_is_trusted_is_loaded(path: Path, mark: Path) -> None:
    """So the pickles above would have run."""
    run_map(path)
    put(path, "partial", encode(Crafted(mark)))
    assert verify_ledger(path) > 0
    assert describe_ledger(path)["n_pickled"] > 0
    assert not mark.exists()
    with pytest.raises(LedgerError, match="items instead of"):
        verify_ledger(path, trust=True)
    assert mark.exists()


def test_a_function_that_is_trusted_is_loaded(path: Path, mark: Path) -> None:
    run_estimate(path)
    put(path, "function or outline", encode([pickle.dumps(Crafted(mark))]))
    for look in (describe_ledger, verify_ledger):
        with pytest.raises(LedgerError, match="its outline"):
            look(path)
    with pytest.raises(ScoopsciError, match="pass --trust"):
        replay_block(path, 0)
    assert not mark.exists()
    with pytest.raises(LedgerError, match="cannot be loaded here"):
        replay_block(path, 0, trust=True)
    assert mark.exists()


def test_plain_partials_build_nothing_else(mark: Path) -> None:
    """A kind is one of the list, and no name of a module or class is looked up."""
    for header in (
        '["os.mkdir","x"]', '["pickle"]', '["__class__"]', '["Moments"]', '["bytes",-1]',
        '["array","|O8",[1],"C",true]', '["array","<f8",[1000000000000],"C",true]', "[]", "[[]]",
        '["array","<f8",[-1,-1],"C",true]', '["dict",1]', '["dict",["list"],1]', "[" * 100_000,
        '["int",5]', '["floats",1]', '["CircleCount",1]', "1" * 5_000, "", "{",
    ):  # fmt: skip
        with pytest.raises(ValueError, match="no partial"):
            decode(header.encode() + b"\n")
