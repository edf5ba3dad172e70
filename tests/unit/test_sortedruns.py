"""Runs, cuts and merges by example; what holds for all values is in tests/property."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from scoopsci.sorting.sortedruns import cut_arrays, cut_lists, flip_order, order_pieces, sort_pieces

Array = NDArray[Any]


def slice_evenly(values: Any, n_slices: int) -> list[Any]:
    ends = [len(values) * k // n_slices for k in range(n_slices + 1)]
    return [values[start:stop] for start, stop in pairwise(ends)]


def merge(runs: list[Array], edges: list[list[int]]) -> list[Array]:
    return [
        sort_pieces([run[a:b] for run, a, b in zip(runs, *rows, strict=True)])
        for rows in pairwise(edges)
    ]


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "g"])
def test_zeros_and_nans_stay_in_the_order_of_the_source(dtype: str) -> None:
    values = np.array([1, 0.0, np.nan, -0.0, -1, 0.0, -np.nan, -0.0], dtype)
    found = sort_pieces([values])
    assert str(found[:6].tolist()) == str(np.array([-1, 0.0, -0.0, 0.0, -0.0, 1], dtype).tolist())
    assert np.signbit(found[6:]).tolist() == [False, True]
    backwards = flip_order(sort_pieces([values[::-1]]))
    assert str(backwards[:3].tolist()) == str(np.array([1, 0.0, -0.0], dtype).tolist())
    assert np.signbit(backwards[6:]).tolist() == [False, True]


def test_bits_of_nan_are_kept() -> None:
    bits = np.array([0x7FF0_0000_0000_0001, 0xFFF8_0000_0000_0005, 0x7FFF_FFFF_FFFF_FFFF], "u8")
    values = np.concatenate([np.arange(500.0), bits.view("f8"), -np.arange(500.0)])
    assert sort_pieces([values])[-3:].view("u8").tolist() == bits.tolist()


def test_source_is_not_modified() -> None:
    values = np.array([2.0, np.nan, 1.0])
    values.flags.writeable = False
    assert sort_pieces([values])[:2].tolist() == [1.0, 2.0]
    assert sort_pieces([values[:1], values[2:]]).tolist() == [1.0, 2.0]
    assert values[0] == 2.0


def test_records_keep_their_layout() -> None:
    dtype = np.dtype({"names": ["b", "a"], "formats": ["i1", "f8"], "offsets": [9, 1]})
    values = np.zeros(4, dtype)
    values["b"] = [3, 2, 2, 1]
    found = sort_pieces([np.sort(values[:2]), np.sort(values[2:])])
    assert found.dtype == dtype
    assert found["b"].tolist() == [1, 2, 2, 3]


def test_order_of_pieces_is_stable() -> None:
    assert order_pieces([]).tolist() == []
    assert order_pieces([[], []]).tolist() == []
    assert order_pieces([[1, 2], [1, 1, 2], [0]]).tolist() == [5, 0, 2, 3, 1, 4]


@pytest.mark.parametrize("n_partitions", [1, 2, 3, 10, 64])
@pytest.mark.parametrize("n_runs", [1, 2, 7, 64])
def test_no_partition_is_large(n_runs: int, n_partitions: int) -> None:
    n_items = 100_000
    rng = np.random.default_rng(1)
    for values in (rng.zipf(1.1, n_items), np.zeros(n_items), np.arange(n_items) % n_runs):
        runs = [sort_pieces([part]) for part in slice_evenly(values, n_runs)]
        edges = cut_arrays(runs, n_partitions)
        merged = merge(runs, edges)
        assert np.concatenate(merged).tobytes() == np.sort(values, kind="stable").tobytes()
        step = n_items // (8 * n_partitions * n_runs)
        bound = n_items / n_partitions + (n_runs + n_runs / n_partitions) * step
        assert bound <= 1.19 * n_items / n_partitions or min(n_runs, n_partitions) == 1
        assert max(map(len, merged)) <= bound
        lists = [run.tolist() for run in runs]
        assert cut_lists(lists, n_partitions) == edges


@pytest.mark.parametrize("n_runs", [2, 5])
@pytest.mark.parametrize(
    "values",
    [
        # NumPy's own search compares the first two otherwise than its sort.
        np.array([str(n % 97) * 20 for n in range(1_000)], getattr(np.dtypes, "StringDType", str)),
        np.array([((n % 300, n),) for n in range(1_000)], [("x", ">i4", (2,))]),
        np.array([n % 7 * 1j + (n % 3) for n in range(1_000)]),
    ],
    ids=["long strings", "records", "complex"],
)
def test_cuts_agree_with_sorts(values: Array, n_runs: int) -> None:
    runs = [sort_pieces([part]) for part in slice_evenly(values, n_runs)]
    merged = merge(runs, cut_arrays(runs, 4))
    found = [item for part in merged for item in part]
    assert list(map(str, found)) == list(map(str, np.sort(values, kind="stable")))


@pytest.mark.parametrize("dtype", ["i4", "f8", "c16", "M8[s]", "U3"])
def test_flip_of_an_empty_array(dtype: str) -> None:
    assert flip_order(np.zeros(0, dtype)).shape == (0,)
