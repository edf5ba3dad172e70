"""Settings of the driver: what is sent of them, and what of them belongs to a run's identity."""

from __future__ import annotations

import contextlib
import decimal
import functools
import logging
import subprocess
import sys
import warnings
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scoopsci
from scoopsci import LedgerError
from scoopsci.engines.settings import describe_arithmetic, read_arithmetic, take_settings
from scoopsci.road.replay import replay_block
from tests.ledgers import craft

SERIAL: dict[str, Any] = {"engine": "serial"}


@contextlib.contextmanager
def precision(n_digits: int) -> Iterator[None]:
    with decimal.localcontext() as context:
        context.prec = n_digits
        yield


def third(item: int) -> str:
    return str(Decimal(item) / 3)


def draw(rng: np.random.Generator, size: int) -> Any:
    return np.asarray([float(str(Decimal(1) / 3)[:20]) + x for x in rng.random(size)])


#: Prints what an interpreter sends that has only imported scoopsci, and used it.
FRESH = """
import scoopsci
from scoopsci.engines.settings import take_settings
scoopsci.pi(1000, seed=1, engine="serial")
list(scoopsci.map(abs, range(3), engine="serial"))
print(take_settings())
"""


class TestSent:
    def test_nothing_by_a_program_that_sets_nothing(self) -> None:
        command = [sys.executable, "-c", FRESH]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        assert done.stdout == "{}\n"

    def test_what_is_not_the_default(self) -> None:
        logger = logging.getLogger("scoopsci.test.settings")
        logger.setLevel(5)
        try:
            with (
                precision(9),
                np.errstate(over="raise"),
                np.printoptions(precision=2),
                warnings.catch_warnings(),
            ):
                warnings.filterwarnings("error", "some words", UserWarning)
                found = take_settings()
        finally:
            logger.setLevel(0)
        assert found["decimal"].prec == 9
        assert found["errors"]["over"] == "raise"
        assert found["printing"]["precision"] == 2
        assert found["levels"]["scoopsci.test.settings"] == 5
        assert found["filters"][0][:3] == ("error", ("some words", 34), "builtins:UserWarning")

    def test_what_has_been_set_back_is_not(self) -> None:
        before = take_settings()
        old = np.seterr(all="raise")
        np.seterr(**old)
        with precision(28):
            assert take_settings() == before
        assert "errors" not in before


class TestIdentity:
    def test_of_a_program_that_sets_nothing_is_as_before(self, tmp_path: Path) -> None:
        assert describe_arithmetic() == {}
        scoopsci.pi(1_000, seed=1, ledger=tmp_path / "ledger", **SERIAL)
        assert "decimal" not in scoopsci.describe_ledger(tmp_path / "ledger")["identity"]

    def test_flags_of_past_computations_do_not_count(self) -> None:
        with precision(28) as _:
            Decimal(1) / 3
            assert describe_arithmetic() == {}

    @pytest.mark.parametrize(("first", "second"), [(28, 50), (50, 28), (50, 51)])
    def test_two_precisions_do_not_meet_in_a_ledger(
        self, first: int, second: int, tmp_path: Path
    ) -> None:
        options: Any = {"ledger": tmp_path / "ledger", **SERIAL}
        with precision(first):
            found = list(scoopsci.map(third, range(4), **options))
        with (
            precision(second),
            pytest.raises(LedgerError, match="results of two decimal contexts"),
        ):
            list(scoopsci.map(third, range(9), **options))
        with precision(first):
            assert list(scoopsci.map(third, range(4), **options)) == found

    def test_a_block_is_replayed_in_its_own_context(self, tmp_path: Path) -> None:
        ledger = tmp_path / "ledger"
        with precision(5):
            scoopsci.estimate(draw, 200, seed=1, block_size=100, ledger=ledger, **SERIAL)
        assert replay_block(ledger, 1, trust=True).equal
        with precision(3):
            assert replay_block(ledger, 1, trust=True).equal

    def test_a_context_that_is_none_is_damage(self, tmp_path: Path) -> None:
        ledger = tmp_path / "ledger"
        with precision(5):
            scoopsci.estimate(draw, 200, seed=1, block_size=100, ledger=ledger, **SERIAL)
        with pytest.raises((TypeError, ValueError)):
            read_arithmetic({"decimal": {"prec": "many"}})
        craft(
            ledger,
            "identity",
            lambda row: ["decimal", '{"prec": "many"}'] if row[0] == "decimal" else row,
        )
        with pytest.raises(LedgerError, match="its decimal context cannot be read"):
            replay_block(ledger, 1, trust=True)

    def test_a_context_is_read_as_it_was(self) -> None:
        with decimal.localcontext() as context:
            context.prec, context.rounding, context.Emax = 7, decimal.ROUND_UP, 99
            context.traps[decimal.Inexact] = True
            found = read_arithmetic(describe_arithmetic())
            context.clear_flags()
            assert repr(found) == repr(context)


class Noted:
    """Notes when it is described."""

    n_times = 0

    def __reduce__(self) -> Any:
        Noted.n_times += 1
        return Noted, ()


class TestDescription:
    """What nobody asks for is not computed: a large table takes long to describe."""

    @pytest.mark.parametrize("seed", [None, 1])
    def test_a_map_without_ledger_or_receipt_describes_no_table(
        self, seed: int | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        counted: list[int | None] = []
        describe = scoopsci.road.mapcalls.describe_code

        def count(*values: object, most_items: int | None = None) -> Any:
            counted.append(most_items)
            return describe(*values, most_items=most_items)

        monkeypatch.setattr("scoopsci.road.mapcalls.describe_code", count)
        fn = functools.partial(lambda table, *given: given[-1], list(range(5_000)))
        assert list(scoopsci.map(fn, range(3), seed=seed, **SERIAL)) == [0, 1, 2]
        assert counted == ([] if seed is None else [1_000])

    def test_no_more_items_are_looked_at(self) -> None:
        fn = functools.partial(print, [1, 2, 3, Noted()])
        for most_items, is_noted in ((3, False), (4, True), (None, True)):
            before = Noted.n_times
            scoopsci.basics.codehash.describe_code(fn, most_items=most_items)
            assert (Noted.n_times > before) is is_noted

    def test_a_sort_hashes_its_key_for_a_receipt_alone(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(fn: object) -> str:
            raise AssertionError("nobody has asked")

        monkeypatch.setattr("scoopsci.mergesort.hash_code", refuse)
        assert scoopsci.merge_sort([3, -1, 2], key=abs, **SERIAL) == [-1, 2, 3]
        with pytest.raises(AssertionError, match="nobody has asked"):
            scoopsci.mergesort.sort_and_describe([3, -1, 2], key=abs, **SERIAL)
