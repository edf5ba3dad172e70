"""The map family as users see it: results, errors, endless inputs, ledgers, receipts."""

from __future__ import annotations

import array
import contextlib
import datetime
import functools
import gc
import itertools
import json
import math
import operator
import os
import random
import re
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest

import scoopsci
from scoopsci import EngineError, EngineTimeoutError, LedgerError, PoisonTaskError, TaskError
from scoopsci.estimation.streams import block_generator
from scoopsci.mapreduce import Results
from scoopsci.testing.bits import make_numbers
from scoopsci.testing.tasks import meet
from tests.cluster.map_program import (
    CHUNK_TARGETS_S,
    N_ITEMS,
    N_MORE,
    find_bits,
    find_serial_bits,
)
from tests.engines.test_foreign import Shuffled
from tests.merging import bracket

cloudpickle.register_pickle_by_value(sys.modules[__name__])

ONE_BY_ONE = 1e-9  # a chunk target so short that every chunk is one item
GENEROUS_S = 60.0

SERIAL: Any = {"engine": "serial"}
PROCESSES: Any = {}  # an engine that stays open during the tests of this file
OWN: Any = {"engine": "processes", "n_workers": 2}  # for tests that leave tasks behind
both, both_alone = (
    pytest.mark.parametrize("run", [SERIAL, processes], ids=["serial", "processes"])
    for processes in (PROCESSES, OWN)
)

#: Each as call(fn, iterable, **run), for tests of all of them; fn must return numbers.
CALLS: dict[str, Callable[..., Any]] = {
    "map": scoopsci.map,
    "map_as_completed": scoopsci.map_as_completed,
    "map_reduce": lambda fn, *inputs, **run: scoopsci.map_reduce(fn, operator.add, *inputs, **run),
    "map_scan": lambda fn, *inputs, **run: scoopsci.map_scan(fn, operator.add, *inputs, **run),
    "map_reduce_by_key": lambda fn, *inputs, **run: scoopsci.map_reduce_by_key(
        functools.partial(pair, fn), operator.add, *inputs, **run
    ),
}
all_calls = pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))


@pytest.fixture(scope="module", autouse=True)
def open_processes() -> Iterator[None]:
    with scoopsci.open_engine("processes", n_workers=2) as engine:
        PROCESSES["engine"] = engine
        yield


def pair(fn: Callable[..., Any], *arguments: Any) -> list[tuple[int, Any]]:
    return [(0, fn(*arguments))]


def walk(results: Any) -> Any:
    """Carry a call out to its end: some begin with the first result consumed."""
    return list(results) if isinstance(results, Results) else results


def sleep_briefly(item: int) -> int:
    time.sleep(0.001)
    return item


def note(marks: Path, item: int) -> int:
    """Note an execution on disk, and return how many there have been."""
    with (marks / str(item)).open("ab") as mark:
        mark.write(b".")
        return mark.tell()


def count_executions(marks: Path) -> dict[int, int]:
    return {int(mark.name): mark.stat().st_size for mark in marks.iterdir()}


class TestBits:
    """The same bits on every engine; those of SCOOP are in tests/cluster."""

    @pytest.mark.timeout(300)
    @pytest.mark.parametrize(
        ("n_items", "n_workers", "chunk_target_s"),
        [
            (N_ITEMS, 2, 0.001),
            *(
                pytest.param(N_MORE, n_workers, target_s, marks=pytest.mark.slow)
                for n_workers in (None, 2, 3)
                for target_s in CHUNK_TARGETS_S
            ),
        ],
    )
    def test_numbers_of_mixed_magnitude(
        self, n_items: int, n_workers: int | None, chunk_target_s: float
    ) -> None:
        engine = "serial" if n_workers is None else "processes"
        run: Any = {"engine": engine, "n_workers": n_workers, "chunk_target_s": chunk_target_s}
        assert find_bits(n_items, **run) == find_serial_bits(n_items)

    @pytest.mark.parametrize("n_items", [N_ITEMS, pytest.param(N_MORE, marks=pytest.mark.slow)])
    def test_the_sum_is_that_of_the_tree(self, n_items: int) -> None:
        """Pairs, pairs of pairs and so on; then the rest from the left."""
        numbers = make_numbers(n_items)
        whole, start = 0.0, 0
        for exponent in reversed(range(n_items.bit_length())):
            if n_items >> exponent & 1:
                part = numbers[start : start + (1 << exponent)]
                start += len(part)
                while len(part) > 1:
                    part = part[::2] + part[1::2]
                whole = whole + float(part[0]) if start > len(part) else float(part[0])
        assert find_serial_bits(n_items)["sum"] == whole.hex()
        assert whole != float(np.cumsum(numbers)[-1]), "another order gives other bits"
        assert math.isclose(whole, math.fsum(numbers), rel_tol=20 * 2**-53)

    def test_each_scanned_value_is_the_reduction_of_its_prefix(self) -> None:
        numbers = make_numbers(70_000)
        prefixes = list(scoopsci.map_scan(float, operator.add, numbers, **SERIAL))
        assert len(prefixes) == 70_000
        for n_items in (1, 2, 3, 31, 32, 33, 1_000, 65_535, 65_536, 65_537, 70_000):
            found = scoopsci.map_reduce(float, operator.add, numbers[:n_items], **SERIAL)
            assert found.hex() == prefixes[n_items - 1].hex()

    def test_adding_in_another_order_gives_other_bits(self) -> None:
        """Otherwise the tests above would prove nothing."""
        numbers = make_numbers(10_000)
        in_order, shuffled = (
            scoopsci.map_reduce(float, operator.add, values, **SERIAL)
            for values in (numbers, np.random.default_rng(1).permutation(numbers))
        )
        assert in_order != shuffled


class TestAsTheBuiltIn:
    @both
    @pytest.mark.parametrize("n_items", [0, 1, 2, 1_000])
    def test_order_and_number(self, run: Any, n_items: int) -> None:
        expected = list(map(str, range(n_items)))
        assert list(scoopsci.map(str, range(n_items), **run)) == expected
        assert sorted(scoopsci.map_as_completed(str, range(n_items), **run)) == sorted(expected)

    @both
    def test_uneven_costs_keep_the_order(self, run: Any) -> None:
        def sleep_unevenly(item: int) -> int:
            time.sleep(0.02 if item % 13 == 0 else 0.0)
            return -item

        items = range(150)
        assert list(scoopsci.map(sleep_unevenly, items, **run)) == list(map(operator.neg, items))

    @both
    def test_the_shortest_iterable_ends_the_map(self, run: Any) -> None:
        columns = (range(70), "abcdefghij" * 6, np.arange(50.0), itertools.count())
        found = list(scoopsci.map(lambda *items: items, *columns, **run))
        assert found == list(zip(*columns[:3], range(50), strict=False))
        assert len(found) == 50

    @both
    def test_starmap(self, run: Any) -> None:
        tuples = [(2, 5), [3, 2], (10, 0), np.array([2, 3])]
        assert list(scoopsci.starmap(pow, tuples, **run)) == [32, 9, 1, 8]

    @both
    def test_a_map_of_a_map(self, run: Any) -> None:
        squares = scoopsci.map(lambda a: a * a, range(300), **run)
        assert list(scoopsci.map(operator.neg, squares, **run)) == [-a * a for a in range(300)]

    def test_several_maps_share_an_open_engine(self) -> None:
        with scoopsci.open_engine("processes", n_workers=2) as engine:
            first = scoopsci.map(abs, itertools.count(), engine=engine)
            second = scoopsci.map(operator.neg, itertools.count(), engine=engine)
            for item in range(500):
                assert (next(first), next(second)) == (item, -item)
            first.close()
            assert next(second) == -500
            assert scoopsci.map_reduce(abs, operator.add, range(100), engine=engine) == 4950
            second.close()

    def test_is_an_iterator(self) -> None:
        results = scoopsci.map(abs, [-1, -2, -3, -4], **SERIAL)
        assert next(results) == 1
        assert next(iter(results)) == 2
        assert list(results) == [3, 4]
        assert next(results, None) is None

    def test_results_may_be_any_value(self) -> None:
        values: list[Any] = [
            None,
            (),
            [],
            "",
            b"",
            0,
            {"a": [1]},
            ValueError("a value"),
            StopIteration,
        ]
        found = list(scoopsci.map(lambda value: value, values, **SERIAL))
        assert [repr(value) for value in found] == [repr(value) for value in values]

    def test_items_are_copies(self) -> None:
        items: list[list[int]] = [[], []]
        assert list(scoopsci.map(lambda item: item.append(1), items, **SERIAL)) == [None, None]
        assert items == [[], []]


class TestReduction:
    @both
    @pytest.mark.parametrize("n_items", [1, 2, 3, 5, 64, 100])
    def test_merges_that_do_not_commute_keep_the_order(self, run: Any, n_items: int) -> None:
        text = "".join(chr(97 + i % 26) for i in range(n_items))
        found = scoopsci.map_reduce(str, bracket, text, chunk_target_s=0.001, **run)
        assert found.replace("(", "").replace(")", "") == text
        prefixes = list(scoopsci.map_scan(str, bracket, text, chunk_target_s=0.001, **run))
        assert prefixes[-1] == found
        assert len(prefixes) == n_items

    def test_the_tree(self) -> None:
        assert scoopsci.map_reduce(str, bracket, "abcdefg", **SERIAL) == "((((ab)(cd))(ef))g)"
        assert list(scoopsci.map_scan(str, bracket, "abcd", **SERIAL)) == [
            "a", "(ab)", "((ab)c)", "((ab)(cd))"
        ]  # fmt: skip

    @both
    def test_one_item_is_not_merged(self, run: Any) -> None:
        refuse = functools.partial(operator.truediv, 0)  # of one argument: no merge
        assert scoopsci.map_reduce(str, refuse, [5], **run) == "5"
        assert list(scoopsci.map_scan(str, refuse, [5], **run)) == ["5"]
        assert scoopsci.map_reduce_by_key(lambda a: [(a, a)], refuse, [5], **run) == {5: 5}

    @both
    @pytest.mark.parametrize("nothing", [[], range(0), (), iter(()), np.zeros((0, 3)), ""])
    def test_no_items(self, run: Any, nothing: Iterable[Any]) -> None:
        with pytest.raises(ValueError, match="at least one item to merge, got none"):
            scoopsci.map_reduce(str, operator.add, nothing, **run)
        assert list(scoopsci.map_scan(str, operator.add, nothing, **run)) == []
        assert scoopsci.map_reduce_by_key(list, operator.add, nothing, **run) == {}

    @both
    def test_none_is_a_valid_result(self, run: Any) -> None:
        merge = lambda left, right: None  # noqa: E731
        assert scoopsci.map_reduce(lambda _: None, merge, range(100), **run) is None
        assert list(scoopsci.map_scan(lambda _: None, merge, range(9), **run)) == [None] * 9

    def test_arrays(self) -> None:
        found = list(scoopsci.map_scan(np.arange, operator.add, [3] * 100, **PROCESSES))
        assert all(np.array_equal(row, [0, k, 2 * k]) for k, row in enumerate(found, 1))

    @both
    def test_what_a_merge_raises_is_raised_here(self, run: Any) -> None:
        def refuse(left: int, right: int) -> int:
            if left + right == 10:  # of 1 to 4
                raise ZeroDivisionError("ten")
            return left + right

        for call in (scoopsci.map_reduce, scoopsci.map_scan, merge_by_key):
            with pytest.raises(ZeroDivisionError, match="ten") as caught:
                walk(call(abs, refuse, [1, 2, 3, 4, 5], **run))
            assert isinstance(caught.value.__cause__, TaskError)

    @both
    def test_what_a_merge_raises_in_a_scan_alone_is_raised_here(self, run: Any) -> None:
        def refuse(left: int, right: int) -> int:
            if left + right == 6:  # up to the third item, where the sum of all has (1+2)+(3+4)
                raise ZeroDivisionError("six")
            return left + right

        assert scoopsci.map_reduce(abs, refuse, [1, 2, 3, 4], **run) == 10
        with pytest.raises(ZeroDivisionError, match="six") as caught:
            list(scoopsci.map_scan(abs, refuse, [1, 2, 3, 4], **run))
        assert isinstance(caught.value.__cause__, TaskError)


def merge_by_key(fn: Any, merge: Any, items: Any, **run: Any) -> Any:
    return scoopsci.map_reduce_by_key(functools.partial(pair, fn), merge, items, **run)


class TestGroups:
    TEXT = Path(scoopsci.__file__).read_text().split("\n") * 20

    @both
    def test_words_are_counted_as_by_counter(self, run: Any) -> None:
        def count(line: str) -> Iterator[tuple[str, int]]:
            return ((word, 1) for word in line.split())

        found = scoopsci.map_reduce_by_key(count, operator.add, self.TEXT, **run)
        expected = Counter(word for line in self.TEXT for word in line.split())
        assert found == expected
        assert list(found) == list(expected), "in the order of the first occurrences"

    @both
    @pytest.mark.parametrize("chunk_target_s", [ONE_BY_ONE, 0.1])
    def test_values_merge_along_the_tree_of_items(self, run: Any, chunk_target_s: float) -> None:
        def name(item: int) -> list[tuple[int, str]]:
            return [(item % 3, str(item)), (item % 3, "'"), (item % 5, str(item))]

        found = scoopsci.map_reduce_by_key(
            name, bracket, range(8), chunk_target_s=chunk_target_s, **run
        )
        assert found == {
            0: "((((0')0)(3'))((56)))".replace("((56))", "(5(6'))"),
            1: "(((1')1)((4')(67)))".replace("(67)", "(6(7'))"),
            2: "(((2')2)((5')7))",
            3: "3",
            4: "4",
        }

    @both
    def test_kinds_of_pairs_and_keys(self, run: Any) -> None:
        def give(item: int) -> Any:
            return [
                [("a", 1), ["a", 2], np.array([7, 3])],
                {"a": 4}.items(),
                zip([None, (1, 2), frozenset("x"), 7.0], [5, 6, 7, 8], strict=True),
                iter(()),
            ][item]

        found = scoopsci.map_reduce_by_key(give, operator.add, range(4), **run)
        assert found == {"a": 7, 7: 11, None: 5, (1, 2): 6, frozenset("x"): 7}
        assert list(found) == ["a", 7, None, (1, 2), frozenset("x")]

    def test_keys_that_differ_from_themselves_do_not_reveal_chunks(self) -> None:
        """A pickled NaN is another object; whatever becomes of such keys, chunks do not matter."""

        def reduce(chunk_target_s: float) -> list[str]:
            options: Any = {"chunk_target_s": chunk_target_s, **SERIAL}
            try:
                found = scoopsci.map_reduce_by_key(
                    lambda item: [(math.nan, item)], operator.add, range(64), **options
                )
            except ValueError as error:
                return [repr(error)]
            return [repr(pair) for pair in found.items()]

        assert reduce(ONE_BY_ONE) == reduce(0.1)

    @pytest.mark.parametrize("given", [5, [5], ["abc"], [([], 1)], [(1, 2, 3)]])
    def test_results_that_are_not_pairs_raise(self, given: Any) -> None:
        with pytest.raises((TypeError, ValueError), match="block 0"):
            scoopsci.map_reduce_by_key(lambda _: given, operator.add, range(3), **SERIAL)


class Counted:
    """An endless iterator that counts the items taken, and knows when it is closed."""

    def __init__(self) -> None:
        self.n_taken = 0
        self.is_left = False

    def __iter__(self) -> Iterator[int]:
        try:
            while True:
                self.n_taken += 1
                yield self.n_taken - 1
        finally:
            self.is_left = True


class TestEndlessInputs:
    @both
    @pytest.mark.parametrize("call", [scoopsci.map, scoopsci.map_as_completed])
    def test_items_are_consumed_only_as_requested(self, run: Any, call: Any) -> None:
        with call(operator.neg, itertools.count(), **run) as results:
            found = list(itertools.islice(results, 1_000))
        assert len(set(found)) == 1_000
        if call is scoopsci.map:
            assert found == [-item for item in range(1_000)]

    @both
    def test_scan(self, run: Any) -> None:
        with scoopsci.map_scan(abs, operator.add, itertools.count(1), **run) as results:
            found = list(itertools.islice(results, 300))
        assert found == [k * (k + 1) // 2 for k in range(1, 301)]

    @pytest.mark.parametrize("window", [1, 3, 8])
    @pytest.mark.parametrize(
        ("run", "call"), [(SERIAL, scoopsci.map), (PROCESSES, scoopsci.map_as_completed)]
    )
    def test_consumption_stays_within_the_window(self, run: Any, call: Any, window: int) -> None:
        inputs = Counted()
        results = call(sleep_briefly, inputs, window=window, chunk_target_s=ONE_BY_ONE, **run)
        assert inputs.n_taken == 0, "nothing is taken before the first result is consumed"
        for n_told in range(1, 31):
            next(results)
            assert inputs.n_taken <= n_told + window
        results.close()
        assert inputs.n_taken <= 30 + window

    def test_the_window_is_two_for_each_worker(self) -> None:
        inputs = Counted()
        options: Any = {"chunk_target_s": ONE_BY_ONE, "engine": "processes", "n_workers": 3}
        with scoopsci.map_as_completed(sleep_briefly, inputs, **options) as results:
            for n_told in range(1, 31):
                next(results)
                assert inputs.n_taken <= n_told + 6

    @both
    def test_chunks_do_not_exceed_their_target_time(self, run: Any) -> None:
        """At 1 ms an item, a chunk of 20 ms has at most 20 items, and a window four chunks."""
        inputs = Counted()
        options: Any = {"chunk_target_s": 0.02, "window": 4, **run}
        with scoopsci.map_as_completed(sleep_briefly, inputs, **options) as results:
            for n_told, _ in enumerate(itertools.islice(results, 300), 1):
                assert inputs.n_taken <= n_told + 20 * (4 + 1)

    @both
    @pytest.mark.parametrize("n_asked", [0, 1, 50])
    @pytest.mark.parametrize("leave", ["close", "with", "forget", "cycle"])
    def test_closing_ends_the_run(self, run: Any, n_asked: int, leave: str) -> None:
        """A fixture of all tests would find anything left behind."""
        inputs = Counted()
        results: Any = scoopsci.map(sleep_briefly, inputs, **run)
        assert list(itertools.islice(results, n_asked)) == list(range(n_asked))
        if leave == "close":
            results.close()
            assert list(results) == []
            results.close()
        elif leave == "with":
            with results:
                pass
            assert next(results, None) is None
        elif leave == "cycle":
            results.itself = results
            del results
        else:
            del results
        gc.collect()
        n_taken = inputs.n_taken
        assert inputs.is_left is (n_asked > 0)
        assert inputs.n_taken == n_taken

    def test_no_result_is_yielded_after_closing(self) -> None:
        results = scoopsci.map(abs, range(10_000), **SERIAL)
        loop = iter(results)
        assert list(itertools.islice(loop, 50)) == list(range(50))
        results.close()
        assert list(loop) == []

    def test_breaking_the_loop_ends_the_run(self) -> None:
        inputs = Counted()
        for result in scoopsci.map(sleep_briefly, inputs, **PROCESSES):
            if result == 20:
                break
        assert inputs.is_left

    def test_an_error_in_the_loop_ends_the_run(self) -> None:
        inputs = Counted()

        def fail() -> None:
            with scoopsci.map(sleep_briefly, inputs, **PROCESSES) as results:
                raise Misfit(f"after {next(results)}")

        with pytest.raises(Misfit, match="after 0"):
            fail()
        assert inputs.is_left

    def test_closing_with_large_items_in_the_queue(self) -> None:
        """They are larger than a pipe: its writer must not wait forever."""
        for _ in range(3):
            with scoopsci.map(len, itertools.repeat(bytes(4_000_000)), **PROCESSES) as results:
                assert next(results) == 4_000_000

    def test_closing_writes_nothing_to_stderr(self) -> None:
        """Tasks in the queue must not make the engine print messages."""
        program = (
            "import itertools, time, scoopsci\n"
            "def f(i):\n    time.sleep(0.01)\n    return i\n"
            "for _ in range(3):\n"
            "    with scoopsci.map(f, itertools.count(), engine='processes', n_workers=2,"
            " window=20, chunk_target_s=1e-9) as results:\n"
            "        print(next(results))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "0\n0\n0\n", "")


def break_off(n_items: int) -> Iterator[int]:
    yield from range(n_items)
    raise LookupError(f"no more than {n_items}")


class TestInputs:
    @both
    @pytest.mark.parametrize("chunk_target_s", [ONE_BY_ONE, 0.1])
    @pytest.mark.parametrize("n_items", [0, 1, 2, 10, 500])
    def test_an_error_of_the_inputs_comes_after_the_results_of_those_before(
        self, run: Any, n_items: int, chunk_target_s: float
    ) -> None:
        for call in (scoopsci.map, scoopsci.map_as_completed):
            found: list[int] = []
            results = call(abs, break_off(n_items), chunk_target_s=chunk_target_s, **run)
            with pytest.raises(LookupError, match=f"no more than {n_items}") as caught:
                found.extend(results)  # keeps the results before an error
            assert type(caught.value) is LookupError
            assert sorted(found) == list(range(n_items))

    @both
    def test_an_error_of_the_inputs_ends_a_reduction(self, run: Any) -> None:
        for call in (CALLS["map_reduce"], CALLS["map_reduce_by_key"], CALLS["map_scan"]):
            with pytest.raises(LookupError, match="no more than 50"):
                walk(call(abs, break_off(50), **run))

    @both
    def test_a_slow_iterator_does_not_hold_back_the_first_results(self, run: Any) -> None:
        seen = threading.Event()

        def hesitate() -> Iterator[int]:
            yield from range(4)  # as many as the window of two workers
            assert seen.wait(GENEROUS_S), "no result before the fifth item"
            yield 4

        results = scoopsci.map_as_completed(abs, hesitate(), **run)
        found = [next(results)]
        seen.set()
        assert sorted([*found, *results]) == [0, 1, 2, 3, 4]

    @pytest.mark.parametrize(
        ("call", "run", "more"),
        [
            *itertools.product(
                ("map", "map_as_completed", "map_scan"),
                (SERIAL, PROCESSES),
                ({"chunk_target_s": ONE_BY_ONE},),
            ),
            ("map", SERIAL, {}),
            ("map_as_completed", PROCESSES, {}),
        ],
    )
    def test_items_may_depend_on_results(self, call: str, run: Any, more: Any) -> None:
        """With a window of 1, an item is not taken before the last result is consumed."""
        told = threading.Semaphore(1)

        def follow() -> Iterator[int]:
            for item in range(30):
                assert told.acquire(timeout=20.0), f"item {item} waits for a result"
                yield item

        found = []
        options: Any = {"window": 1, **run, **more}
        for result in CALLS[call](abs, follow(), **options):
            found.append(result)
            told.release()
        expected = itertools.accumulate(range(30)) if call == "map_scan" else range(30)
        assert found == list(expected)

    @both
    def test_an_iterator_may_give_the_same_object_again(self, run: Any) -> None:
        """It modifies it, like one that reads into a buffer: each item counts as it was."""

        def refill() -> Iterator[np.ndarray]:
            buffer = np.zeros(2)
            for item in range(200):
                buffer[:] = item
                yield buffer

        def add(buffer: np.ndarray, number: int = 0) -> float:
            return float(buffer[0] + number)

        numbered = ((buffer, item) for item, buffer in enumerate(refill()))
        expected = [2.0 * item for item in range(200)]
        assert list(scoopsci.map(add, refill(), **run)) == [float(item) for item in range(200)]
        assert list(scoopsci.map(add, refill(), range(200), **run)) == expected
        assert list(scoopsci.starmap(add, numbered, **run)) == expected

    def test_an_iterator_is_consumed_once_in_one_thread(self) -> None:
        threads = set()

        def tell() -> Iterator[int]:
            for item in range(200):
                threads.add(threading.get_ident())
                yield item

        assert list(scoopsci.map(abs, tell(), **PROCESSES)) == list(range(200))
        assert threads == {threading.get_ident()}


class TestSeeds:
    @pytest.mark.parametrize("chunk_target_s", [0.001, 0.1, 1.0])
    @both
    def test_each_item_has_the_generator_of_its_index(
        self, run: Any, chunk_target_s: float
    ) -> None:
        def draw(rng: np.random.Generator, item: str) -> tuple[str, float]:
            return item, float(rng.standard_normal())

        items = [f"item {k}" for k in range(500)]
        expected = [
            (item, block_generator(12, k).standard_normal()) for k, item in enumerate(items)
        ]
        options: Any = {"seed": 12, "chunk_target_s": chunk_target_s, **run}
        assert list(scoopsci.map(draw, items, **options)) == expected
        assert list(scoopsci.map(draw, iter(items), **options)) == expected
        assert sorted(scoopsci.map_as_completed(draw, items, **options)) == sorted(expected)
        pairs = [(item,) for item in items]
        assert list(scoopsci.starmap(draw, pairs, **options)) == expected
        found = scoopsci.map_reduce_by_key(
            lambda rng, item: [draw(rng, item)], operator.add, items, **options
        )
        assert list(found.items()) == expected

    @both
    def test_several_iterables(self, run: Any) -> None:
        def draw(rng: np.random.Generator, low: float, high: float) -> float:
            return float(rng.uniform(low, high))

        lows, highs = [0.0, 10.0, 20.0], [1.0, 11.0, 21.0, 31.0]
        expected = [block_generator(2, k).uniform(lows[k], highs[k]) for k in range(3)]
        assert list(scoopsci.map(draw, lows, highs, seed=2, **run)) == expected
        tuples = zip(lows, highs, strict=False)
        assert list(scoopsci.starmap(draw, tuples, seed=2, **run)) == expected

    def test_reductions_and_scans(self) -> None:
        def draw(rng: np.random.Generator, item: int) -> float:
            return float(rng.standard_normal())

        expected = [float(block_generator(3, k).standard_normal()) for k in range(100)]
        for run in (SERIAL, PROCESSES):
            found = list(scoopsci.map_scan(draw, operator.add, range(100), seed=3, **run))
            again = list(scoopsci.map_scan(float, operator.add, expected, **SERIAL))
            assert found == again
            assert scoopsci.map_reduce(draw, operator.add, range(100), seed=3, **run) == found[-1]

    @pytest.mark.parametrize("seed", [0, 2**200, np.int64(7)])
    def test_seeds_of_any_size(self, seed: int) -> None:
        fn = lambda rng, _: rng.random()  # noqa: E731
        found = list(scoopsci.map(fn, range(3), seed=seed, **SERIAL))
        assert found == [block_generator(int(seed), k).random() for k in range(3)]

    def test_without_a_seed_there_is_no_generator(self) -> None:
        assert list(scoopsci.map(lambda *items: items, "ab", seed=None, **SERIAL)) == [
            ("a",), ("b",)
        ]  # fmt: skip

    def test_a_retry_has_the_same_generator(self, tmp_path: Path) -> None:
        def draw(rng: np.random.Generator, item: int) -> float:
            value = float(rng.random())
            if note(tmp_path, item) == 1:
                raise ValueError("at first")
            return value

        found = list(scoopsci.map(draw, range(20), seed=4, retries=1, **PROCESSES))
        assert found == [block_generator(4, k).random() for k in range(20)]
        assert set(count_executions(tmp_path).values()) == {2}


class Misfit(Exception):
    """An exception of the user's own."""


def fail_sometimes(item: int) -> int:
    if item % 10 == 7:
        raise Misfit(f"of item {item}")
    return item


class TestErrors:
    @both
    @all_calls
    def test_the_exception_is_the_task_s_own(self, run: Any, call: Any) -> None:
        with pytest.raises(Misfit, match=r"block 7 failed on host") as caught:
            walk(call(fail_sometimes, range(10), **run))
        assert repr(caught.value) == "Misfit('of item 7')"
        failed = caught.value.__cause__
        assert isinstance(failed, TaskError)
        assert failed.block == 7
        assert "fail_sometimes" in failed.remote_traceback

    @both
    @pytest.mark.parametrize("chunk_target_s", [ONE_BY_ONE, 0.1])
    def test_errors_are_returned_in_place(self, run: Any, chunk_target_s: float) -> None:
        options: Any = {"on_error": "return", "chunk_target_s": chunk_target_s, **run}
        found: list[Any] = list(scoopsci.map(fail_sometimes, range(100), **options))
        tuples = ((item,) for item in range(100))
        again = list(scoopsci.starmap(fail_sometimes, tuples, **options))
        loose: list[Any] = list(scoopsci.map_as_completed(fail_sometimes, range(100), **options))
        for results in (found, again):
            assert len(results) == 100
            for item, result in enumerate(results):
                if item % 10 == 7:
                    assert isinstance(result, TaskError)
                    assert result.block == item
                    assert repr(result.error) == f"Misfit('of item {item}')"
                    assert result.__cause__ is result.error
                else:
                    assert result == item
        failed = {result.block for result in loose if isinstance(result, TaskError)}
        assert failed == set(range(7, 100, 10))
        assert sorted(r for r in loose if not isinstance(r, TaskError)) == [
            item for item in range(100) if item % 10 != 7
        ]

    @both
    def test_all_may_fail(self, run: Any) -> None:
        found: list[Any] = list(scoopsci.map(int, "abc", on_error="return", **run))
        assert [error.block for error in found] == [0, 1, 2]
        assert all(isinstance(error.__cause__, ValueError) for error in found)

    @both
    @pytest.mark.parametrize("retries", [0, 1, 3])
    @pytest.mark.parametrize("chunk_target_s", [ONE_BY_ONE, 0.1])
    def test_retries(self, run: Any, retries: int, chunk_target_s: float, tmp_path: Path) -> None:
        def fail(item: int) -> int:
            if note(tmp_path, item) <= item % 5:
                raise Misfit(f"of item {item}")
            return item

        options: Any = {"retries": retries, "chunk_target_s": chunk_target_s, **run}
        found = list(scoopsci.map(fail, range(50), on_error="return", **options))
        for item, result in enumerate(found):
            assert isinstance(result, TaskError) is (item % 5 > retries)
        attempts = count_executions(tmp_path)
        assert attempts == {item: min(item % 5, retries) + 1 for item in range(50)}

    @both
    def test_system_exit_is_a_task_error(self, run: Any) -> None:
        found: list[Any] = list(scoopsci.map(leave, range(5), on_error="return", **run))
        assert [isinstance(result, TaskError) for result in found] == [i == 3 for i in range(5)]
        assert isinstance(found[3].__cause__, SystemExit)
        assert found[:3] == [0, 1, 2]
        assert found[4] == 4

    @both
    @all_calls
    def test_stop_iteration_of_a_task_does_not_end_the_map(self, run: Any, call: Any) -> None:
        with pytest.raises(RuntimeError, match="StopIteration") as caught:
            walk(call(lambda item: next(iter(()) if item == 5 else iter([item])), range(9), **run))
        assert isinstance(caught.value.__cause__, TaskError)
        assert caught.value.__cause__.block == 5

    @both
    @pytest.mark.parametrize("seed", [None, 1])
    def test_stop_iteration_is_returned_in_place(self, run: Any, seed: int | None) -> None:
        def stop(*arguments: Any) -> int:
            item = arguments[-1]
            return int(next(iter(()) if item == 5 else iter([item])))

        found = list(scoopsci.map(stop, range(9), on_error="return", seed=seed, **run))
        assert isinstance(found[5], TaskError)
        assert found[:5] + found[6:] == [0, 1, 2, 3, 4, 6, 7, 8]

    @both
    def test_items_that_cannot_be_pickled(self, run: Any) -> None:
        items: list[Any] = [*range(100)]
        items[5] = items[60] = threading.Lock()
        found = list(scoopsci.map(repr, items, on_error="return", **run))
        for item, result in enumerate(found):
            if item in (5, 60):
                assert isinstance(result, TaskError)
                assert (result.block, result.stage) == (item, "pickling the task")
            else:
                assert result == repr(item)

    @both
    def test_results_that_cannot_be_pickled(self, run: Any) -> None:
        def give(item: int) -> Any:
            return threading.Lock() if item in (5, 60) else item

        found = list(scoopsci.map(give, range(100), on_error="return", **run))
        for item, result in enumerate(found):
            if item in (5, 60):
                assert isinstance(result, TaskError)
                assert (result.block, result.stage) == (item, "pickling the result")
            else:
                assert result == item
        with pytest.raises(TaskError, match="pickling the result") as caught:
            list(scoopsci.map(give, range(100), **run))
        assert caught.value.block in (5, 60)

    @both
    @all_calls
    def test_a_function_that_cannot_be_pickled(self, run: Any, call: Any) -> None:
        lock = threading.Lock()
        with pytest.raises(TaskError, match="pickling the task"):
            walk(call(lambda item: (item, lock), range(3), **run))

    def test_poison_is_named(self) -> None:
        with pytest.raises(PoisonTaskError) as caught:
            list(scoopsci.map(die, range(6), poison_after=1, **OWN))
        assert caught.value.block == 4

    def test_poison_is_returned_in_place(self) -> None:
        found: list[Any] = list(scoopsci.map(die, range(30), on_error="return", **OWN))
        assert [isinstance(result, PoisonTaskError) for result in found] == [
            item == 4 for item in range(30)
        ]
        assert found[4].block == 4
        assert found[:4] + found[5:] == [*range(4), *range(5, 30)]

    @both_alone
    @all_calls
    def test_timeout(self, run: Any, call: Any) -> None:
        def sleep(item: int) -> int:
            time.sleep(0.02)
            return item

        with pytest.raises(EngineTimeoutError, match=r"timeout of 0\.2 s"):
            walk(call(sleep, itertools.count(), timeout=0.2, **run))

    def test_time_out_interrupts_a_running_task(self) -> None:
        def sleep(item: int) -> int:
            time.sleep(GENEROUS_S)
            return item

        results = scoopsci.map(sleep, range(3), timeout=0.2, on_error="return", **OWN)
        with pytest.raises(EngineTimeoutError) as caught:
            next(results)
        assert isinstance(caught.value, EngineError)
        assert isinstance(caught.value, TimeoutError)
        assert list(results) == []


def die(item: int) -> int:
    if item == 4:
        os._exit(9)
    return item


def leave(item: int) -> int:
    if item == 3:
        sys.exit("no more")
    return item


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"fn": 5}, TypeError, "fn must be callable, got 5"),
    ({"fn": None}, TypeError, "fn must be callable, got None"),
    ({"inputs": ()}, TypeError, "at least one iterable, got none"),
    ({"inputs": (5,)}, TypeError, "not iterable"),
    ({"inputs": ([1], None)}, TypeError, "not iterable"),
    ({"inputs": (np.array(5),)}, TypeError, "0-d array"),
    ({"speed": 5}, TypeError, "speed"),
    ({"retries": -1}, ValueError, "retries must be at least 0, got -1"),
    ({"retries": 1.5}, TypeError, "retries must be an integer, got 1.5"),
    ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
    ({"seed": 0.5}, TypeError, "seed must be an integer, got 0.5"),
    ({"seed": "7"}, TypeError, "seed must be an integer, got '7'"),
    ({"timeout": 0}, ValueError, "timeout must be a positive number"),
    ({"window": 0}, ValueError, "window must be at least 1, got 0"),
    ({"poison_after": 0}, ValueError, "poison_after must be at least 1"),
    ({"chunk_target_s": -0.1}, ValueError, "chunk_target_s must be a positive number"),
    ({"mixed": 1}, TypeError, "mixed must be True or False"),
    ({"progress": 3}, TypeError, "progress must be True, a callable, or a bar"),
    ({"receipt": 3}, TypeError, "receipt must be callable, got 3"),
    ({"unpack": True}, TypeError, "unpack"),
    ({"workload": "x"}, TypeError, "workload"),
]


class TestWrongUse:
    """Refused at the call, not on iteration, and before workers are started."""

    @all_calls
    @pytest.mark.parametrize(("wrong", "kind", "told"), WRONG, ids=[str(w[0]) for w in WRONG])
    def test_arguments(
        self, call: Any, wrong: dict[str, Any], kind: type[Exception], told: str
    ) -> None:
        options = {"fn": abs, "inputs": ([1],), **SERIAL, **wrong}
        fn, inputs = options.pop("fn"), options.pop("inputs")
        if call is CALLS["map_reduce_by_key"] and fn is not abs:
            pytest.skip("the function is wrapped")
        with pytest.raises(kind, match=re.escape(told)):
            call(fn, *inputs, **options)

    @pytest.mark.parametrize("on_error", ["x", None, True, "RAISE"])
    @pytest.mark.parametrize(
        "call",
        [scoopsci.map, scoopsci.map_as_completed, scoopsci.starmap],
        ids=lambda c: c.__name__,
    )
    def test_on_error(self, call: Any, on_error: Any) -> None:
        with pytest.raises(ValueError, match="on_error must be 'raise' or 'return', got"):
            call(abs, [(1,)], on_error=on_error, **SERIAL)

    @pytest.mark.parametrize("call", ["map_reduce", "map_scan", "map_reduce_by_key"])
    def test_on_error_is_refused_where_results_are_merged(self, call: str) -> None:
        with pytest.raises(TypeError, match="on_error"):
            CALLS[call](abs, [1], on_error="return", **SERIAL)

    @pytest.mark.parametrize("call", ["map", "map_as_completed"])
    def test_merge_is_refused_where_nothing_is_merged(self, call: str) -> None:
        with pytest.raises(TypeError, match="merge"):
            CALLS[call](abs, [1], merge=operator.add, **SERIAL)

    @pytest.mark.parametrize(
        "call",
        [scoopsci.map_reduce, scoopsci.map_scan, scoopsci.map_reduce_by_key],
        ids=lambda call: call.__name__,
    )
    @pytest.mark.parametrize("merge", [None, 5, [1, 2, 3]])
    def test_merge(self, call: Any, merge: Any) -> None:
        with pytest.raises(TypeError, match="merge must be callable as merge"):
            call(abs, merge, [1], **SERIAL)

    @all_calls
    @pytest.mark.parametrize("wrong", [{"engine": "warp"}, {"engine": 5}, {"n_workers": 3}])
    def test_engines_are_refused_by_a_typed_error(self, call: Any, wrong: dict[str, Any]) -> None:
        with pytest.raises((ValueError, TypeError, EngineError)):
            walk(call(abs, [1], **{**SERIAL, **wrong}))


class TestReceipts:
    @both
    @all_calls
    def test_keys(self, run: Any, call: Any) -> None:
        receipts: list[dict[str, Any]] = []
        walk(call(sleep_briefly, range(100), receipt=receipts.append, **run))
        (receipt,) = receipts
        assert json.loads(json.dumps(receipt)) == receipt
        assert receipt["options"]["n_items"] == 100
        done = receipt["run"]
        assert done["engine"] == ("serial" if run is SERIAL else "processes")
        assert done["n_workers"] == (1 if run is SERIAL else 2)
        assert sum(worker["n_blocks"] for worker in done["workers"]) == 100
        assert set(done["times"]) == {
            "start_up_s", "serialising_s", "computing_s", "returning_s", "waiting_s"
        }  # fmt: skip
        assert done["times"]["computing_s"] >= 100 * 0.001 / done["n_workers"]
        assert done["sent_bytes"] > 0
        assert done["returned_bytes"] > 0
        assert (done["n_lost_tasks"], done["n_retried_tasks"], done["mixed"]) == (0, 0, False)

    def test_receipt_has_what_the_result_depends_on(self) -> None:
        receipts: list[dict[str, Any]] = []

        def receive(**more: Any) -> dict[str, Any]:
            scoopsci.map_reduce(abs, more.pop("merge", max), [1], receipt=receipts.append, **more)
            receipt = receipts.pop()
            return {name: receipt[name] for name in ("workload", "options", "code", "stream")}

        assert receive(engine="serial") == receive(**PROCESSES, retries=3)
        assert receive(**SERIAL) != receive(merge=min, **SERIAL)
        assert receive(**SERIAL)["workload"] == "map_reduce"
        assert receive(**SERIAL)["options"]["seed"] is None

    def test_unknown_length_is_none(self) -> None:
        receipts: list[dict[str, Any]] = []
        list(scoopsci.map(abs, iter([1, 2]), receipt=receipts.append, **SERIAL))
        assert receipts[0]["options"]["n_items"] is None

    @both
    def test_a_run_that_has_not_ended_has_none(self, run: Any) -> None:
        receipts: list[dict[str, Any]] = []
        with scoopsci.map(abs, itertools.count(), receipt=receipts.append, **run) as results:
            next(results)
        with pytest.raises(ValueError, match="invalid literal"):
            list(scoopsci.map(int, "x", receipt=receipts.append, **run))
        assert receipts == []

    @both
    def test_failures_are_counted(self, run: Any, tmp_path: Path) -> None:
        def fail_once(item: int) -> int:
            if item in (3, 60) and note(tmp_path, item) == 1:
                raise Misfit
            return item

        receipts: list[dict[str, Any]] = []
        list(scoopsci.map(fail_once, range(99), retries=1, receipt=receipts.append, **run))
        assert receipts[0]["run"]["n_retried_tasks"] == 2

    @pytest.mark.parametrize("kind", ["array", "bytes"])
    def test_a_large_function_is_not_sent_with_every_chunk(self, kind: str, tmp_path: Path) -> None:
        size = 50_000_000
        load: Any = np.ones(size, np.uint8) if kind == "array" else b"\x01" * size

        def pick(item: int) -> int:
            meet(tmp_path, 2)
            return int(load[item])

        receipts: list[dict[str, Any]] = []
        options: Any = {"chunk_target_s": ONE_BY_ONE, "receipt": receipts.append, **PROCESSES}
        assert sum(scoopsci.map(pick, range(200), **options)) == 200
        # Each of two workers needs it once; which one takes a task is not known beforehand.
        assert 2 * size <= receipts[0]["run"]["sent_bytes"] <= 4 * size

    def test_slices_of_an_array_are_sent_once(self) -> None:
        receipts: list[dict[str, Any]] = []
        numbers = np.ones((1_000, 1_000))
        rows = scoopsci.map(np.sum, numbers, receipt=receipts.append, **PROCESSES)
        assert sum(rows) == 1_000_000
        assert 8_000_000 <= receipts[0]["run"]["sent_bytes"] <= 9_000_000


class TestNested:
    @both
    def test_runs_serially_with_the_same_results(self, run: Any) -> None:
        def nest(item: int) -> tuple[str, list[int], int]:
            receipts: list[dict[str, Any]] = []
            found = list(scoopsci.map(pow, range(9), [item] * 9, receipt=receipts.append, **OWN))
            total = scoopsci.map_reduce(abs, operator.add, found, engine="processes")
            return receipts[0]["run"]["engine"], found, total

        for item, (engine, found, total) in enumerate(scoopsci.map(nest, range(6), **run)):
            assert engine == "serial"
            assert found == [k**item for k in range(9)]
            assert total == sum(found)

    def test_an_open_engine_of_the_caller_s_stays_open(self) -> None:
        with scoopsci.open_engine("serial") as engine:
            nest = lambda item: sum(scoopsci.map(abs, range(item), engine="auto"))  # noqa: E731
            assert list(scoopsci.map(nest, range(5), engine=engine)) == [0, 0, 1, 3, 6]


class Rounded(float):
    """Has a repr that does not show its value."""

    def __repr__(self) -> str:
        return f"{float(self):.1f}"


ONE_FIELD = np.dtype([("x", "f8")])

#: Pairs of items that differ: results for one must not be used for the other.
DIFFERENT: list[tuple[Any, Any]] = [
    (1, 2),
    (1, 1.0),
    (0.0, -0.0),
    ("a", b"a"),
    (1.0, 1.0 + 2**-52),
    (np.float32(1), np.float64(1)),
    ([1, [2]], [1, [3]]),
    ({"a": 1}, {"a": 2}),
    ({1, 2}, {1, 3}),
    (np.arange(3), np.arange(3.0)),
    (np.arange(3), np.arange(3)[::-1]),
    (np.zeros((2, 3)), np.zeros((3, 2))),
    (np.array([1, None]), np.array([2, None])),
    (np.array([(1.0,)], ONE_FIELD)[0], np.array([(1.0 + 2**-52,)], ONE_FIELD)[0]),
    (np.ma.masked_equal([1, 2], 1), np.ma.masked_equal([1, 2], 2)),
    (np.datetime64("2020-01-01"), np.datetime64("2021-01-01")),
    (datetime.date(2020, 1, 1), datetime.date(2021, 1, 1)),
    (datetime.datetime(2020, 1, 1), datetime.datetime(2021, 1, 1)),
    (datetime.timedelta(1), datetime.timedelta(2)),
    (Decimal("0.1"), Decimal("0.2")),
    (Fraction(1, 2), Fraction(1, 3)),
    (Path("a"), Path("b")),
    (bytearray(b"a"), bytearray(b"b")),
    (deque([1]), deque([2])),
    (array.array("d", [1]), array.array("d", [2])),
    (re.compile("a"), re.compile("b")),
    (slice(1), slice(2)),
    (Counter("a"), Counter("b")),
    (Rounded(1.01), Rounded(1.02)),
    (np.random.default_rng(1), np.random.default_rng(2)),
    (random.Random(1), random.Random(2)),
]


class TestLedger:
    """Within one process; killed drivers are in tests/cluster/test_map_scripts.py."""

    @pytest.mark.parametrize(
        ("first", "second"), [(SERIAL, PROCESSES), (PROCESSES, SERIAL)], ids=["to", "from"]
    )
    @pytest.mark.parametrize("call", [scoopsci.map, scoopsci.map_as_completed, CALLS["map_scan"]])
    def test_an_unfinished_run_is_resumed(
        self, tmp_path: Path, call: Any, first: Any, second: Any
    ) -> None:
        marks = tmp_path / "marks"
        marks.mkdir()
        visit = functools.partial(visit_for, marks)
        options: Any = {"ledger": tmp_path / "ledger", "chunk_target_s": 0.005}
        with call(visit, range(200), **options, **first) as results:
            seen = list(itertools.islice(results, 70))
        before = count_executions(marks)
        receipts: list[dict[str, Any]] = []
        found = list(call(visit, range(200), receipt=receipts.append, **options, **second))
        after = count_executions(marks)
        if call is scoopsci.map:
            assert seen == list(range(70)) == found[:70]
        assert sorted(found) == sorted(walk(call(abs, range(200), **SERIAL)))
        n_recalled = receipts[0]["run"]["n_recalled_blocks"]
        assert n_recalled >= 70, "a result is on disk before it is yielded"
        n_again = sum(after[item] > count for item, count in before.items())
        assert n_again == len(before) - n_recalled
        assert set(after) == set(range(200))

    @both
    @all_calls
    def test_a_finished_run_is_read_back(self, tmp_path: Path, run: Any, call: Any) -> None:
        marks = tmp_path / "marks"
        marks.mkdir()
        visit = functools.partial(visit_for, marks)
        options: Any = {"ledger": tmp_path / "ledger", **run}
        found = [walk(call(visit, range(100), **options)) for _ in range(2)]
        if call is scoopsci.map_as_completed:
            found = [sorted(results) for results in found]
        assert found[0] == found[1]
        assert count_executions(marks) == dict.fromkeys(range(100), 1)

    @both
    @all_calls
    def test_more_items_continue_it(self, tmp_path: Path, run: Any, call: Any) -> None:
        marks = tmp_path / "marks"
        marks.mkdir()
        visit = functools.partial(visit_for, marks)
        options: Any = {"ledger": tmp_path / "ledger", **run}
        walk(call(visit, range(77), **options))
        found = walk(call(visit, iter(range(200)), **options))
        expected = walk(call(abs, range(200), **SERIAL))
        assert sorted(found) == sorted(expected) if isinstance(found, list) else found == expected
        assert count_executions(marks) == dict.fromkeys(range(200), 1)

    def test_only_failed_items_are_retried(self, tmp_path: Path) -> None:
        marks, mended = tmp_path / "marks", str(tmp_path / "mended")
        marks.mkdir()

        def fail(item: int) -> int:
            note(marks, item)
            if item % 10 == 7 and not os.path.exists(mended):
                raise Misfit(f"of item {item}")
            return -item

        options: Any = {"ledger": tmp_path / "ledger", "on_error": "return"}
        for _ in range(2):
            found = list(scoopsci.map(fail, range(50), **options, **PROCESSES))
            failed = [item for item, result in enumerate(found) if isinstance(result, TaskError)]
            assert failed == [7, 17, 27, 37, 47]
        Path(mended).touch()
        assert list(scoopsci.map(fail, range(50), **options, **SERIAL)) == [
            -item for item in range(50)
        ]
        assert count_executions(marks) == {item: 3 if item % 10 == 7 else 1 for item in range(50)}

    def test_map_and_map_as_completed_share_one(self, tmp_path: Path) -> None:
        marks = tmp_path / "marks"
        marks.mkdir()
        visit = functools.partial(visit_for, marks)
        options: Any = {"ledger": tmp_path / "ledger"}
        assert list(scoopsci.map(visit, range(20), **options, **SERIAL)) == list(range(20))
        found = scoopsci.map_as_completed(visit, range(20), **options, **SERIAL)
        assert sorted(found) == list(range(20))
        assert count_executions(marks) == dict.fromkeys(range(20), 1)

    @all_calls
    def test_the_ledger_of_another_run_is_refused(self, tmp_path: Path, call: Any) -> None:
        ledger = tmp_path / "ledger"
        walk(call(abs, range(10), ledger=ledger, **SERIAL))
        size = ledger.stat().st_size
        for fn, inputs, more in [
            (operator.neg, range(10), {}),
            (abs, range(1, 11), {}),
            (abs, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9.0], {}),
            (abs, range(9), {}),
            (abs, range(10), {"seed": 1}),
        ]:
            with pytest.raises(LedgerError, match="is the ledger of another run"):
                walk(call(fn, inputs, ledger=ledger, **more, **SERIAL))
        assert ledger.stat().st_size == size
        walk(call(abs, range(10), ledger=ledger, **SERIAL))

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (lambda a: a + 1, lambda a: a + 2),
            (functools.partial(pow, 2), functools.partial(pow, 3)),
            (np.exp, np.log),
        ],
        ids=["lambda", "partial", "ufunc"],
    )
    def test_another_function_is_told_from_it(self, tmp_path: Path, one: Any, other: Any) -> None:
        list(scoopsci.map(one, [3], ledger=tmp_path / "ledger", **SERIAL))
        with pytest.raises(LedgerError, match="code is"):
            list(scoopsci.map(other, [3], ledger=tmp_path / "ledger", **SERIAL))

    @pytest.mark.parametrize(
        ("one", "other"),
        DIFFERENT,
        ids=[f"{type(a).__name__}-{i}" for i, (a, _) in enumerate(DIFFERENT)],
    )
    def test_another_input_is_told_from_it(self, tmp_path: Path, one: Any, other: Any) -> None:
        ledger = tmp_path / "ledger"
        found = list(scoopsci.map(repr, [one], ledger=ledger, **SERIAL))
        assert list(scoopsci.map(repr, [one], ledger=ledger, **SERIAL)) == found
        with pytest.raises(LedgerError, match="the inputs of blocks 0 to 0 were different"):
            list(scoopsci.map(repr, [other], ledger=ledger, **SERIAL))

    @pytest.mark.filterwarnings("ignore:the function has captured:scoopsci.DoubtfulEstimateWarning")
    @pytest.mark.parametrize(
        ("one", "other"),
        DIFFERENT,
        ids=[f"{type(a).__name__}-{i}" for i, (a, _) in enumerate(DIFFERENT)],
    )
    def test_a_function_that_carries_another_value_is_told_from_it(
        self, tmp_path: Path, one: Any, other: Any
    ) -> None:
        list(scoopsci.map(lambda _: repr(one), [0], ledger=tmp_path / "ledger", **SERIAL))
        fn = functools.partial(lambda value, _: repr(value), one)
        list(scoopsci.map(fn, [0], ledger=tmp_path / "partial", **SERIAL))
        fn = functools.partial(lambda value, _: repr(value), other)
        with pytest.raises(LedgerError, match="code is"):
            list(scoopsci.map(fn, [0], ledger=tmp_path / "partial", **SERIAL))

    @pytest.mark.parametrize(
        ("value", "use"), [(Path("a", "b"), str), (Path("a", "b"), Path.exists)]
    )
    def test_using_a_value_does_not_change_its_hash(
        self, tmp_path: Path, value: Any, use: Callable[[Any], object]
    ) -> None:
        """What an object caches in use is not part of its value."""
        options: Any = {"ledger": tmp_path / "ledger", **SERIAL}
        carry = functools.partial(lambda value, item: repr((value, item)), value)
        found = list(scoopsci.map(carry, [value], **options))
        use(value)
        assert list(scoopsci.map(carry, [value], **options)) == found

    def test_another_merge_is_refused(self, tmp_path: Path) -> None:
        calls: list[Any] = [scoopsci.map_reduce, scoopsci.map_scan, merge_by_key]
        for number, call in enumerate(calls):
            ledger = tmp_path / str(number)
            walk(call(abs, operator.add, range(9), ledger=ledger, **SERIAL))
            with pytest.raises(LedgerError, match="merge is"):
                walk(call(abs, operator.mul, range(9), ledger=ledger, **SERIAL))

    def test_another_workload_is_refused(self, tmp_path: Path) -> None:
        ledger = tmp_path / "ledger"
        scoopsci.map_reduce(abs, operator.add, range(9), ledger=ledger, **SERIAL)
        for call in ("map", "map_scan", "map_reduce_by_key"):
            with pytest.raises(LedgerError, match="workload is"):
                walk(CALLS[call](abs, range(9), ledger=ledger, **SERIAL))

    def test_one_run_at_a_time(self, tmp_path: Path) -> None:
        options: Any = {"ledger": tmp_path / "ledger", **SERIAL}
        with scoopsci.map(abs, range(99), **options) as results:
            next(results)
            with pytest.raises(LedgerError, match="in use by another run"):
                list(scoopsci.map(abs, range(99), **options))
        assert list(scoopsci.map(abs, range(99), **options)) == list(range(99))


def visit_for(marks: Path, item: int) -> int:
    note(marks, item)
    time.sleep(0.001)
    return item


GROWTH = """
import sys
import scoopsci

def peak_bytes():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024

def give(item):
    return bytes(150)

def consume(call, n_items, lazily, **run):
    inputs = iter(range(n_items)) if lazily else range(n_items)
    n_told = sum(1 for _ in getattr(scoopsci, call)(give, inputs, **run))
    assert n_told == n_items

call, n_items, name, lazily = sys.argv[1:]
with scoopsci.open_engine(name, n_workers=1 if name == "serial" else 2) as engine:
    consume(call, 50_000, False, engine=engine)  # a worker that starts late delays the others
    before = peak_bytes()
    consume(call, int(n_items), lazily == "lazily", engine=engine)
print(peak_bytes() - before)
"""


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("call", "engine", "lazily"),
    [
        ("map", "serial", "lazily"),
        pytest.param("map", "processes", "lazily", marks=pytest.mark.slow),
        ("map", "processes", "sliced"),
        ("map_as_completed", "processes", "sliced"),
    ],
)
def test_memory_is_flat_if_results_are_consumed_as_they_arrive(
    call: str, engine: str, lazily: str
) -> None:
    """Three million results of 183 bytes take 549 MB; most are freed before the last come."""
    grown = [
        int(
            subprocess.run(
                [sys.executable, "-c", GROWTH, call, str(n_items), engine, lazily],
                capture_output=True,
                check=True,
                text=True,
                timeout=140,
            ).stdout
        )
        for n_items in (300_000, 3_000_000)
    ]
    assert grown[1] <= grown[0] + 200e6, grown


def test_an_executor_of_another_library() -> None:
    with Shuffled(1) as executor:
        run: Any = {"engine": executor, "n_workers": 8, "chunk_target_s": 0.001}
        assert find_bits(20_000, 2_000, **run) == find_bits(20_000, 2_000, **SERIAL)
        with contextlib.closing(scoopsci.map(abs, itertools.count(), **run)) as results:
            assert list(itertools.islice(results, 100)) == list(range(100))
        assert executor.submit(int).result(GENEROUS_S) == 0
