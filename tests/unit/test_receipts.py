"""Receipts: plain, complete, and written atomically."""

import functools
import json
import math
import os
import platform
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import scoopsci
from scoopsci.basics.codehash import hash_code
from scoopsci.reporting.receipts import (
    as_plain,
    battery_hash,
    make_receipt,
    process_facts,
    software_versions,
    write_receipt,
)


def read_strictly(text: str) -> Any:
    def refuse(name: str) -> None:
        raise ValueError(f"JSON knows no {name}")

    return json.loads(text, parse_constant=refuse)


def square(x: float) -> float:
    return x * x


def cube(x: float) -> float:
    return x * x * x


class Scale:
    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, x: float) -> float:
        return self.factor * x


def test_battery_is_the_same_in_another_process() -> None:
    program = "from scoopsci.reporting.receipts import battery_hash; print(battery_hash())"
    command = [sys.executable, "-c", program]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    assert told == battery_hash()
    assert re.fullmatch("[0-9a-f]{16}", told)


def test_battery_detects_other_kernels() -> None:
    program = "from scoopsci.reporting.receipts import battery_hash; print(battery_hash())"
    command = [sys.executable, "-c", program]
    found = {
        subprocess.run(
            command,
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "OPENBLAS_CORETYPE": kernels},
        ).stdout
        for kernels in ("Nehalem", "Haswell")
    }
    assert len(found) == 2


def test_facts_of_this_process() -> None:
    facts = process_facts()
    assert facts["pid"] == os.getpid()
    assert facts["python"] == platform.python_version()
    assert facts["numpy"] == np.__version__
    assert facts["battery"] == battery_hash()
    assert json.loads(json.dumps(facts)) == facts


def test_versions() -> None:
    versions = software_versions()
    assert versions["scoopsci"] == scoopsci.__version__
    assert versions["numpy"] == np.__version__
    assert {"python", "scipy", "scoop", "pyzmq", "loky", "cloudpickle"} <= set(versions)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (square, cube),
        (np.exp, np.log),
        (math.sin, math.cos),
        (functools.partial(square), functools.partial(cube)),
        (functools.partial(pow, 2), functools.partial(pow, 3)),
        (Scale(1.0), square),
        (Scale, square),
        (functools.lru_cache(square), functools.lru_cache(cube)),
        (np.vectorize(square), np.vectorize(cube)),
        ([].append, {}.get),
    ],
    ids=[
        "functions",
        "ufuncs",
        "builtins",
        "partials",
        "arguments",
        "object",
        "class",
        "wrappers",
        "vectorised",
        "methods",
    ],
)
def test_codes_differ(one: Callable[..., Any], other: Callable[..., Any]) -> None:
    hashes = [hash_code(one), hash_code(other), hash_code(one)]
    assert hashes[0] == hashes[2] != hashes[1]
    assert all(re.fullmatch("[0-9a-f]{64}", code) for code in hashes)


@pytest.mark.parametrize("source", ["lambda x: x", "lambda x: -x"])
def test_code_without_a_source_file(source: str) -> None:
    assert hash_code(eval(source)) == hash_code(eval(source)) != hash_code(eval("lambda x: 2 * x"))


def make_test_receipt(**parts: Any) -> dict[str, Any]:
    given = {"workload": "test", "options": {}, "stream": "s", "code": "c", "result": {}}
    return make_receipt(**{**given, **parts})


def test_receipt_is_plain() -> None:
    values = {
        "nan": math.nan,
        "infinite": [np.inf, -np.inf],
        "array": np.array([[1.0, np.nan]]),
        "integer": np.int64(2**62),
        "single": np.float32(0.5),
        "flag": np.True_,
        "none": None,
        "seed": 2**128 - 1,
        "nested": {1: (np.float64("inf"), "text")},
    }
    receipt = make_test_receipt(options=values, result={"x": np.nan}, engine="serial")
    assert read_strictly(json.dumps(receipt)) == receipt
    assert receipt["options"] == {
        "nan": "nan",
        "infinite": ["inf", "-inf"],
        "array": [[1.0, "nan"]],
        "integer": 2**62,
        "single": 0.5,
        "flag": True,
        "none": None,
        "seed": 2**128 - 1,
        "nested": {"1": ["inf", "text"]},
    }
    assert receipt["result"] == {"x": "nan"}
    assert receipt["run"] == {"engine": "serial"}
    assert (receipt["workload"], receipt["stream"], receipt["code"]) == ("test", "s", "c")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", receipt["written"])


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.arange(6).reshape(2, 3), [[0, 1, 2], [3, 4, 5]]),
        (np.array(1.5), 1.5),
        ((1, [np.int8(2)]), [1, [2]]),
        ({1: {"a": np.float32(np.nan)}}, {"1": {"a": "nan"}}),
        (-math.inf, "-inf"),
        (10**4_000, 10**4_000),
        ("text", "text"),
    ],
    ids=["array", "number in an array", "tuple", "dict", "infinite", "large", "text"],
)
def test_as_plain(value: Any, plain: Any) -> None:
    found = as_plain(value)
    assert found == plain
    assert read_strictly(json.dumps(found)) == found


def test_receipts_do_not_share_objects() -> None:
    first = make_test_receipt()
    first["versions"]["numpy"] = "changed"
    assert make_test_receipt()["versions"]["numpy"] == np.__version__


def test_a_written_receipt_can_be_read_back(tmp_path: Path) -> None:
    path = tmp_path / "receipt.json"
    path.write_text("an older one")
    write_receipt({"π": 3.14, "seed": 2**128}, path)
    assert read_strictly(path.read_text("utf-8")) == {"π": 3.14, "seed": 2**128}
    assert "π" in path.read_text("utf-8")
    assert list(tmp_path.iterdir()) == [path], "no scratch file stays"


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", 1j])
def test_values_that_are_not_plain_leave_the_old_file(value: Any, tmp_path: Path) -> None:
    path = tmp_path / "receipt.json"
    path.write_text("{}")
    with pytest.raises(TypeError, match="JSON"):
        write_receipt({"value": value}, path)
    assert path.read_text() == "{}"
    assert list(tmp_path.iterdir()) == [path]


def test_no_file_holds_invalid_json(tmp_path: Path) -> None:
    path = tmp_path / "receipt.json"
    with pytest.raises(ValueError, match="JSON"):
        write_receipt({"value": math.nan}, path)
    assert not path.exists()


def test_folder_must_exist(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_receipt({}, tmp_path / "missing" / "receipt.json")


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    """As /dev/null or /dev/stdout may be asked for, which root could replace by a file."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_receipt({"n": 1}, path)
        assert stat.S_ISFIFO(path.stat().st_mode)
        assert read_strictly(os.read(reader, 1 << 16).decode()) == {"n": 1}
    finally:
        os.close(reader)


def test_a_link_is_followed(tmp_path: Path) -> None:
    path, link = tmp_path / "receipt.json", tmp_path / "latest.json"
    path.write_text("an older one")
    link.symlink_to(path.name)
    write_receipt({"n": 1}, link)
    assert link.is_symlink()
    assert read_strictly(path.read_text()) == {"n": 1}


def gauss(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.exp(-np.square(x).sum(axis=1)))


def linear(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(x.sum(axis=1))


def test_receipt_of_an_integral_names_integrand_and_box() -> None:
    def integrate(f: Any, upper: float) -> dict[str, Any]:
        found = scoopsci.integrate(f, 0.0, upper, 100, dim=2, seed=1, engine="serial")
        return found.receipt

    first, second, wider = integrate(gauss, 1.0), integrate(linear, 1.0), integrate(gauss, 2.0)
    assert first["code"] == wider["code"] != second["code"]
    assert first["workload"] == "integrate"
    assert first["options"] != wider["options"]
    assert (wider["options"]["lower"], wider["options"]["upper"]) == ([0.0, 0.0], [2.0, 2.0])
