"""Options are checked at once, and none of them can change a result."""

from __future__ import annotations

import math
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError, fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scoopsci.road.options import WHERE, DispatchOptions, RunOptions, split_options

NAMES = {field.name for field in fields(DispatchOptions)}


def split(**options: Any) -> tuple[dict[str, Any], Any, DispatchOptions]:
    return split_options(RunOptions(**options))  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [
        *(("chunk_target_s", value, ValueError) for value in (0, -1.0, math.nan, math.inf)),
        *(("timeout", value, ValueError) for value in (0, -1.0, math.nan, math.inf)),
        *(("window", value, ValueError) for value in (0, -1)),
        *(("poison_after", value, ValueError) for value in (0, -1)),
        *(("retries", value, ValueError) for value in (-1,)),
        *((name, "3", TypeError) for name in ("window", "poison_after", "retries", "timeout")),
        *((name, 1.5, TypeError) for name in ("window", "poison_after", "retries")),
        *((name, True, TypeError) for name in ("window", "poison_after", "retries", "timeout")),
        *((name, None, TypeError) for name in ("poison_after", "retries")),
        *(("mixed", value, TypeError) for value in (None, 1, "yes", np.True_)),
        *(("progress", value, TypeError) for value in (1, "bar", b"")),
    ],
)
def test_wrong_value(option: str, value: Any, error: type[Exception]) -> None:
    for make in (DispatchOptions, split):
        with pytest.raises(error, match=rf"{option} must be .*got {re.escape(repr(value))}"):
            make(**{option: value})


def test_chunks_of_a_long_run_are_longer_unless_their_time_is_given() -> None:
    times = [DispatchOptions().chunk_s(elapsed_s) for elapsed_s in (0.0, 4.0, 8.0, 20.0, 1e6)]
    assert times == pytest.approx([0.1, 0.1, 0.2, 0.5, 0.5])
    assert DispatchOptions(chunk_target_s=0.03).chunk_s(1e6) == 0.03


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("timeout", 1),
        ("timeout", Fraction(1, 2)),
        ("timeout", np.float32(0.5)),
        ("timeout", 1e300),
        ("chunk_target_s", 1e-9),
        ("chunk_target_s", None),
        ("window", np.int8(3)),
        ("window", None),
        ("retries", 0),
        ("poison_after", 10**30),
        ("mixed", True),
        ("progress", print),
    ],
)
def test_right_value(option: str, value: Any) -> None:
    assert getattr(DispatchOptions(**{option: value}), option) == value
    assert getattr(split(**{option: value})[2], option) == value


def test_defaults() -> None:
    where, ledger, how = split()
    assert where == {"engine": "auto", "n_workers": None, "hostfile": None}
    assert ledger is None
    assert how == DispatchOptions()
    assert (how.retries, how.poison_after, how.mixed, how.timeout) == (0, 3, False, None)


def test_options_are_split() -> None:
    with ThreadPoolExecutor(1) as pool:
        where, ledger, how = split(
            engine=pool, n_workers=3, hostfile="hosts", ledger=Path("run.ledger"), retries=2
        )
        assert where == {"engine": pool, "n_workers": 3, "hostfile": "hosts"}
    assert ledger == Path("run.ledger")
    assert how == DispatchOptions(retries=2)


def test_unknown_options_are_named_beside_the_known() -> None:
    with pytest.raises(TypeError, match=r"must be one of engine, .*progress; got retires, sede$"):
        split(sede=1, engine="serial", retires=3)


def test_no_option_is_lost() -> None:
    known = set(RunOptions.__annotations__)
    assert known == set(WHERE) | {"ledger"} | NAMES


def test_the_caller_s_options_are_not_modified() -> None:
    options = RunOptions(engine="serial", ledger="file", retries=1)
    split_options(options)
    assert options == {"engine": "serial", "ledger": "file", "retries": 1}


def test_dispatch_options_are_immutable() -> None:
    with pytest.raises(FrozenInstanceError):
        DispatchOptions().retries = 3  # type: ignore[misc]
