"""How a worker runs consecutive blocks, and how inputs are taken; see also tests/property."""

from __future__ import annotations

import itertools
import pickle
import threading
import time
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest

from scoopsci.estimation.streams import block_generator
from scoopsci.road.blocks import MergeError, Range
from scoopsci.road.chunks import CallEach, FoldBlocks, ListBlocks, RunBlocks, run_chunk
from scoopsci.road.inputs import Chunk, Columns, Inputs
from tests.merging import bracket

PATIENT_S = 60.0


def name_upper(value: str) -> str:
    if value == "!":
        raise ArithmeticError("on !")
    if value == "?":
        raise StopIteration("on ?")
    if value == ".":
        raise SystemExit(3)
    return value.upper()


def name_drawn(rng: np.random.Generator, value: str) -> str:
    return f"{name_upper(value)}{rng.random()}"


FOLDED = FoldBlocks(CallEach(name_upper), bracket)
LISTED = ListBlocks(CallEach(name_upper))
SEEDED = ListBlocks(CallEach(name_drawn, seed=7))
Failures = list[tuple[int, str]]


def run(
    work: RunBlocks[Any], start: int, inputs: Any, *, go_on: bool
) -> tuple[list[tuple[tuple[int, int], Any]], Failures]:
    partials, failures, _ = run_chunk(work, start, inputs, go_on)
    causes = [(block, type(failure.as_error().__cause__).__name__) for block, failure in failures]
    return [((blocks.start, blocks.stop), partial) for blocks, partial in partials], causes


class TestRunChunk:
    def test_partials_are_of_maximal_ranges(self) -> None:
        partials, failures = run(FOLDED, 3, "abcdefg", go_on=False)
        assert partials == [((3, 4), "A"), ((4, 8), "((BC)(DE))"), ((8, 10), "(FG)")]
        assert failures == []

    def test_results_are_listed_by_maximal_ranges(self) -> None:
        partials, failures = run(LISTED, 3, "abcdefg", go_on=False)
        assert partials == [((3, 4), ["A"]), ((4, 8), [*"BCDE"]), ((8, 10), [*"FG"])]
        assert failures == []

    def test_no_inputs(self) -> None:
        assert run(FOLDED, 3, "", go_on=True) == ([], [])

    @pytest.mark.parametrize(
        ("letter", "error"),
        [("!", "ArithmeticError"), ("?", "RuntimeError"), (".", "SystemExit")],
        ids=["Exception", "StopIteration", "SystemExit"],
    )
    @pytest.mark.parametrize(
        ("inputs", "partials", "failing"),
        [
            ("!bcd", [((4, 6), "(BC)"), ((6, 7), "D")], [3]),
            ("abc!", [((3, 4), "A"), ((4, 6), "(BC)")], [6]),
            ("ab!d", [((3, 4), "A"), ((4, 5), "B"), ((6, 7), "D")], [5]),
            ("a!!d", [((3, 4), "A"), ((6, 7), "D")], [4, 5]),
            ("!!!!", [], [3, 4, 5, 6]),
            ("!", [], [3]),
        ],
    )
    def test_blocks_that_fail(
        self, letter: str, error: str, inputs: str, partials: list[Any], failing: list[int]
    ) -> None:
        inputs = inputs.replace("!", letter)
        failures = [(block, error) for block in failing]
        assert run(FOLDED, 3, inputs, go_on=True) == (partials, failures)
        before = [part for part in partials if part[0][1] <= failing[0]]
        assert run(FOLDED, 3, inputs, go_on=False) == (before, failures[:1])

    @pytest.mark.parametrize(
        ("letter", "error"), [("!", "ArithmeticError"), ("?", "RuntimeError"), (".", "SystemExit")]
    )
    @pytest.mark.parametrize("work", [FOLDED, LISTED, SEEDED], ids=["fold", "list", "seeded"])
    def test_every_kind_of_work_continues_after_a_failure(
        self, work: RunBlocks[Any], letter: str, error: str
    ) -> None:
        partials, failures = run(work, 8, f"ab{letter}d", go_on=True)
        assert [ends for ends, _ in partials] == [(8, 10), (11, 12)]
        assert failures == [(10, error)]

    def test_blocks_after_a_failure_keep_their_streams(self) -> None:
        partials, _ = run(SEEDED, 8, "a!c", go_on=True)
        drawn = [str(block_generator(7, block).random()) for block in (8, 10)]
        assert [results for _, results in partials] == [[f"A{drawn[0]}"], [f"C{drawn[1]}"]]

    def test_a_merge_that_fails_is_not_a_block_s_failure(self) -> None:
        def refuse_c(left: str, right: str) -> str:
            if "C" in right:
                raise ArithmeticError(f"{left} and {right} do not merge")
            return bracket(left, right)

        work = FoldBlocks(CallEach(name_upper), refuse_c)
        for go_on in (True, False):
            with pytest.raises(MergeError, match="do not merge") as caught:
                run_chunk(work, 0, "abcdef", go_on)
            assert isinstance(caught.value.args[0], ArithmeticError)
        assert run(work, 0, "abc", go_on=True)[1] == [], "C alone is not merged"

    def test_keyboard_interrupt_is_not_a_block_s_failure(self) -> None:
        def interrupt(value: str) -> str:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run_chunk(ListBlocks(CallEach(interrupt)), 0, "ab", True)

    def test_failures_hold_the_function_s_traceback(self) -> None:
        (_, failure), = run_chunk(LISTED, 5, "!bc", False)[1]  # fmt: skip
        assert "in name_upper" in failure.traceback
        error = failure.as_error(5)
        assert (error.block, error.stage) == (5, "running")
        assert "on !" in str(error)

    def test_each_result_is_freed_when_it_is_merged(self) -> None:
        alive: set[int] = set()
        most = 0

        class Result:
            def __init__(self, block: int) -> None:
                nonlocal most
                alive.add(id(self))
                most = max(most, len(alive))

            def __del__(self) -> None:
                alive.discard(id(self))

        work = FoldBlocks(CallEach(Result), lambda left, right: right)
        run_chunk(work, 0, range(1 << 12), False)
        assert most <= 12 + 3, "log2(n) results, not n"


class TestCallEach:
    def test_one_argument(self) -> None:
        assert list(CallEach(abs)(0, iter([-1, 2]))) == [1, 2]

    def test_arguments_unpacked(self) -> None:
        assert list(CallEach(pow, unpack=True)(5, iter([(2, 3), (3, 2)]))) == [8, 9]

    @pytest.mark.parametrize("unpack", [False, True])
    def test_a_stream_for_each_block(self, unpack: bool) -> None:
        def draw(rng: np.random.Generator, *arguments: Any) -> tuple[float, Any]:
            return rng.random(), arguments

        inputs = [("a", "b"), ("c", "d")]
        found = list(CallEach(draw, unpack=unpack, seed=7)(5, iter(inputs)))
        assert [value for value, _ in found] == [block_generator(7, b).random() for b in (5, 6)]
        assert [given for _, given in found] == (inputs if unpack else [(pair,) for pair in inputs])

    def test_seed_zero_is_a_seed(self) -> None:
        (value,) = CallEach(lambda rng, _: rng.random(), seed=0)(3, iter([None]))
        assert value == block_generator(0, 3).random()

    def test_it_can_be_pickled(self) -> None:
        again = pickle.loads(cloudpickle.dumps(CallEach(name_upper, seed=1)))
        assert (again.seed, again.unpack) == (1, False)


class TestChunk:
    @pytest.mark.parametrize(
        ("n_inputs", "n_parts", "sizes"),
        [(64, 32, [2] * 32), (33, 32, [2] * 16 + [1]), (5, 32, [1] * 5), (10, 3, [4, 4, 2])],
    )
    def test_split(self, n_inputs: int, n_parts: int, sizes: list[int]) -> None:
        parts = list(Chunk(7, range(100, 100 + n_inputs)).split(n_parts))
        assert [len(part) for part in parts] == sizes
        assert [value for part in parts for value in part.inputs] == [*range(100, 100 + n_inputs)]
        starts = [7, *itertools.accumulate(sizes, initial=7)][1:]
        assert [part.start for part in parts] == starts[:-1]

    def test_cut(self) -> None:
        block = Chunk(7, ["a", "b", "c"], needs_whole=True).cut(8)
        assert (block.start, list(block.inputs), block.n_failures) == (8, ["b"], 0)

    def test_inputs_of_a_range(self) -> None:
        inputs: Any = np.arange(20.0).reshape(10, 2)
        found: Any = Chunk(6, inputs).inputs_of(Range(8, 12))
        assert found.tolist() == [[4, 5], [6, 7], [8, 9], [10, 11]]


class Doubling(list[int]):
    """Iterates over other items than its slices hold."""

    def __iter__(self) -> Iterator[int]:
        return (2 * value for value in super().__iter__())


class Countdown:
    """Supports only the old iteration protocol."""

    def __getitem__(self, position: int) -> int:
        if position > 4:
            raise IndexError
        return 4 - position


def take_all(inputs: Any, size: int) -> list[Any]:
    taker = Inputs(inputs)
    found: list[Any] = []
    while True:
        start, taken = taker.take(size, PATIENT_S)
        assert start == len(found)
        if not len(taken):
            assert len(taker.take(size, PATIENT_S)[1]) == 0, "the end is final"
            assert taker.n_taken == start
            return found
        assert len(taken) <= size
        found.extend(taken)


KINDS: dict[str, Callable[[], Any]] = {
    "range": lambda: range(3, 30, 2),
    "list": lambda: [*range(13)],
    "tuple": lambda: tuple(range(13)),
    "1-D array": lambda: np.arange(13.0),
    "2-D array": lambda: np.arange(26.0).reshape(13, 2),
    "strided array": lambda: np.arange(39)[::-3],
    "array of objects": lambda: np.array([{}, [], "a", None], dtype=object),
    "structured array": lambda: np.zeros(5, dtype=[("a", int), ("b", float)]),
    "empty array": lambda: np.zeros((0, 3)),
    "columns": lambda: Columns((range(13), np.arange(13.0), [*"abcdefghijklm"])),
    "columns of other lengths": lambda: Columns((range(13), [*"abc"])),
    "subclass of list": lambda: Doubling(range(13)),
    "dict": lambda: {1: "a", 2: "b"},
    "dict views": lambda: {1: "a", 2: "b"}.items(),
    "ordered dict": lambda: OrderedDict(a=1),
    "set": lambda: {*range(13)},
    "string": lambda: "a string",
    "bytes": lambda: b"bytes",
    "deque": lambda: deque(range(13)),
    "generator": lambda: (value for value in range(13)),
    "old protocol": lambda: Countdown(),
    "zip": lambda: zip("abc", range(3), strict=True),
}


def as_lists(items: Iterable[Any]) -> list[Any]:
    return [item.tolist() if isinstance(item, np.ndarray) else item for item in items]


class TestInputs:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("size", [1, 5, 100])
    def test_any_kind_gives_the_items_that_it_yields(self, kind: str, size: int) -> None:
        make = KINDS[kind]
        assert as_lists(take_all(make(), size)) == as_lists(make())

    def test_memory_mapped_files_are_sliced(self, tmp_path: Path) -> None:
        np.save(tmp_path / "array.npy", np.arange(26.0).reshape(13, 2))
        mapped = np.load(tmp_path / "array.npy", mmap_mode="r")
        assert type(mapped) is np.memmap
        _, taken = Inputs(mapped).take(5, PATIENT_S)
        assert np.shares_memory(taken, mapped)
        assert as_lists(take_all(mapped, 5)) == mapped.tolist()
        again = pickle.loads(cloudpickle.dumps(taken))
        assert again.tolist() == mapped[:5].tolist(), "a slice is pickled without its file"

    @pytest.mark.parametrize(
        "kind", ["range", "list", "tuple", "1-D array", "2-D array", "strided array", "columns"]
    )
    def test_sequences_are_sliced(self, kind: str) -> None:
        inputs: Any = KINDS[kind]()
        _, taken = Inputs(inputs).take(5, PATIENT_S)
        assert type(taken) is type(inputs)
        assert len(taken) == 5

    def test_slices_of_arrays_are_not_copies(self) -> None:
        inputs = np.arange(26.0).reshape(13, 2)
        assert np.shares_memory(Inputs(inputs).take(5, PATIENT_S)[1], inputs)

    @pytest.mark.parametrize(
        "inputs", [5, None, object(), np.array(5.0), np.float64(1.0)], ids=lambda v: repr(v)[:9]
    )
    def test_what_is_not_iterable_is_refused(self, inputs: Any) -> None:
        with pytest.raises(TypeError, match="itera"):
            Inputs(inputs)

    def test_endless_inputs_are_taken_on_demand(self) -> None:
        counter = itertools.count()
        taker = Inputs(counter)
        assert taker.take(1_000, PATIENT_S) == (0, [*range(1_000)])
        assert taker.take(10, PATIENT_S) == (1_000, [*range(1_000, 1_010)])
        assert next(counter) == 1_010, "no more are taken"

    def test_nothing_is_taken_before_it_is_needed(self) -> None:
        counter = itertools.count()
        Inputs(counter)
        assert next(counter) == 0

    def test_slow_generators_do_not_make_workers_wait(self) -> None:
        """Ten items fit into the time; as many again are taken before it is checked."""

        def count_slowly() -> Iterator[int]:
            for value in itertools.count():
                time.sleep(0.005)
                yield value

        taker = Inputs(count_slowly())
        start, taken = taker.take(10**6, 0.1)
        assert 1 <= len(taken) <= 2 * (1 + 10)
        assert (start, taken) == (0, [*range(len(taken))])
        assert taker.take(1, 0.1) == (len(taken), [len(taken)]), "nothing is lost in between"

    def test_the_first_item_is_waited_for(self) -> None:
        asked, there = threading.Event(), threading.Event()

        def wait() -> Iterator[str]:
            asked.set()
            assert there.wait(PATIENT_S)
            yield "late"

        def answer() -> None:
            assert asked.wait(PATIENT_S)
            there.set()

        thread = threading.Thread(target=answer)
        thread.start()
        assert Inputs(wait()).take(100, 1e-9) == (0, ["late"])
        thread.join()

    def test_error_of_the_iterator_ends_the_inputs(self) -> None:
        def break_off() -> Iterator[int]:
            yield 0
            raise LookupError("no more of it")

        for size in (1, 5):
            taker = Inputs(break_off())
            assert taker.take(size, PATIENT_S) == (0, [0]), "the item before it is kept"
            assert taker.take(size, PATIENT_S) == (1, [])
            assert isinstance(taker.error, LookupError)
            assert taker.take(size, PATIENT_S) == (1, []), "the error ends the inputs"

    def test_items_that_an_iterator_reuses_are_copied(self) -> None:
        def fill_again() -> Iterator[list[int]]:
            buffer = [0]
            for value in range(20):
                buffer[0] = value
                yield buffer

        taker, found = Inputs(fill_again()), []
        for size in (1, 1, 3, 5, 100):
            found += [item for (item,) in taker.take(size, PATIENT_S)[1]]
        assert found == [*range(20)]

    def test_what_cannot_be_copied_is_taken_as_it_is(self) -> None:
        item = [itertools]  # modules are pickled by name, and cannot be copied
        taker = Inputs(itertools.repeat(item, 50))
        assert sum(len(taker.take(size, PATIENT_S)[1]) for size in (1, 1, 10, 100)) == 50
        assert taker.error is None

    def test_items_are_freed(self) -> None:
        """Large ones must not accumulate."""

        class Item:
            pass

        alive: weakref.WeakSet[Item] = weakref.WeakSet()

        def make() -> Iterator[Item]:
            for _ in range(50):
                alive.add(item := Item())
                yield item
                del item

        taker = Inputs(make())
        for _ in range(50):
            assert len(taker.take(1, PATIENT_S)[1]) == 1
        assert len(alive) <= 1  # the copies of the first few are freed, too


class TestColumns:
    def test_slices_are_columns_of_slices(self) -> None:
        columns = Columns((range(10), np.arange(10.0)))
        part = columns[3:6]
        assert isinstance(part, Columns)
        assert len(part) == 3
        assert list(part) == [(3, 3.0), (4, 4.0), (5, 5.0)]
        assert np.shares_memory(part.columns[1], columns.columns[1])

    def test_the_shortest_determines_the_length(self) -> None:
        columns = Columns((range(10), "abc"))
        assert len(columns) == len(list(columns)) == 3

    @pytest.mark.parametrize("held", [range(3), [1], (1,), np.zeros(3), Columns(([1],))])
    def test_it_holds_types_whose_slices_agree_with_iteration(self, held: object) -> None:
        assert Columns.can_hold(held)

    @pytest.mark.parametrize(
        "held", [Doubling(), {}, set(), "ab", b"ab", iter([]), np.ma.zeros(3), deque(), None]
    )
    def test_it_holds_no_other_types(self, held: object) -> None:
        assert not Columns.can_hold(held)
