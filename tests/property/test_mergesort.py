"""Items that compare are sorted as by NumPy and Python, on any number of workers."""

import operator
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from scoopsci import Engine, open_engine
from scoopsci.mergesort import merge_sort
from scoopsci.sorting.sortedruns import cut_arrays, cut_lists, order_pieces, sort_pieces

Array = NDArray[Any]

N_WORKERS = (1, 2, 3, 8)

SORTABLE = {
    "int": st.integers(),
    "int of 64 bits": st.integers(-(2**63), 2**63 - 1),
    "few ints": st.integers(0, 3),
    "float": st.floats(allow_nan=False),
    "zeros": st.sampled_from([0.0, -0.0, 1.0]),
    "int and float": st.one_of(st.integers(-9, 9), st.floats(allow_nan=False)),
    "bool": st.booleans(),
    "str": st.text(max_size=4),
    "bytes": st.binary(max_size=4),
    "tuple": st.tuples(st.integers(0, 2), st.text("ab", max_size=2)),
    "date": st.dates(),
    "Fraction": st.fractions(max_denominator=9),
}

DTYPES = st.one_of(
    npst.boolean_dtypes(),
    npst.integer_dtypes(endianness="?"),
    npst.unsigned_integer_dtypes(endianness="?"),
    npst.floating_dtypes(endianness="?"),
    npst.complex_number_dtypes(endianness="?"),
    npst.datetime64_dtypes(endianness="?"),
    npst.timedelta64_dtypes(endianness="?"),
    npst.byte_string_dtypes(max_len=4),
    npst.unicode_string_dtypes(max_len=4),
    npst.array_dtypes(max_size=3, allow_subarrays=True),
)


@pytest.fixture(scope="module")
def engines() -> Iterator[dict[int, Engine]]:
    """Open engines that share threads, all of them started."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(time.sleep, [0.05] * 4))
        yield {number: open_engine(pool, n_workers=number) for number in N_WORKERS}


@st.composite
def arrays(draw: st.DrawFn) -> Array:
    """Draw arrays with many or few equal items."""
    dtype = draw(DTYPES)
    if draw(st.booleans()):
        return np.asarray(draw(npst.arrays(dtype, st.integers(0, 40))))
    few: Array = draw(npst.arrays(dtype, st.integers(1, 6)))
    places = npst.arrays(np.intp, st.integers(0, 400), elements=st.integers(0, len(few) - 1))
    return np.asarray(few[draw(places)])


def check_bits(found: Array, expected: Array) -> None:
    assert found.dtype == expected.dtype
    assert found.tobytes() == expected.tobytes()


@given(st.data(), st.sampled_from(N_WORKERS), st.booleans())
@pytest.mark.parametrize("kind", SORTABLE)
def test_lists(
    engines: dict[int, Engine], kind: str, data: st.DataObject, n_workers: int, reverse: bool
) -> None:
    values = data.draw(st.lists(SORTABLE[kind], max_size=100)) * data.draw(st.integers(1, 4))
    found = merge_sort(values, reverse=reverse, engine=engines[n_workers])
    assert list(map(repr, found)) == list(map(repr, sorted(values, reverse=reverse)))
    numbered = list(zip(values, range(len(values)), strict=True))
    found = merge_sort(
        numbered, key=operator.itemgetter(0), reverse=reverse, engine=engines[n_workers]
    )
    expected = sorted(numbered, key=operator.itemgetter(0), reverse=reverse)
    assert all(map(operator.is_, found, expected))
    assert len(found) == len(expected)


@given(arrays(), st.sampled_from(N_WORKERS))
def test_arrays(engines: dict[int, Engine], values: Array, n_workers: int) -> None:
    check_bits(merge_sort(values, engine=engines[n_workers]), np.sort(values, kind="stable"))


@given(arrays(), st.sampled_from(N_WORKERS))
def test_arrays_in_descending_order(
    engines: dict[int, Engine], values: Array, n_workers: int
) -> None:
    order = len(values) - 1 - np.argsort(values[::-1], kind="stable")[::-1]
    if values.dtype.kind in "fcmM":
        is_nan = np.isnan(values[order])
        order = np.concatenate([order[~is_nan], order[is_nan]])
    check_bits(merge_sort(values, reverse=True, engine=engines[n_workers]), values[order])


@given(arrays(), st.integers(1, 9), st.integers(1, 9))
def test_partitions_are_equal_and_in_order(values: Array, n_runs: int, n_partitions: int) -> None:
    assume(len(values))
    slices = [
        values[k * len(values) // n_runs : (k + 1) * len(values) // n_runs] for k in range(n_runs)
    ]
    runs = [sort_pieces([part]) for part in slices]
    edges = cut_arrays(runs, n_partitions)
    check_partitions(runs, edges, n_partitions)
    pairs = list(pairwise(edges))
    merged = [
        sort_pieces([run[a:b] for run, a, b in zip(runs, *rows, strict=True)]) for rows in pairs
    ]
    check_bits(np.concatenate(merged).astype(values.dtype), np.sort(values, kind="stable"))


@given(st.lists(st.floats() | st.integers(-2, 2), min_size=1), st.integers(1, 9), st.integers(1, 9))
def test_partitions_without_a_consistent_order_lose_nothing(
    values: list[float], n_runs: int, n_partitions: int
) -> None:
    slices = [values[k::n_runs] for k in range(n_runs)]
    runs = [[part[place] for place in order_pieces([part]).tolist()] for part in slices]
    edges = cut_lists(runs, n_partitions)
    assert edges[0] == [0] * n_runs
    assert edges[-1] == list(map(len, runs))
    for lower, upper in pairwise(edges):
        assert all(map(operator.le, lower, upper))


def check_partitions(runs: list[Array], edges: list[list[int]], n_partitions: int) -> None:
    assert len(edges) == n_partitions + 1
    assert edges[0] == [0] * len(runs)
    assert edges[-1] == list(map(len, runs))
    n_items, n_runs = sum(map(len, runs)), len(runs)
    step = max(1, n_items // (8 * n_partitions * n_runs))
    largest = max(np.diff([sum(row) for row in edges]))
    assert largest <= n_items / n_partitions + (n_runs + n_runs / n_partitions) * step
