"""Sorting: the bits of NumPy's and Python's own stable sorts, on any engine and any values."""

import contextlib
import ctypes
import datetime
import gc
import operator
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from scoopsci import Engine, EngineTimeoutError, TaskError, open_engine
from scoopsci.harness.sorts import measure_sort
from scoopsci.mergesort import SortResult, merge_sort, sort_and_describe
from tests.conftest import end_session, require, wait_for_end

cloudpickle.register_pickle_by_value(sys.modules[__name__])

Array = NDArray[Any]

N = 3_000


@pytest.fixture(scope="module", params=["serial 1", "processes 2", "processes 3", "threads 7"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    name, n_workers = request.param.split()
    with contextlib.ExitStack() as stack:
        carrier: ThreadPoolExecutor | str = name
        if name == "threads":
            carrier = stack.enter_context(ThreadPoolExecutor(7))
            list(carrier.map(time.sleep, [0.05] * 7))  # so that no thread starts in a test
        yield stack.enter_context(open_engine(carrier, n_workers=int(n_workers)))


def make_rng() -> np.random.Generator:
    return np.random.default_rng(20_240_229)


class WithUnit(np.ndarray):
    """An array with something more, which sorting its numbers would lose."""

    unit = "m"


def with_nans(values: Array) -> Array:
    """Put NaN of both signs and several payloads at random places."""
    bits = values.view(f"u{values.dtype.itemsize}")
    rng = make_rng()
    quiet = np.array(np.nan, values.dtype).view(bits.dtype)
    places = rng.random(len(values)) < 0.3
    bits[places] = quiet + rng.integers(0, 5, places.sum()).astype(bits.dtype)
    values[places] *= rng.choice([-1, 1], places.sum()).astype(values.dtype)
    return values


def distributions() -> dict[str, Array]:
    rng = make_rng()
    normal = rng.normal(size=N)
    spread = np.arange(N, dtype=np.float64)
    rare = np.zeros(N, dtype=np.int64)
    rare[::997] = rng.integers(-5, 5, len(rare[::997]))
    return {
        "normal": normal,
        "all equal": np.full(N, 7),
        "two values": rng.integers(0, 2, N),
        "sorted": spread,
        "reversed": spread[::-1],
        "saw": spread % 10,
        "organ pipe": np.minimum(spread, spread[::-1]),
        "Cauchy": rng.standard_cauchy(N),
        "Zipf": rng.zipf(1.3, N),
        "nearly all equal": rare,
        "sorted blocks": np.sort(normal.reshape(10, -1), axis=0).ravel(),
        "NaN": with_nans(normal.copy()),
        "all NaN": np.full(N, np.nan),
        "infinities": rng.choice([np.inf, -np.inf, np.nan, 1.0], N),
        "signed zeros": rng.choice([0.0, -0.0, 1e-300, -1e-300], N),
    }


def dtypes() -> dict[str, Array]:
    rng = make_rng()
    ints = rng.integers(-(2**63), 2**63 - 1, N)
    few = rng.integers(-9, 9, N)
    normal = rng.normal(size=N)
    zeros = rng.choice([0.0, -0.0, 1.0, -1.0, np.nan], N)
    dates = ints.astype("M8[s]")
    dates[few == 0] = "NaT"
    records = np.zeros(N, "i2,f8")
    records["f0"], records["f1"] = few, zeros
    padded = np.zeros(N, {"names": ["a", "b"], "formats": ["i1", ">f4"], "offsets": [1, 7]})
    padded["a"], padded["b"] = few, normal
    nested = np.zeros(N, [("s", "U2"), ("in", [("x", ">i4"), ("y", "f4", (2,))])])
    nested["s"], nested["in"]["x"] = few.astype("U2"), few
    nested["in"]["y"] = rng.integers(0, 2, (N, 2))
    return {
        "bool": few > 0,
        **{f"{kind}{size}": ints.astype(f"{kind}{size}") for kind in "iu" for size in (1, 2, 4, 8)},
        **{f"f{size}": with_nans(zeros.astype(f"f{size}")) for size in (2, 4, 8)},
        "longdouble": zeros.astype("g"),
        "c8": (zeros + 1j * zeros[::-1]).astype("c8"),
        "c16": zeros + 1j * with_nans(normal.copy()),
        "clongdouble": (zeros + 1j * zeros[::-1]).astype("G"),
        "datetime64": dates,
        "timedelta64": dates.view("m8[s]"),
        "S": few.astype("S3"),
        "S with NUL": np.array([b"a", b"a\0b", b"", b"\0\0c"])[few % 4],
        "U": few.astype("U4"),
        "V": ints.view("V8"),
        "records": records,
        "padded records": padded,
        "nested records": nested,
        **{f"swapped {code}": normal.astype(f">{code}") for code in ("i2", "f4", "f8", "c16")},
        "swapped dates": dates.astype(">M8[s]"),
        "swapped U": few.astype(">U4"),
        "strided": normal[::3],
        "backwards": zeros[::-1],
        "unaligned": np.frombuffer(b"." + zeros.tobytes(), "f8", offset=1),
        "bytes of bool": few.astype("i1").view("?"),
    }


DISTRIBUTIONS, DTYPES = distributions(), dtypes()


def to_bits(values: Array) -> bytes:
    if values.dtype.names:  # between the fields anything may be
        return b"".join(to_bits(np.ascontiguousarray(values[n])) for n in values.dtype.names)
    if values.dtype.char in "gG":  # ten of the sixteen bytes count
        return np.ascontiguousarray(values).view("u1").reshape(-1, 16)[:, :10].tobytes()
    return values.tobytes()


def check_bits(found: Array, expected: Array) -> None:
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    assert to_bits(found) == to_bits(expected)


def sort_descending(values: Array) -> Array:
    """Return the stable descending order with NaN last, by indices."""
    order = len(values) - 1 - np.argsort(values[::-1], kind="stable")[::-1]
    if values.dtype.kind in "fcmM":
        is_nan = np.isnan(values[order])
        order = np.concatenate([order[~is_nan], order[is_nan]])
    return values[order]


class TestArrays:
    @pytest.mark.parametrize("name", DISTRIBUTIONS)
    def test_distributions(self, engine: Engine, name: str) -> None:
        values = DISTRIBUTIONS[name]
        check_bits(merge_sort(values, engine=engine), np.sort(values, kind="stable"))
        check_bits(merge_sort(values, engine=engine, reverse=True), sort_descending(values))

    @pytest.mark.parametrize("name", DTYPES)
    def test_dtypes(self, engine: Engine, name: str) -> None:
        values = DTYPES[name]
        before = to_bits(values)
        found = sort_and_describe(values, engine=engine)
        assert found.in_shared_memory
        check_bits(found.values, np.sort(values, kind="stable"))
        check_bits(merge_sort(values, engine=engine, reverse=True), sort_descending(values))
        assert to_bits(values) == before

    @pytest.mark.parametrize("size", [0, 1, 2, 3, 7, 17])
    @pytest.mark.parametrize("dtype", ["i8", "f2", "U1", "M8[D]", "i4,f4", "S0", ">f8"])
    def test_few_items(self, engine: Engine, dtype: str, size: int) -> None:
        values = np.zeros(size, dtype)
        if dtype in ("i8", "f2", ">f8"):
            values[:] = -np.arange(size)
        check_bits(merge_sort(values, engine=engine), np.sort(values, kind="stable"))
        check_bits(merge_sort(values, engine=engine, reverse=True), sort_descending(values))

    def test_result_is_a_new_array(self, engine: Engine) -> None:
        for values in (np.arange(100.0), np.arange(1.0), np.arange(0.0)):
            for reverse in (False, True):
                found = merge_sort(values, engine=engine, reverse=reverse)
                assert type(found) is np.ndarray
                assert found.flags.writeable
                assert found.flags.c_contiguous
                assert not np.shares_memory(found, values)
                found += 1

    def test_read_only_and_mapped_sources(self, engine: Engine, tmp_path: Path) -> None:
        values = np.memmap(tmp_path / "values", "i4", "w+", shape=(N,))
        values[:] = make_rng().integers(0, 100, N)
        values.flags.writeable = False
        check_bits(merge_sort(values, engine=engine), np.sort(np.asarray(values), kind="stable"))
        del values

    @pytest.mark.skipif(not hasattr(np.dtypes, "StringDType"), reason="NumPy 2")
    @pytest.mark.parametrize("with_missing", [False, True])
    def test_strings_of_variable_width(self, engine: Engine, with_missing: bool) -> None:
        string = np.dtypes.StringDType
        dtype: np.dtype[Any] = string(na_object=np.nan) if with_missing else string()
        words = [str(number) * (number % 40) for number in make_rng().integers(0, 999, N)]
        values = np.array(words, dtype=dtype)
        if with_missing:
            values[::7] = np.nan
        found = sort_and_describe(values, engine=engine)
        assert not found.in_shared_memory
        assert found.values.dtype == dtype
        assert str(found.values.tolist()) == str(np.sort(values, kind="stable").tolist())
        backwards = merge_sort(values, engine=engine, reverse=True).tolist()
        strings = [word for word in values.tolist() if isinstance(word, str)]
        assert backwards[: len(strings)] == sorted(strings, reverse=True)
        assert len(backwards) == N

    def test_objects(self, engine: Engine) -> None:
        values = np.empty(N, object)
        values[:] = [Fraction(int(n), 7) for n in make_rng().integers(-99, 99, N)]
        found = merge_sort(values, engine=engine)
        assert found.dtype == object
        assert all(map(operator.is_, found, sorted(values)))
        found = merge_sort(values, engine=engine, reverse=True)
        assert all(map(operator.is_, found, sorted(values, reverse=True)))

    def test_objects_that_are_sequences(self, engine: Engine) -> None:
        values = np.empty(N, object)
        values[:] = [[int(n), 1] for n in make_rng().integers(-99, 99, N)]
        found = merge_sort(values, engine=engine)
        assert found.shape == (N,)
        assert list(found) == sorted(values)

    def test_records_with_objects(self, engine: Engine) -> None:
        pairs = [(Decimal(int(n)), i) for i, n in enumerate(make_rng().integers(-99, 99, N))]
        values = np.array(pairs, [("number", object), ("place", "i8")])
        found = merge_sort(values, engine=engine)
        assert found.dtype == values.dtype
        assert found.tolist() == sorted(pairs)

    @pytest.mark.parametrize("reverse", [False, True])
    @pytest.mark.parametrize("name", ["f8", "c16", "records", "swapped f4", "U", "padded records"])
    def test_key(self, engine: Engine, name: str, reverse: bool) -> None:
        values = np.asarray(DTYPES[name])
        found = merge_sort(values, engine=engine, key=lambda item: str(item)[:2], reverse=reverse)
        order = sorted(range(len(values)), key=lambda i: str(values[i])[:2], reverse=reverse)
        check_bits(found, values[order])


class OnlyLess:
    """A class of the user's own, with one comparison; it refuses the others."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, number: int) -> None:
        self.number = number

    def __lt__(self, other: "OnlyLess") -> bool:
        return self.number < other.number

    def _refuse(self, other: object) -> bool:
        raise AssertionError("only < may be used")

    __eq__ = __ne__ = __gt__ = __le__ = __ge__ = _refuse


def lists() -> dict[str, list[Any]]:
    rng = make_rng()
    few = rng.integers(-20, 20, N).tolist()
    day = datetime.date(2024, 2, 29)
    return {
        "int": few,
        "int of 64 bits": rng.integers(-(2**63), 2**63 - 1, N).tolist(),
        "int without end": [n * 10**20 for n in few],
        "float": rng.normal(size=N).tolist(),
        "signed zeros": [n * 0.0 for n in few],
        "bool": [n > 0 for n in few],
        "mixed numbers": [(int, float, bool, Fraction, np.int8)[n % 5](n) for n in few],
        "numpy.float64": list(rng.normal(size=N)),
        "str": [f"{n}ä" for n in few],
        "bytes": [str(n).encode() for n in few],
        "tuple": [(n % 3, str(n)) for n in few],
        "list": [[n] for n in few],
        "date": [day + datetime.timedelta(days=n) for n in few],
        "Decimal": [Decimal(n) / 8 for n in few],
        "only <": [OnlyLess(n) for n in few],
    }


LISTS = lists()


class TestLists:
    @pytest.mark.parametrize("reverse", [False, True])
    @pytest.mark.parametrize("name", LISTS)
    def test_result_equals_that_of_sorted(self, engine: Engine, name: str, reverse: bool) -> None:
        values = LISTS[name]
        found = merge_sort(values, engine=engine, reverse=reverse)
        expected = sorted(values, reverse=reverse)
        assert type(found) is list
        if name in ("int", "int of 64 bits", "float", "signed zeros"):
            assert list(map(repr, found)) == list(map(repr, expected))
        else:
            assert all(map(operator.is_, found, expected))

    @pytest.mark.parametrize("reverse", [False, True])
    @pytest.mark.parametrize("key", [len, lambda pair: pair[0] % 7, lambda pair: -pair[1], str])
    def test_key(self, engine: Engine, key: Callable[[Any], Any], reverse: bool) -> None:
        values = list(enumerate(make_rng().integers(0, 50, N).tolist()))
        found = merge_sort(values, key=key, reverse=reverse, engine=engine)
        assert all(map(operator.is_, found, sorted(values, key=key, reverse=reverse)))

    @pytest.mark.parametrize("n_items", [0, 1, 2, 500])
    def test_key_is_called_once_for_each_item(
        self, engine: Engine, n_items: int, tmp_path: Path
    ) -> None:
        path = tmp_path / "calls"
        path.touch()

        def note(item: int) -> int:
            with path.open("a") as file:
                file.write(f"{item}\n")
            return -item

        found = merge_sort(range(n_items), key=note, engine=engine)
        assert found == list(range(n_items))[::-1]
        assert sorted(map(int, path.read_text().split())) == list(range(n_items))

    def test_nan_comes_last(self, engine: Engine) -> None:
        values = [1.0, float("nan"), -1.0, float("inf")] * 50
        assert str(merge_sort(values, engine=engine)[149:]) == str([float("inf")] + 50 * [np.nan])
        found = merge_sort(values, engine=engine, reverse=True)
        assert found[:150] == [float("inf")] * 50 + [1.0] * 50 + [-1.0] * 50

    @pytest.mark.parametrize(
        "kinds", [[np.float64], [np.float32, int], [np.float16, np.int8, float]]
    )
    def test_nan_comes_last_among_scalars_of_numpy_s(
        self, engine: Engine, kinds: list[Any]
    ) -> None:
        values = [kinds[i % len(kinds)](i % 7) for i in range(60)]
        values[5::6] = [kinds[0]("nan") for _ in values[5::6]]
        found = merge_sort(values, engine=engine)
        assert np.array_equal(found, np.sort(np.array(values, float)), equal_nan=True)
        assert sorted(map(id, found)) == sorted(map(id, values))
        found = merge_sort(values, engine=engine, reverse=True)
        assert np.isnan(found[-10:]).all()
        assert found[:-10] == sorted(found[:-10], reverse=True)

    def test_nat_comes_last_among_scalars(self, engine: Engine) -> None:
        dates = [np.datetime64("2021"), np.datetime64("NaT"), np.datetime64("2020-05")] * 9
        assert merge_sort(dates, engine=engine)[:18] == sorted(dates[::3] + dates[2::3])

    def test_records_stay_records(self, engine: Engine) -> None:
        records = np.zeros(3, [("a", int), ("b", float)]).view(np.recarray)
        records["a"] = [2, 1, 3]
        found = merge_sort(records, engine=engine)
        assert type(found) is np.recarray
        assert found.a.tolist() == [1, 2, 3]

    @pytest.mark.parametrize("item", [float("nan"), {1}, {2}])
    def test_nothing_is_lost_without_a_consistent_order(self, engine: Engine, item: Any) -> None:
        others = [1.0, 5, 3.0, 2] if isinstance(item, float) else [{1, 2}, {3}, set(), {2, 1, 4}]
        values = [item, *others] * 100
        make_rng().shuffle(values)
        found = merge_sort(values, engine=engine)
        assert sorted(map(id, found)) == sorted(map(id, values))

    def test_any_iterable(self, engine: Engine) -> None:
        assert merge_sort("hello world", engine=engine) == sorted("hello world")
        assert merge_sort({3: "a", 1: "b"}, engine=engine) == [1, 3]
        assert merge_sort((n % 7 for n in range(100)), engine=engine)[:3] == [0, 0, 0]
        assert merge_sort(iter([]), engine=engine) == []

    def test_source_is_not_modified(self, engine: Engine) -> None:
        for values in ([3, 1, 2], [3.0, 1.0], ["b", "a"], ["b"], [1]):
            before = list(values)
            found = merge_sort(values, engine=engine)
            assert found is not values
            assert values == before


class TestBalance:
    @pytest.mark.parametrize("n_workers", [2, 3, 5, 16])
    @pytest.mark.parametrize("name", DISTRIBUTIONS)
    def test_no_partition_exceeds_the_mean_by_a_fifth(self, name: str, n_workers: int) -> None:
        values = DISTRIBUTIONS[name]
        with ThreadPoolExecutor(4) as pool:
            where: dict[str, Any] = {"engine": pool, "n_workers": n_workers}
            found = sort_and_describe(values, **where)
            assert 1.0 <= found.largest_share <= 1.2
            check_bits(found.values, np.sort(values, kind="stable"))
            words = list(map(str, values.tolist()))
            listed = sort_and_describe(words, **where)
            assert 1.0 <= listed.largest_share <= 1.2
            assert listed.values == sorted(words)

    def test_one_partition(self) -> None:
        assert sort_and_describe(range(1000), engine="serial").largest_share == 1.0

    def test_unknown_number_of_workers(self) -> None:
        with ThreadPoolExecutor(2) as pool, Engine("bare", contextlib.nullcontext((pool, 0))) as e:
            found = sort_and_describe(range(1000), engine=e)
        assert found.values == list(range(1000))
        assert found.n_workers >= 1


class TestDescription:
    def test_of_a_sort(self, engine: Engine) -> None:
        found = sort_and_describe(DISTRIBUTIONS["normal"], engine=engine)
        assert (found.engine, found.n_workers) == (engine.name, engine.n_workers)
        assert set(found.times) == {
            *("start_up_s", "serialising_s", "waiting_s", "computing_s", "returning_s")
        }
        assert all(time_s >= 0 for time_s in found.times.values())
        assert 0 < found.elapsed_s < 100
        assert found.in_shared_memory
        assert 0 < found.sent_bytes < DISTRIBUTIONS["normal"].nbytes
        assert found.returned_bytes > 0

    def test_sent_bytes_are_counted(self, engine: Engine) -> None:
        found = sort_and_describe(["x" * 100] * N, engine=engine)
        assert not found.in_shared_memory
        assert found.sent_bytes > N

    @pytest.mark.parametrize("values", [[], [1], ["a"], np.zeros(1), np.zeros(0)])
    def test_no_engine_is_started_for_one_item(self, values: Any) -> None:
        found = sort_and_describe(values, engine="processes", n_workers=2)
        assert (found.engine, found.n_workers, found.largest_share) == ("serial", 1, 1.0)
        assert list(found.values) == list(values)


class TestErrors:
    def test_items_that_cannot_be_compared(self, engine: Engine) -> None:
        for values in ([1, "a"] * 50, [1] * 500 + ["a"] * 500, [1j, 2j, 3j], [None] * 9):
            with pytest.raises(TypeError, match="not supported between instances of"):
                merge_sort(values, engine=engine)

    def test_key_that_fails(self, engine: Engine) -> None:
        for values in (range(-50, 50), [0], np.arange(-3, 3)):
            with pytest.raises(ZeroDivisionError) as caught:
                merge_sort(values, key=lambda n: 1 // int(n), engine=engine)
            assert isinstance(caught.value.__cause__, TaskError)

    def test_items_that_cannot_be_pickled(self, engine: Engine) -> None:
        with pytest.raises(TaskError, match="pickl"):
            merge_sort([threading.Lock()] * 10, key=id, engine=engine)

    @pytest.mark.parametrize(
        ("values", "options", "error", "message"),
        [
            (5, {}, TypeError, "values must be an array or an iterable, got 5"),
            (None, {}, TypeError, "values must be an array or an iterable, got None"),
            (np.zeros((2, 2)), {}, ValueError, r"shape \(n,\), got shape \(2, 2\)"),
            (np.array(3.0), {}, ValueError, r"shape \(n,\), got shape \(\)"),
            (np.ma.array([1, 2], mask=[False, True]), {}, TypeError, "must not be masked"),
            (np.ones(3).view(WithUnit), {}, TypeError, "a plain array, got WithUnit, whose addit"),
            ([1, 2], {"key": 3}, TypeError, "key must be callable or None, got 3"),
            ([1, 2], {"reverse": 1}, TypeError, "reverse must be True or False, got 1"),
            (
                [1, 2],
                {"ledger": "file.db"},
                ValueError,
                "ledger= is not supported by sorts and comparisons; .*file.db",
            ),
            ([], {"ledger": "file.db"}, ValueError, "ledger= is not supported by sorts"),
            ([1, 2], {"engin": "serial"}, TypeError, "an option of a run must be one of"),
            ([], {"timeout": -1}, ValueError, "timeout must be a positive number"),
            ([1, 2], {"n_workers": 0}, ValueError, "n_workers must be at least 1"),
            ([1, 2], {"engine": "serial", "n_workers": 2}, ValueError, "exactly 1 worker"),
        ],
    )
    def test_wrong_arguments(
        self, values: Any, options: dict[str, Any], error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            merge_sort(values, **options)

    def test_dtype_that_numpy_does_not_sort(self, engine: Engine) -> None:
        multiarray = pytest.importorskip("numpy._core._multiarray_umath")
        scaled = multiarray._get_sfloat_dtype()(1.0)
        with pytest.raises(TypeError, match="values must be of a dtype that NumPy can sort"):
            merge_sort(np.ones(9).view(scaled), engine=engine)

    def test_timeout_ends_the_sort(self) -> None:
        def doze(item: int) -> int:
            time.sleep(0.05)
            return item

        for timeout in (0.2, 1e-6):
            with pytest.raises(EngineTimeoutError, match=f"^timeout of {timeout:g} s passed"):
                merge_sort(range(1_000), key=doze, engine="processes", n_workers=2, timeout=timeout)

    def test_no_memory_is_left_after_an_error(self, engine: Engine) -> None:
        n_before = count_mapped()
        for timeout in (1e-6, 1e-3, 1e-2):
            with contextlib.suppress(EngineTimeoutError):
                merge_sort(np.arange(300_000.0)[::-1], engine=engine, timeout=timeout)
        deadline = time.monotonic() + 30
        while count_mapped() > n_before:  # threads may be in the middle of a task
            assert time.monotonic() < deadline
            time.sleep(0.01)


def count_mapped() -> int:
    gc.collect()
    return Path("/proc/self/maps").read_text().count("memfd:scoopsci")


class TestWhateverHappens:
    def test_options_of_the_run_do_not_change_the_result(self, engine: Engine) -> None:
        values = DISTRIBUTIONS["NaN"]
        expected = np.sort(values, kind="stable")
        for options in ({"window": 1}, {"chunk_target_s": 10.0}, {"retries": 2, "timeout": 60}):
            check_bits(merge_sort(values, engine=engine, **options), expected)

    def test_inside_a_task(self, engine: Engine) -> None:
        def sort() -> SortResult:
            return sort_and_describe(np.arange(1000)[::-1], engine="processes", n_workers=2)

        found = engine.submit(sort).result(60)
        assert (found.engine, found.n_workers) == ("serial", 1)
        assert np.array_equal(found.values, np.arange(1000))

    @pytest.mark.parametrize("n_strangers", [1, 2])
    @pytest.mark.parametrize("name", ["f8", "records", "swapped f8", "U"])
    def test_workers_that_cannot_reach_the_memory(self, name: str, n_strangers: int) -> None:
        require([] if os.geteuid() == 0 else ["root, whose memory a process may not reach"])
        values = np.tile(DTYPES[name], 10)
        with open_engine("processes", n_workers=2) as engine:
            deny_memory(engine, n_strangers)
            found = sort_and_describe(values, engine=engine)
            listed = sort_and_describe(values.tolist(), engine=engine) if name == "U" else None
        assert not found.in_shared_memory
        check_bits(found.values, np.sort(values, kind="stable"))
        assert found.sent_bytes >= values.nbytes / 2
        assert listed is None or listed.values == sorted(values.tolist())

    def test_killed_workers_do_not_change_the_result(self) -> None:
        values = make_rng().normal(size=2_000_000).astype("c16")
        expected = np.sort(values, kind="stable")
        killed: list[int] = []

        def kill() -> None:
            deadline = time.monotonic() + 60
            while not killed and time.monotonic() < deadline:
                for child in psutil.Process().children(recursive=True):
                    with contextlib.suppress(OSError, psutil.Error):
                        if "memfd:scoopsci" in Path(f"/proc/{child.pid}/maps").read_text():
                            child.kill()
                            killed.append(child.pid)
                            break

        with open_engine("processes", n_workers=2) as engine:
            killer = threading.Thread(target=kill)
            killer.start()
            while killer.is_alive():
                check_bits(merge_sort(values, engine=engine), expected)
            killer.join()
        assert len(killed) == 1

    def test_key_that_ends_its_worker_once(self, tmp_path: Path) -> None:
        mark = tmp_path / "mark"

        def key(item: int) -> int:
            if item == 77 and not mark.exists():
                mark.touch()
                os._exit(1)
            return -item

        found = merge_sort(range(200), key=key, engine="processes", n_workers=2)
        assert mark.exists()
        assert found == list(range(200))[::-1]

    def test_a_driver_killed_during_a_sort_leaves_no_memory(self, tmp_path: Path) -> None:
        program = (
            "import numpy as np\n"
            "from scoopsci.mergesort import merge_sort\n"
            "values = np.random.default_rng(0).normal(size=2_000_000).astype('c16')\n"
            "print('begin', flush=True)\n"
            "while True:\n"
            "    merge_sort(values, engine='processes', n_workers=2)\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "TMPDIR": str(tmp_path)},
        )
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "begin\n"
            wait_for_workers_that_sort(process.pid)
            process.kill()
            process.wait()
            wait_for_end(process.pid)
        finally:
            end_session(process)
        assert not [name for name in os.listdir("/dev/shm") if str(process.pid) in name]
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def become_stranger() -> int:
    """Give up all rights of root, among them that to look into processes that have them."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    assert ctypes.CDLL(None).capset(header, (ctypes.c_uint32 * 6)()) == 0
    time.sleep(0.3)
    return os.getpid()


def deny_memory(engine: Engine, n_strangers: int) -> None:
    strangers: set[int] = set()
    while len(strangers) < n_strangers:
        futures = [engine.submit(become_stranger) for _ in range(n_strangers)]
        strangers |= {future.result(60) for future in futures}


def wait_for_workers_that_sort(driver: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        for child in psutil.Process(driver).children(recursive=True):
            with contextlib.suppress(OSError):
                if "memfd:scoopsci" in Path(f"/proc/{child.pid}/maps").read_text():
                    return
        assert time.monotonic() < deadline


class TestMeasureSort:
    def test_on_an_engine(self, engine: Engine) -> None:
        found = measure_sort(2_000, seed=5, engine=engine)
        assert (found.n_items, found.seed) == (2_000, 5)
        assert (found.engine, found.n_workers) == (engine.name, engine.n_workers)
        assert found.sorted is True
        assert found.same_multiset is True
        assert found.in_shared_memory
        assert 0 <= found.moving_s <= found.elapsed_s
        assert found.serial_elapsed_s > 0
        assert found.one_core_elapsed_s > 0
        assert found.advice.startswith(("distribute: ", "do not distribute: "))
        lines = str(found).splitlines()
        assert 5 <= len(lines) <= 8
        assert lines[0] == "2,000 random integers, seed 5: in order, the same items"
        assert lines[-1] == found.advice
        assert set(asdict(found)) == {
            *("n_items", "seed", "elapsed_s", "serial_elapsed_s", "one_core_elapsed_s"),
            *("start_up_s", "sorted", "same_multiset", "engine", "n_workers", "largest_share"),
            *("sent_bytes", "returned_bytes", "moving_s", "in_shared_memory", "advice", "receipt"),
        }

    def test_measuring_starts_its_own_engine(self) -> None:
        found = measure_sort(1_000, engine="processes", n_workers=2, timeout=60)
        assert (found.engine, found.n_workers) == ("processes", 2)
        assert found.start_up_s > 0
        assert found.sorted
        assert found.seed >= 0

    def test_one_item(self) -> None:
        found = measure_sort(1, seed=0, engine="serial")
        assert found.sorted
        assert found.same_multiset
        assert found.advice.startswith("do not distribute: ")

    @pytest.mark.parametrize(
        ("n_items", "options", "message"),
        [
            (0, {}, "n_items must be at least 1, got 0"),
            (10, {"seed": -1}, "seed must"),
            (10, {"ledger": "file.db"}, "ledger= is not supported by sorts"),
        ],
    )
    def test_wrong_arguments(self, n_items: int, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            measure_sort(n_items, **options)


def test_import_is_light() -> None:
    program = "import json, sys, scoopsci.mergesort; print(*sys.modules)"
    command = [sys.executable, "-W", "error", "-c", program]
    modules = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert "scoopsci.mergesort" in modules
    assert not {"scipy", "numba", "loky", "scoop", "zmq", "multiprocessing"} & set(modules)
