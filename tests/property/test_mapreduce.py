"""Any iterable maps as with the built-in, and scans are reductions of the first items."""

from __future__ import annotations

import array
import collections
import itertools
import pickle
import struct
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import cloudpickle
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import scoopsci
from tests.executors import AnyOrder

cloudpickle.register_pickle_by_value(sys.modules[__name__])

ONE_BY_ONE = 1e-9
CHUNK_TARGETS_S = (ONE_BY_ONE, 1e-5, 1e-4, 0.1)

Make = Callable[[], Iterable[Any]]


class Backwards(list[Any]):
    """Iterates over other items than its slices hold."""

    def __iter__(self) -> Iterator[Any]:
        return reversed(self)


class Doubled(tuple[Any, ...]):
    """Yields each of its items twice."""

    def __iter__(self) -> Iterator[Any]:
        return (item for item in super().__iter__() for _ in range(2))


class Indexed:
    """Has neither a length nor an iterator, only indices."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


class Longer(np.ndarray):
    """An array that yields one item more than its length says."""

    def __iter__(self) -> Iterator[Any]:
        yield from super().__iter__()
        yield "one more"


def bits(value: object) -> object:
    """Return what distinguishes two values of any type to the last bit."""
    kind = type(value)
    if isinstance(value, np.ndarray) and value.dtype.hasobject:
        return kind, value.dtype, value.shape, [bits(item) for item in value.ravel().tolist()]
    if isinstance(value, np.ma.MaskedArray):
        return kind, value.dtype, value.shape, value.mask.tobytes(), value.filled(0).tobytes()
    if isinstance(value, (np.ndarray, np.generic)):
        # NumPy pickles times, and arrays of subclasses, in the native byte order.
        native = np.asarray(value).astype(value.dtype.newbyteorder("="))
        return kind, native.dtype, native.shape, native.tobytes()
    if isinstance(value, float):
        return kind, struct.pack("d", value)
    if isinstance(value, complex):
        return kind, struct.pack("dd", value.real, value.imag)
    if isinstance(value, (tuple, list)):
        return kind, [bits(item) for item in value]
    return kind, value


def test_bits_distinguish_values() -> None:
    """Otherwise the properties below would prove nothing."""
    different: list[object] = [
        0, 0.0, -0.0, False, None, "0", b"0", 0j, -0j, (), [], (0,), (0.0,), np.float64(0),
        np.float32(0), np.zeros(1), np.zeros((1, 1)), np.zeros(1, np.float32), np.ma.zeros(1),
        np.array([0], object), np.array([0.0], object), np.zeros(1).view(Longer),
        np.zeros(1, [("x", "f8")]), np.zeros(1, [("x", "f8")])[0], np.ma.masked_array([0.0], True),
    ]  # fmt: skip
    for i, one in enumerate(different):
        for j, other in enumerate(different):
            assert (bits(one) == bits(other)) is (i == j), (one, other)
            assert bits(pickle.loads(pickle.dumps(one))) == bits(one)


hashables: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.complex_numbers(),
        st.text(max_size=5),
        st.binary(max_size=5),
    ),
    lambda inner: st.tuples(inner, inner),
    max_leaves=3,
)
lists: st.SearchStrategy[list[Any]] = st.lists(
    hashables | st.lists(st.integers(), max_size=3), max_size=40
)


def repeatedly(kind: Callable[[Any], Iterable[Any]], items: Any) -> Make:
    """Make a fresh iterable of the same items at each call."""
    return lambda: kind(items)


def as_generator(items: Iterable[Any]) -> Iterator[Any]:
    yield from items


def again(items: Iterable[Any]) -> Iterable[Any]:
    return items


from_lists = st.builds(
    repeatedly,
    st.sampled_from(
        [
            again,
            tuple,
            iter,
            reversed,
            enumerate,
            as_generator,
            collections.deque,
            collections.UserList,
            Backwards,
            Doubled,
            Indexed,
            itertools.pairwise,
            lambda items: map(str, items),
            lambda items: dict(enumerate(items)).values(),
            lambda items: dict(enumerate(items)).items(),
        ]
    ),
    lists,
)
from_hashables = st.builds(
    repeatedly,
    st.sampled_from([again, dict.fromkeys, collections.OrderedDict.fromkeys, collections.Counter]),
    st.lists(hashables, max_size=40) | st.sets(hashables, max_size=40),
)
numbers = st.lists(st.integers(0, 255), max_size=40)
from_bytes = st.builds(
    repeatedly,
    st.sampled_from(
        [bytes, bytearray, lambda n: memoryview(bytes(n)), lambda n: array.array("d", n)]
    ),
    numbers,
)
ranges = st.builds(
    range, st.integers(-50, 50), st.integers(-50, 50), st.integers(-5, 5).filter(bool)
)
sequences = st.builds(repeatedly, st.just(again), st.text(max_size=40) | ranges)

plain_dtypes = hnp.scalar_dtypes()
dtypes: st.SearchStrategy[Any] = st.one_of(
    plain_dtypes,
    hnp.array_dtypes(plain_dtypes, max_size=3),  # structured
    hnp.array_dtypes(plain_dtypes, max_size=3, allow_subarrays=True),
)
shapes = hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=8)
arrays: st.SearchStrategy[np.ndarray] = st.one_of(
    dtypes.flatmap(lambda dtype: hnp.arrays(dtype, shapes)),
    hnp.arrays(object, shapes, elements=hashables),
)
VIEWS: list[Callable[[np.ndarray], Any]] = [
    again,
    lambda x: x[::-1],
    lambda x: x[1::2],
    lambda x: x.T,
    np.asfortranarray,
    lambda x: np.broadcast_to(x, (3, *x.shape)),
    lambda x: x.view(np.recarray),
    lambda x: x.view(Longer),
    list,
    iter,
]


@st.composite
def from_arrays(draw: st.DrawFn) -> Make:
    array = draw(arrays)
    if draw(st.booleans()):
        array.flags.writeable = False
    return repeatedly(draw(st.sampled_from(VIEWS)), array)


@st.composite
def from_masked_arrays(draw: st.DrawFn) -> Make:
    shape = draw(shapes)
    values = draw(hnp.arrays(np.float64, shape))
    return repeatedly(again, np.ma.masked_array(values, draw(hnp.arrays(bool, shape))))


iterables: st.SearchStrategy[Make] = st.one_of(
    from_lists, from_hashables, from_bytes, sequences, from_arrays(), from_masked_arrays()
)


@st.composite
def ways(draw: st.DrawFn) -> Callable[[], Any]:
    """Draw how to carry a run out: engine, window and chunks."""
    run: dict[str, Any] = {"chunk_target_s": draw(st.sampled_from(CHUNK_TARGETS_S))}
    window = draw(st.none() | st.integers(1, 7))
    if window is not None:
        run["window"] = window
    kind = draw(st.sampled_from(["serial", "threads", "any order"]))
    seed = draw(st.integers(0, 2**32))

    @contextmanager
    def open_way() -> Iterator[dict[str, Any]]:
        if kind == "serial":
            yield {**run, "engine": "serial"}
        elif kind == "threads":
            with ThreadPoolExecutor(3) as threads:
                yield {**run, "engine": threads}
        else:
            with AnyOrder(seed, window or 6) as executor:
                yield {**run, "engine": executor, "n_workers": 3}

    return open_way


def give_all(*items: Any) -> tuple[Any, ...]:
    return items


common = settings(max_examples=150)


@common
@given(iterables, ways())
def test_one_iterable(make: Make, way: Any) -> None:
    expected = [bits(items) for items in map(give_all, make())]
    with way() as run:
        assert [bits(items) for items in scoopsci.map(give_all, make(), **run)] == expected
        loose = [bits(items) for items in scoopsci.map_as_completed(give_all, make(), **run)]
    assert sorted(map(repr, loose)) == sorted(map(repr, expected))


@common
@given(st.lists(iterables, min_size=2, max_size=4), ways())
def test_several_iterables(makes: list[Make], way: Any) -> None:
    expected = [bits(items) for items in map(give_all, *(make() for make in makes))]
    with way() as run:
        found = scoopsci.map(give_all, *(make() for make in makes), **run)
        assert [bits(items) for items in found] == expected


@common
@given(
    st.lists(st.lists(hashables, max_size=3), max_size=30), st.sampled_from([list, iter]), ways()
)
def test_starmap(tuples: list[list[Any]], kind: Any, way: Any) -> None:
    with way() as run:
        found = scoopsci.starmap(give_all, kind(tuples), **run)
        assert [bits(items) for items in found] == [bits(tuple(items)) for items in tuples]


def bracket(left: str, right: str) -> str:
    """Merge so that the whole shows every merge: neither associative nor commutative."""
    return f"({left} {right})"


def merge_in_half(parts: list[str]) -> str:
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return bracket(merge_in_half(parts[:middle]), merge_in_half(parts[middle:]))


def reduce_by_hand(texts: list[str]) -> str:
    """Merge by definition, from the top: runs of 2^j items, then from the left."""
    whole, start = "", 0
    for exponent in reversed(range(len(texts).bit_length())):
        if len(texts) >> exponent & 1:
            part = merge_in_half(texts[start : start + (1 << exponent)])
            whole = bracket(whole, part) if start else part
            start += 1 << exponent
    return whole


kinds = st.sampled_from([again, tuple, iter, np.asarray, as_generator])
texts_given = st.integers(1, 70).map(lambda n: [str(item) for item in range(n)])


@common
@given(texts_given, kinds, ways())
def test_a_scan_is_the_reduction_of_the_first_items(texts: list[str], kind: Any, way: Any) -> None:
    expected = [reduce_by_hand(texts[: k + 1]) for k in range(len(texts))]
    with way() as run:
        assert list(scoopsci.map_scan(str, bracket, kind(texts), **run)) == expected
        assert scoopsci.map_reduce(str, bracket, kind(texts), **run) == expected[-1]


@common
@given(texts_given, st.integers(1, 100), ways())
def test_a_scan_may_be_closed_early(texts: list[str], n_asked: int, way: Any) -> None:
    with way() as run:
        with scoopsci.map_scan(str, bracket, iter(texts), **run) as results:
            found = [text for text, _ in zip(results, range(n_asked), strict=False)]
        assert found == [reduce_by_hand(texts[: k + 1]) for k in range(len(found))]
        assert len(found) == min(n_asked, len(texts))


Pairs = list[tuple[Any, str]]


def group_by_hand(items: list[Pairs]) -> dict[Any, str]:
    """Merge the values of each key by definition: absent ones are skipped."""

    def merge(left: dict[Any, str], right: dict[Any, str]) -> dict[Any, str]:
        both = {key: bracket(left[key], right[key]) for key in left if key in right}
        return {**left, **right, **both}

    def merge_half(parts: list[dict[Any, str]]) -> dict[Any, str]:
        if len(parts) == 1:
            return parts[0]
        middle = len(parts) // 2
        return merge(merge_half(parts[:middle]), merge_half(parts[middle:]))

    singles = []
    for pairs in items:
        groups: dict[Any, str] = {}
        for key, value in pairs:
            groups = merge(groups, {key: value})
        singles.append(groups)
    whole: dict[Any, str] = {}
    start = 0
    for exponent in reversed(range(len(items).bit_length())):
        if len(items) >> exponent & 1:
            whole = merge(whole, merge_half(singles[start : start + (1 << exponent)]))
            start += 1 << exponent
    return whole


keys = st.integers(0, 5) | st.text("ab", max_size=1) | st.none()


@common
@given(st.lists(st.lists(keys, max_size=3), max_size=40), kinds, ways())
def test_values_of_a_key_merge_along_the_tree(given: list[list[Any]], kind: Any, way: Any) -> None:
    items = [
        [(key, f"{block}.{k}") for k, key in enumerate(found)] for block, found in enumerate(given)
    ]
    expected = group_by_hand(items)
    with way() as run:
        by_index = scoopsci.map_reduce_by_key(
            lambda block: iter(items[int(block)]), bracket, kind(range(len(items))), **run
        )
    assert by_index == expected
    order = dict.fromkeys(key for pairs in items for key, _ in pairs)
    assert list(by_index) == list(order), "keys come in the order of their first occurrence"


@common
@given(st.lists(st.booleans(), max_size=60), st.integers(0, 2), ways())
def test_errors_take_the_places_of_results(fails: list[bool], retries: int, way: Any) -> None:
    def fail(item: int) -> int:
        if fails[item]:
            raise ArithmeticError(str(item))
        return item

    with way() as run:
        options = {"on_error": "return", "retries": retries, **run}
        found = list(scoopsci.map(fail, range(len(fails)), **options))
    assert len(found) == len(fails)
    for item, (result, failed) in enumerate(zip(found, fails, strict=True)):
        if failed:
            assert isinstance(result, scoopsci.TaskError)
            assert result.block == item
            assert repr(result.error) == f"ArithmeticError('{item}')"
        else:
            assert result == item
