"""Partials as bytes: the same value again, to the last bit, and pickles for other kinds only."""

from __future__ import annotations

import math
import struct
from collections import OrderedDict
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

from scoopsci.basics.codehash import hash_values
from scoopsci.errors import LedgerError
from scoopsci.estimation.comoments import CoMoments
from scoopsci.estimation.estimators import CircleCount, SampleMean, ScrambledMoments
from scoopsci.estimation.moments import Moments
from scoopsci.road.partials import decode, encode, find_misfit, is_pickled

atoms = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.complex_numbers(), st.text(),
    st.binary(), stn.from_dtype(np.dtype("f8")), stn.from_dtype(np.dtype("i4")),
    stn.from_dtype(np.dtype("?")), st.sampled_from([1 << 63, -(1 << 63), 10**300, -0.0]),
)  # fmt: skip
dtypes = st.sampled_from(
    ["<f8", ">f8", "<f4", "<f2", "<i8", ">i4", "|u1", "|b1", "<c16", "<c8"]
).map(np.dtype)
arrays = dtypes.flatmap(
    lambda dtype: stn.arrays(dtype, stn.array_shapes(min_dims=0, min_side=0, max_side=4))
)
keys = st.one_of(st.text(), st.integers(), st.tuples(st.integers(), st.booleans()))
values = st.recursive(
    st.one_of(atoms, arrays),
    lambda inner: st.one_of(
        st.lists(inner),
        st.lists(inner).map(tuple),
        st.dictionaries(keys, inner),
        st.lists(st.floats()),
        st.lists(stn.from_dtype(np.dtype("f4"))),
    ),
)


def bits(value: Any) -> Any:
    """Describe a value by types and bits: NaN are told apart, and the orders of dicts."""
    if type(value) in (list, tuple):
        return type(value), [bits(item) for item in value]
    if type(value) is dict:
        return [(bits(key), bits(item)) for key, item in value.items()]
    if isinstance(value, np.ndarray | np.generic):
        flags = value.flags
        order = flags.c_contiguous, flags.f_contiguous, flags.writeable
        return type(value), value.dtype.str, value.shape, order, value.tobytes()
    if type(value) is float:
        return struct.pack("d", value)
    if type(value) is complex:
        return bits(value.real), bits(value.imag)
    return type(value), value


@given(values)
def test_plain_values_come_back_without_a_pickle(value: Any) -> None:
    encoded = encode(value)
    assert not is_pickled(encoded)
    assert bits(decode(encoded)) == bits(value)


def test_numbers_stand_for_themselves_up_to_64_bits() -> None:
    encoded = encode([1, 1 - (1 << 63), 1 << 63, 0.5, "a"])
    told = b'["list",1,-9223372036854775807,["int","0x8000000000000000"],0.5,"a"]\n'
    assert encoded == told


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 2)])
def test_empty_arrays_come_back(shape: tuple[int, ...]) -> None:
    assert bits(decode(encode(np.zeros(shape)))) == bits(np.zeros(shape))


class Metres(float):
    """A float that is not only a float."""


class Count(int):
    """An integer that is not only an integer."""


def shared() -> Any:
    part = [1]
    return [part, part]


def endless() -> Any:
    part: list[Any] = []
    part.append(part)
    return part


def nest(n_levels: int) -> Any:
    part: list[Any] = []
    for _ in range(n_levels):
        part = [part]
    return part


def test_numbers_of_any_bits() -> None:
    for special in (-0.0, math.inf, -math.inf, struct.unpack("<d", b"\1\0\0\0\0\0\xf8\xff")[0]):
        for value in (special, [special], [special, 1.0], (special,), complex(1.0, special)):
            assert bits(decode(encode(value))) == bits(value)
    assert decode(encode(10**5_000)) == 10**5_000


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_keep_their_order_and_whether_they_are_writable(order: Any) -> None:
    array = np.asarray(np.arange(6.0).reshape(2, 3), order=order)
    for writable in (True, False):
        array.setflags(write=writable)
        assert bits(decode(encode(array))) == bits(array)
    assert decode(encode(array[:, ::2])).tolist() == array[:, ::2].tolist()


@pytest.mark.parametrize(
    "make",
    [
        lambda: {1, 2},
        lambda: Fraction(1, 3),
        lambda: OrderedDict(a=1),
        lambda: [Metres(1.0), Metres(2.0)],
        lambda: (1, Count(2)),
        lambda: [1, {"a": object}],
        lambda: np.array([None]),
        lambda: np.datetime64("2020-01-01"),
        lambda: np.zeros(2, [("a", "i4")]),
        lambda: np.ma.array([1, 2], mask=[False, True]),
        lambda: np.longdouble(1),
        shared,
        endless,
    ],
)
def test_other_kinds_are_pickled(make: Callable[[], Any]) -> None:
    encoded = encode(make())
    assert is_pickled(encoded)
    with pytest.raises(ValueError, match="it is no partial: there is no kind 'pickle'"):
        decode(encoded)
    found = decode(encoded, may_unpickle=True)
    assert type(found) is type(make())


def test_what_occurs_twice_is_one_object_again() -> None:
    first, second = decode(encode(shared()), may_unpickle=True)
    assert first is second


def test_a_deep_value_is_pickled() -> None:
    assert is_pickled(encode(nest(100)))
    assert not is_pickled(encode(nest(40)))
    with pytest.raises(LedgerError, match=r"a result cannot be pickled for .*recursion"):
        encode(nest(5_000))


samples = np.random.default_rng(1).random((50, 3))
moments = Moments.of(samples)
mean: Any = SampleMean(lambda rng, size: rng.random(size), 1, scale=2.0)
whole = CoMoments.of(samples, 1)
scrambled = ScrambledMoments(whole, np.ones((2, 3)))


@pytest.mark.parametrize(
    "kind", [moments, whole, scrambled, CircleCount(10**40), mean.outline], ids=type
)
def test_our_own_kinds_need_no_pickle(kind: Any) -> None:
    encoded = encode(kind)
    assert not is_pickled(encoded)
    found = decode(encoded)
    assert type(found) is type(kind)
    assert hash_values([found]) == hash_values([kind])


def test_moments_of_other_fields_are_refused() -> None:
    encoded = encode(moments).replace(b",null]", b"]")
    with pytest.raises(ValueError, match="its Moments are of another version of scoopsci"):
        decode(encoded)


@pytest.mark.parametrize("cut", [0, 1, 5, 30, -9, -1])
def test_parts_of_a_partial_are_refused(cut: int) -> None:
    with pytest.raises(ValueError, match="it is no partial"):
        decode(encode(moments)[:cut])
    with pytest.raises(ValueError, match="3 bytes too many"):
        decode(encode(moments) + b"abc")


@given(st.binary(max_size=60), st.integers(0, 400), st.integers(0, 3))
def test_any_bytes_are_a_value_or_a_value_error(content: bytes, position: int, size: int) -> None:
    encoded = encode([moments, {"a": (1, 2.5)}, [0.5, 1.5], np.arange(3)])
    for wrong in (content, encoded[:position] + content + encoded[position + size :]):
        try:
            decode(wrong)
        except ValueError:
            continue


@pytest.mark.parametrize(
    ("workload", "partial", "n_blocks", "inputs", "told"),
    [
        ("pi", 40, 4, "10", ""),
        ("pi", 41, 4, "10", "more hits than their 40 samples"),
        ("pi", -1, 4, "10", "more hits than"),
        ("pi", 4.0, 4, "10", "more hits than"),
        ("estimate", moments, 5, "10", ""),
        ("estimate", moments, 4, "10", "50 samples instead of 40"),
        ("estimate", moments, 5, "many", "50 samples instead of 0"),
        ("estimate", 7, 5, "10", "-1 samples instead of 50"),
        ("integrate", whole, 5, "10", ""),
        ("integrate", whole, 5, "11", "50 samples instead of 55"),
        ("integrate", scrambled, 5, "10", ""),
        ("integrate", scrambled, 4, "10", "50 samples instead of 40"),
        ("map", [1, 2], 2, "ab", ""),
        ("map", [1, 2], 3, "ab", "2 items instead of 3"),
        ("starmap", (1, 2), 2, "ab", "-1 items instead of 2"),
        ("map_scan", (3, [1, 2]), 2, "ab", ""),
        ("map_scan", (3, [1, 2]), 4, "ab", "2 items instead of 4"),
        ("map_scan", [1, 2], 2, "ab", "-1 items instead of 2"),
        ("map_reduce", [1, 2], 7, "ab", ""),
        ("of the user", moments, 7, "10", ""),
    ],
)
def test_what_a_partial_counts_fits_its_blocks(
    workload: str, partial: Any, n_blocks: int, inputs: str, told: str
) -> None:
    found = find_misfit(workload, partial, n_blocks, inputs)
    assert found.startswith(told) if told else not found
