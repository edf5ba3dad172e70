"""The ledger: what it stores, what it refuses, and that recorded blocks are never rerun."""

from __future__ import annotations

import contextlib
import datetime
import functools
import json
import os
import secrets
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest

import scoopsci
from scoopsci import EngineError, LedgerError, ScoopsciError, TaskError, WorkerLostError
from scoopsci.engines.payload import in_task
from scoopsci.road.blocks import Range
from scoopsci.road.chunks import CallEach, FoldBlocks, ListBlocks
from scoopsci.road.ledger import Ledger, open_ledger
from scoopsci.road.options import RunOptions
from scoopsci.road.replay import describe_ledger, replay_block, verify_ledger
from scoopsci.road.runs import Run, fold_run
from tests.conftest import REPOSITORY, end_session, require, wait_for_end
from tests.counted import Counted
from tests.executors import FirstTwo, OtherHosts
from tests.merging import bracket

# The functions of this file are pickled by value, like those of a notebook or script.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

IDENTITY = {"workload": "test"}
ONE_BY_ONE = 1e-9  # a chunk target so short that every chunk is one block

LedgerPath = Path | str


def mark_and_name(folder: Path, block: int) -> str:
    """Leave a mark for each execution."""
    (folder / f"{block}-{secrets.token_hex(8)}").touch()
    return f"[{block}]"


def count_marks(folder: Path) -> Counter[int]:
    return Counter(int(mark.name.split("-")[0]) for mark in folder.iterdir())


def run(
    fn: Callable[..., Any],
    inputs: Iterable[Any],
    ledger: LedgerPath | None,
    *,
    identity: dict[str, Any] = IDENTITY,
    stand_in: Callable[[TaskError], Any] | None = None,
    **options: Any,
) -> tuple[list[Any], dict[str, Any]]:
    """Return the results in order, and the description."""
    each = CallEach(fn, seed=options.pop("seed", None))
    how: Any = {"engine": "serial", "ledger": ledger, **options}
    walk = Run(ListBlocks(each), inputs, how, identity=identity, stand_in=stand_in)
    results = [item for _, part in walk.partials(in_order=True) for item in part]
    return results, walk.description


def fold_names(n_blocks: int, options: RunOptions) -> tuple[str, dict[str, Any]]:
    """Fold the names of blocks; the result shows every merge."""
    each = CallEach(lambda block: f"[{block}]")
    options = {"engine": "serial", **options}
    return fold_run(each, bracket, range(n_blocks), options, identity=IDENTITY)


def replay_first(path: Path) -> Any:
    return replay_block(path, 0)


def add(ledger: Ledger, finished: Iterable[tuple[Range, str, Any]]) -> None:
    ledger.add(finished, {"numpy": "2", "battery": "a", "host": "node1"})


def read(ledger: Ledger, blocks: Range, inputs: str) -> Any:
    return ledger.read(blocks, inputs)[0]


def read_ranges(path: Path) -> dict[tuple[int, int], bytes]:
    """Read the rows without touching the file: a copy is opened."""
    copy = path.with_name(f"copy-of-{path.name}")
    for suffix in ("", "-wal"):
        if path.with_name(path.name + suffix).exists():
            shutil.copy(path.with_name(path.name + suffix), copy.with_name(copy.name + suffix))
    with contextlib.closing(sqlite3.connect(copy)) as database:
        rows = database.execute("SELECT start, stop, partial FROM ranges ORDER BY start").fetchall()
    for suffix in ("", "-wal", "-shm"):
        copy.with_name(copy.name + suffix).unlink(missing_ok=True)
    return {(start, stop): partial for start, stop, partial in rows}


def read_blocks(path: Path) -> set[int]:
    return {block for start, stop in read_ranges(path) for block in range(start, stop)}


def take_files(path: Path) -> dict[str, bytes]:
    return {
        file.name: file.read_bytes() for file in path.parent.iterdir() if path.name in file.name
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.ledger"


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    folder = tmp_path / "marks"
    folder.mkdir()
    return folder


@pytest.fixture(autouse=True, scope="module")
def first_loss() -> None:
    """Lose a worker once: loky keeps open the pipes of its tracker and of its last loss."""
    with scoopsci.open_engine("processes", n_workers=1) as engine, pytest.raises(WorkerLostError):
        engine.submit(os._exit, 3).result()


class TestFile:
    def test_added_ranges_are_found_again(self, path: Path) -> None:
        partials: list[Any] = [1.5, "two", {"three": [4, None]}, np.arange(5.0), lambda: 6]
        with open_ledger(path, IDENTITY) as ledger:
            assert ledger is not None
            assert ledger.find_ranges() == []
            add(ledger, [(Range(b, b + 1), f"hash {b}", p) for b, p in enumerate(partials)])
        with open_ledger(path, IDENTITY) as ledger:
            assert ledger is not None
            assert ledger.find_ranges() == [Range(b, b + 1) for b in range(5)]
            found = [read(ledger, Range(b, b + 1), f"hash {b}") for b in range(5)]
        assert found[:3] == partials[:3]
        assert found[3].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
        assert found[4]() == 6

    def test_no_path_means_no_ledger(self) -> None:
        with open_ledger(None, IDENTITY) as ledger:
            assert ledger is None

    @pytest.mark.parametrize("kind", [str, Path, os.fsencode], ids=["str", "Path", "bytes"])
    def test_paths_of_any_kind(self, path: Path, kind: Callable[[Path], Any]) -> None:
        given = kind(path)
        if isinstance(given, bytes):
            with pytest.raises(TypeError, match="bytes"):
                Ledger(given, IDENTITY)  # type: ignore[arg-type]
            return
        Ledger(given, IDENTITY).close()
        assert path.exists()

    def test_ranges_found_are_disjoint_the_largest_first(self, path: Path) -> None:
        """As left by a run with single blocks and one with whole chunks."""
        held = [(1, 2), (0, 1), (2, 4), (0, 4), (0, 2), (6, 7), (8, 16), (12, 13), (15, 16), (7, 8)]
        with open_ledger(path, IDENTITY) as ledger:
            assert ledger is not None
            add(ledger, [(Range(*ends), "", str(ends)) for ends in held])
            expected = [Range(0, 4), Range(6, 7), Range(7, 8), Range(8, 16)]
            assert ledger.find_ranges() == expected
            assert read(ledger, Range(0, 4), "") == "(0, 4)"

    def test_a_range_added_again_replaces_the_first(self, path: Path) -> None:
        with open_ledger(path, IDENTITY) as ledger:
            assert ledger is not None
            add(ledger, [(Range(0, 1), "a", 1)])
            add(ledger, [(Range(0, 1), "b", 2)])
            assert read(ledger, Range(0, 1), "b") == 2

    def test_adding_is_all_or_nothing(self, path: Path) -> None:
        def give() -> Iterator[tuple[Range, str, Any]]:
            yield Range(0, 1), "", 1
            raise LookupError("no more")

        with open_ledger(path, IDENTITY) as ledger:
            assert ledger is not None
            with pytest.raises(LookupError, match="no more"):
                add(ledger, give())
            assert ledger.find_ranges() == []
            add(ledger, [(Range(0, 1), "", 1)])
            assert ledger.find_ranges() == [Range(0, 1)]

    def test_one_file_stays_after_an_orderly_end(self, path: Path) -> None:
        for n_blocks in (20, 40):
            run(str, range(n_blocks), path, chunk_target_s=ONE_BY_ONE)
            assert [file.name for file in path.parent.iterdir()] == [path.name]

    def test_one_file_stays_after_an_error(self, path: Path) -> None:
        with pytest.raises(TaskError):
            run(lambda value: 1 // (30 - value), range(50), path, chunk_target_s=ONE_BY_ONE)
        assert [file.name for file in path.parent.iterdir()] == [path.name]
        assert read_blocks(path) - {31} == set(range(30)), "31 may have been in flight"

    def test_no_memory_is_shared_with_others(self, path: Path) -> None:
        """Cluster file systems often lack it; neither the first nor a later opening needs it."""
        for _ in range(2):
            with open_ledger(path, IDENTITY) as ledger:
                assert ledger is not None
                add(ledger, [(Range(0, 1), "", 1)])
                names = {file.name for file in path.parent.iterdir()}
                assert names <= {path.name, f"{path.name}-wal"}

    def test_the_working_folder_may_change_during_a_run(
        self, path: Path, marks: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(path.parent)
        work, options = ListBlocks(CallEach(str)), {"engine": "serial", "ledger": path.name}
        how: Any = {**options, "chunk_target_s": ONE_BY_ONE}
        partials = Run(work, range(20), how, identity=IDENTITY).partials()
        next(partials)
        monkeypatch.chdir(marks)
        assert sum(1 for _ in partials) == 19
        assert read_blocks(path) == set(range(20))
        assert list(marks.iterdir()) == []

    @pytest.mark.parametrize("is_moved", [True, False])
    def test_a_file_that_vanishes_during_a_run(self, is_moved: bool, path: Path) -> None:
        """Otherwise later writes would be lost, or lack their log."""
        options: Any = {"engine": "serial", "ledger": path, "chunk_target_s": ONE_BY_ONE}
        work = ListBlocks(CallEach(str))
        partials = Run(work, range(20), options, identity=IDENTITY).partials()
        next(partials)
        if is_moved:
            path.rename(path.with_name("elsewhere"))
        else:
            path.unlink()
        with pytest.raises(LedgerError, match="was moved or deleted during the run"):
            list(partials)

    def test_an_empty_file_becomes_a_ledger(self, path: Path) -> None:
        path.touch()
        assert run(str, range(3), path)[0] == ["0", "1", "2"]
        assert read_blocks(path) == {0, 1, 2}

    def test_it_may_be_used_by_another_thread(self, path: Path) -> None:
        with ThreadPoolExecutor(1) as pool:
            found, _ = pool.submit(run, str, range(3), path).result()
            walk = Run(ListBlocks(CallEach(str)), range(5), {"engine": "serial", "ledger": path},
                       identity=IDENTITY).partials()  # fmt: skip
            next(walk)
            pool.submit(walk.close).result()
        assert found == ["0", "1", "2"]


class TestResume:
    @pytest.mark.parametrize("first", ["serial", "threads", "processes"])
    @pytest.mark.parametrize("second", ["serial", "threads", "processes"])
    def test_what_is_recorded_is_not_run_again(
        self, first: str, second: str, path: Path, marks: Path
    ) -> None:
        class Stop(Exception):
            pass

        def stop_at_half(state: Any) -> None:
            if state.n_done >= 50:
                raise Stop

        with ThreadPoolExecutor(3) as pool:
            engines: dict[str, Any] = {
                "serial": {"engine": "serial"},
                "threads": {"engine": pool},
                "processes": {"engine": "processes", "n_workers": 2},
            }
            fn = functools.partial(mark_and_name, marks)
            with pytest.raises(Stop):
                run(fn, range(100), path, **engines[first], progress=stop_at_half,
                    chunk_target_s=0.01)  # fmt: skip
            recorded, before = read_blocks(path), count_marks(marks)
            assert len(recorded) >= 50
            found, done = run(fn, range(100), path, **engines[second])
        after = count_marks(marks)
        assert found == [f"[{block}]" for block in range(100)]
        assert done["n_recalled_blocks"] == len(recorded)
        assert {block: after[block] for block in recorded} == {b: before[b] for b in recorded}
        assert set(after) == set(range(100))

    def test_a_finished_run_runs_nothing(self, path: Path, marks: Path) -> None:
        fn = functools.partial(mark_and_name, marks)
        first, _ = run(fn, range(40), path)
        second, done = run(fn, range(40), path)
        assert first == second
        assert count_marks(marks) == dict.fromkeys(range(40), 1)
        assert (done["n_recalled_blocks"], done["workers"]) == (40, [])

    @pytest.mark.parametrize("make", [list, tuple, np.array, iter])
    def test_more_inputs_extend_a_run(
        self, make: Callable[[list[int]], Any], path: Path, marks: Path
    ) -> None:
        fn = functools.partial(mark_and_name, marks)
        run(fn, make([*range(40)]), path)
        found, done = run(fn, make([*range(100)]), path)
        assert found == [f"[{block}]" for block in range(100)]
        assert done["n_recalled_blocks"] == 40
        assert count_marks(marks) == dict.fromkeys(range(100), 1)

    def test_a_range_a_list_and_an_array_of_the_same_items_are_the_same(self, path: Path) -> None:
        run(str, range(10), path)
        assert run(str, [*range(10)], path)[1]["n_recalled_blocks"] == 10
        assert run(str, iter(range(10)), path)[1]["n_recalled_blocks"] == 10

    def test_rows_of_an_array(self, path: Path) -> None:
        rows = np.arange(30.0).reshape(10, 3)
        first, _ = run(lambda row: row.sum(), rows, path)
        second, done = run(lambda row: row.sum(), list(rows), path)
        assert first == second
        assert done["n_recalled_blocks"] == 10

    @pytest.mark.parametrize("n_before", [1, 37, 99, 100])
    def test_folded_bits_do_not_depend_on_what_is_recalled(self, n_before: int, path: Path) -> None:
        """Single blocks are recorded, and merged with ranges from chunks."""
        fold_names(n_before, {"ledger": path, "chunk_target_s": ONE_BY_ONE})
        found, done = fold_names(100, {"ledger": path})
        assert done["n_recalled_blocks"] == n_before
        assert found == fold_names(100, {})[0]

    @pytest.mark.parametrize("holes", [{0}, {0, 1, 2}, {7}, {31}, {3, 4, 19}, set(range(32))])
    def test_gaps_are_filled(self, holes: set[int], path: Path, marks: Path) -> None:
        fn = functools.partial(mark_and_name, marks)
        run(fn, range(32), path, chunk_target_s=ONE_BY_ONE)
        with contextlib.closing(sqlite3.connect(path)) as database, database:
            for block in holes:
                database.execute("DELETE FROM ranges WHERE start = ?", (block,))
        found, done = run(fn, range(32), path)
        assert found == [f"[{block}]" for block in range(32)]
        assert done["n_recalled_blocks"] == 32 - len(holes)
        assert count_marks(marks) == {b: 1 + (b in holes) for b in range(32)}

    def test_streams_do_not_depend_on_what_is_recalled(self, path: Path) -> None:
        def draw(rng: np.random.Generator, value: int) -> float:
            return rng.random()

        expected, _ = run(draw, range(20), None, seed=5)
        run(draw, range(8), path, seed=5)
        assert run(draw, range(20), path, seed=5)[0] == expected

    def test_ended_tasks_are_recorded_at_an_early_close(self, path: Path, marks: Path) -> None:
        fn = functools.partial(mark_and_name, marks)
        executor = FirstTwo()
        options: Any = {"engine": executor, "ledger": path, "window": 4}
        told = Run(ListBlocks(CallEach(fn)), range(9), options, identity=IDENTITY).partials()
        next(told)
        told.close()
        assert count_marks(marks) == {0: 1, 1: 1}
        assert read_blocks(path) == {0, 1}, "the second had ended, and was not yet yielded"

    def test_ended_tasks_are_recorded_at_an_error(self, path: Path) -> None:
        """Both tasks have ended when the error of the first one is processed."""
        executor = FirstTwo()
        with pytest.raises(TaskError, match="block 0"):
            run(lambda value: 1 // value, range(9), path, engine=executor, window=4)
        assert read_blocks(path) == {1}

    def test_partials_are_on_disk_before_they_are_yielded(self, path: Path) -> None:
        work = FoldBlocks(CallEach(str), bracket)
        options: Any = {"engine": "serial", "ledger": path, "chunk_target_s": 0.01}
        told: set[int] = set()
        for blocks, _ in Run(work, range(300), options, identity=IDENTITY).partials():
            told |= set(range(blocks.start, blocks.stop))
            assert told <= read_blocks(path)


class TestFaults:
    """With failures, retries and deaths."""

    @pytest.mark.parametrize("chunk_target_s", [ONE_BY_ONE, 1.0])
    def test_blocks_that_failed_are_tried_again(
        self, chunk_target_s: float, path: Path, marks: Path
    ) -> None:
        def fail_first(block: int) -> str:
            name = mark_and_name(marks, block)
            if block in (0, 5, 6, 39) and count_marks(marks)[block] == 1:
                raise ArithmeticError(name)
            return name

        options: Any = {"stand_in": lambda e: [f"<{e.block}>"], "chunk_target_s": chunk_target_s}
        first, _ = run(fail_first, range(40), path, **options)
        assert [name for name in first if name.startswith("<")] == ["<0>", "<5>", "<6>", "<39>"]
        assert read_blocks(path) == set(range(40)) - {0, 5, 6, 39}
        second, done = run(fail_first, range(40), path, **options)
        assert second == [f"[{block}]" for block in range(40)]
        assert done["n_recalled_blocks"] == 36
        assert count_marks(marks) == {b: 1 + (b in (0, 5, 6, 39)) for b in range(40)}

    def test_a_block_that_succeeds_in_the_end_is_recorded(self, path: Path, marks: Path) -> None:
        def fail_twice(block: int) -> str:
            name = mark_and_name(marks, block)
            if block % 10 == 3 and count_marks(marks)[block] < 3:
                raise ArithmeticError(name)
            return name

        found, done = run(fail_twice, range(40), path, retries=2)
        assert found == [f"[{block}]" for block in range(40)]
        assert done["n_retried_tasks"] == 8
        assert count_marks(marks) == {b: 3 if b % 10 == 3 else 1 for b in range(40)}
        assert read_blocks(path) == set(range(40))
        assert run(fail_twice, range(40), path)[1]["n_recalled_blocks"] == 40

    def test_the_blocks_before_an_error_are_recorded(self, path: Path, marks: Path) -> None:
        fn = functools.partial(mark_and_name, marks)

        def fail_at_30(block: int) -> str:
            if block == 30:
                raise ArithmeticError
            return fn(block)

        with pytest.raises(TaskError, match="block 30"):
            run(fail_at_30, range(40), path, chunk_target_s=1.0)
        assert read_blocks(path) >= set(range(30))
        found, _ = run(fn, range(40), path)
        assert found == [f"[{block}]" for block in range(40)]
        assert count_marks(marks) == dict.fromkeys(range(40), 1)

    def test_deaths_of_workers_do_not_matter(self, path: Path, marks: Path) -> None:
        def die_first(block: int) -> str:
            name = mark_and_name(marks, block)
            if block in (7, 20) and count_marks(marks)[block] == 1:
                os._exit(3)
            return name

        options: Any = {"engine": "processes", "n_workers": 2}
        found, done = run(die_first, range(40), path, **options)
        assert found == [f"[{block}]" for block in range(40)]
        assert done["n_lost_tasks"] >= 2
        before = count_marks(marks)
        assert run(die_first, range(40), path, **options)[0] == found
        assert count_marks(marks) == before, "nothing is run the second time"

    def test_poison_leaves_the_others_recorded(self, path: Path) -> None:
        def die(block: int) -> int:
            if block == 20:
                os._exit(3)
            return block

        options: Any = {"poison_after": 1, "chunk_target_s": ONE_BY_ONE}
        with scoopsci.open_engine("processes", n_workers=1) as engine:
            with pytest.raises(scoopsci.PoisonTaskError, match="block 20"):
                run(die, range(40), path, engine=engine, **options)
            assert engine.submit(int).result() == 0
        assert read_blocks(path) >= set(range(20))
        assert 20 not in read_blocks(path)

    def test_a_partial_that_cannot_be_pickled_again(self, path: Path) -> None:
        """It arrived from its worker, but cannot be written to the file."""
        with pytest.raises(ScoopsciError, match=r"(?i)pickle"):
            run(OnlyOnce, range(10), path)
        assert read_blocks(path) == set()
        assert [str(one) for one in run(OnlyOnce, range(10), None)[0]] == ["once"] * 10

    def test_hosts_that_differ_are_not_mixed_through_the_ledger(self, path: Path) -> None:
        """Contract 1: only a host that computes alike may continue a run, unless it is mixed."""
        other = {"host": "node2", "pid": 1, "battery": "f" * 16}
        run(str, range(5), path, engine=OtherHosts(other))
        with pytest.raises((EngineError, LedgerError), match=r"differ|mixed|battery"):
            run(str, range(10), path)
        found, done = run(str, range(10), path, mixed=True)
        assert found == [str(value) for value in range(10)]
        assert done["mixed"] is True

    def test_a_run_stopped_by_hosts_that_differ_can_be_finished_by_one(self, path: Path) -> None:
        """What the other host had finished is not recorded: neither could use the file then."""
        executor = TwoHosts({"host": "node2", "pid": 1, "battery": "f" * 16})
        with pytest.raises(EngineError, match="node2"):
            run(str, range(9), path, engine=executor, window=4)
        found, done = run(str, range(9), path)
        assert found == [str(value) for value in range(9)]
        assert done["n_recalled_blocks"] == 1
        assert done["mixed"] is False


class OnlyOnce:
    """Can be pickled on its worker only."""

    def __init__(self, *_: object) -> None:
        pass

    def __str__(self) -> str:
        return "once"

    def __reduce__(self) -> Any:
        if not in_task():
            raise RuntimeError("refuses to be pickled in the driver")
        return OnlyOnce, ()


class TwoHosts(Executor):
    """Runs four tasks when the fourth has come, all but the first on another host."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self._other = OtherHosts(facts)
        self._tasks: list[tuple[Future[Any], Callable[..., Any], Any]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self._tasks.append((Future(), fn, args))
        if len(self._tasks) == 4:
            first, *others = self._tasks
            first[0].set_result(first[1](*first[2]))
            for future, run_task, frames in others:
                future.set_result(self._other.submit(run_task, *frames).result())
        return self._tasks[-1][0]


PROGRAM = """
import os, secrets, sys, time
from pathlib import Path
from scoopsci.road.chunks import CallEach, FoldBlocks
from scoopsci.road.blocks import Fold
from scoopsci.road.options import RunOptions
from scoopsci.road.runs import Run, fold_run

folder, ledger, engine, n_workers, n_free = sys.argv[1:]

def mark_and_name(block):
    (Path(folder) / f"{block}-{secrets.token_hex(8)}").touch()
    time.sleep(0.002 if block < int(n_free) else 1000)  # until it is killed
    return f"[{block}]"

def bracket(left, right):
    return f"({left}{right})"

options = {"engine": engine, "n_workers": int(n_workers), "ledger": ledger, "chunk_target_s": 0.02}
run = Run(FoldBlocks(CallEach(mark_and_name), bracket), range(300), options, identity={"a": 1})
fold = Fold(bracket)
for blocks, partial in run.partials():
    fold.add(blocks, partial)
    print(blocks.start, blocks.stop, flush=True)
print(fold.result(), run.description["n_recalled_blocks"])
"""


def start(program: Path, *arguments: object, stdin: int | None = None) -> subprocess.Popen[str]:
    """Start a program in a separate session."""
    return subprocess.Popen(
        [sys.executable, program, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdin=stdin, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


class TestKill:
    @pytest.mark.parametrize(
        ("first", "second"), [(("serial", 1), ("processes", 2)), (("processes", 2), ("serial", 1))]
    )
    @pytest.mark.parametrize(
        "n_told", [3, 17, *(pytest.param(n, marks=pytest.mark.slow) for n in (0, 1, 10))]
    )
    def test_killed_driver(
        self, first: Any, second: Any, n_told: int, path: Path, marks: Path, tmp_path: Path
    ) -> None:
        program = tmp_path / "program.py"
        program.write_text(PROGRAM)
        driver = start(program, marks, path, *first, 250)
        try:
            assert driver.stdout is not None
            ends = [driver.stdout.readline().split() for _ in range(n_told)]
            while not any(marks.iterdir()):
                assert driver.poll() is None, "it ended before it ran a block"
                time.sleep(0.001)
            driver.send_signal(signal.SIGKILL)
            rest = [line.split() for line in driver.stdout]
            assert driver.wait() == -signal.SIGKILL, "it was killed during its run"
            wait_for_end(driver.pid)
        finally:
            end_session(driver)
        whole = [pair for pair in [*ends, *rest] if len(pair) == 2]
        told = {block for pair in whole for block in range(*map(int, pair))}
        recorded = read_blocks(path)
        before = count_marks(marks)
        assert told <= recorded <= set(before)
        assert len(recorded) < 300

        again = start(program, marks, path, *second, 300)
        out, _ = again.communicate(timeout=100)
        result, n_recalled = out.splitlines()[-1].split()
        after = count_marks(marks)
        assert {b: after[b] for b in recorded} == {b: before[b] for b in recorded}
        assert int(n_recalled) == len(recorded)
        assert set(after) == set(range(300))
        assert result == fold_names(300, {})[0], "the bits are those of an undisturbed run"
        assert [file.name for file in tmp_path.iterdir() if path.name in file.name] == [path.name]

    def test_killed_again_and_again(self, path: Path, marks: Path, tmp_path: Path) -> None:
        """Each attempt makes progress, however short it is."""
        program = tmp_path / "program.py"
        program.write_text(PROGRAM)
        n_recorded = [0]
        while True:
            driver = start(program, marks, path, "processes", 2, n_recorded[-1] + 120)
            try:
                assert driver.stdout is not None
                for line in driver.stdout:
                    if line.startswith("("):
                        break
                    if int(line.split()[1]) > n_recorded[-1] + 60:
                        driver.kill()
                driver.wait()
                wait_for_end(driver.pid)
            finally:
                end_session(driver)
            n_recorded.append(len(read_blocks(path)))
            if driver.returncode == 0:
                break
            assert n_recorded[-1] > n_recorded[-2]
        assert n_recorded[-1] == 300
        assert len(n_recorded) > 3


MY_CLASS = """
import sys
from dataclasses import dataclass
from scoopsci.road.runs import run_list

@dataclass
class Counts:
    n: int

def count(value):
    return Counts(value)

options = {"engine": sys.argv[1], "n_workers": 1, "ledger": sys.argv[2]}
found, done = run_list(count, [1, 2, 3], options, identity={"a": 1})
print(found == [Counts(1), Counts(2), Counts(3)], done["n_recalled_blocks"])
"""


@pytest.mark.parametrize("engine", ["serial", "processes"])
def test_recalled_results_are_of_the_program_s_own_classes(
    engine: str, path: Path, tmp_path: Path
) -> None:
    """A copy of the class, unpickled by value, would not compare equal and fail isinstance."""
    program = tmp_path / "program.py"
    program.write_text(MY_CLASS)
    found = [start(program, engine, path).communicate(timeout=60)[0] for _ in range(2)]
    assert found == ["True 0\n", "True 3\n"]


class TestIdentity:
    """The ledger of another run is refused, with the differences, and not modified."""

    @pytest.fixture
    def is_untouched(self, path: Path) -> Iterator[Callable[[], bool]]:
        before: list[dict[str, bytes]] = []

        def ask() -> bool:
            before.append(take_files(path))
            return before[0] == before[-1] and list(before[0]) == [path.name]

        yield ask
        assert ask()

    @pytest.mark.parametrize(
        ("ours", "told"),
        [
            ({"seed": 2}, r"seed is 1 there and 2 here"),
            ({"code": "b", "seed": 1}, r'code is not given there and "b" here'),
            ({}, r"seed is 1 there and not given here"),
            ({"code": "b", "seed": 2}, r'code is not given.*"b" here, seed is 1 there and 2 here'),
            ({"seed": "1"}, r'seed is 1 there and "1" here'),
            ({"seed": [1]}, r"seed is 1 there and \[1\] here"),
            ({"seed": True}, r"seed is 1 there and true here"),
        ],
    )
    def test_differences_are_named(
        self, ours: dict[str, Any], told: str, path: Path, is_untouched: Callable[[], bool]
    ) -> None:
        run(str, range(5), path, identity={"seed": 1})
        assert is_untouched()
        with pytest.raises(LedgerError, match=rf"run\.ledger is .* another run: {told}; repeat"):
            run(str, range(5), path, identity=ours)

    def test_no_worker_is_started_for_a_ledger_that_is_refused(self, path: Path) -> None:
        run(str, range(5), path, identity={"seed": 1})
        with pytest.raises(LedgerError):
            run(str, range(5), path, identity={"seed": 2}, engine="nonesuch")

    WORKLOADS: tuple[tuple[Callable[..., Any], str], ...] = (
        (lambda **run: scoopsci.pi(1_000, seed=2, **run), "seed is 1 there and 2 here"),
        (
            lambda **run: scoopsci.pi(1_000, seed=1, block_size=9, **run),
            "block_size is 4194304 there and 9 here",
        ),
        (
            lambda **run: scoopsci.estimate(lambda rng, n: rng.random(n), 1_000, seed=1, **run),
            'workload is "pi" there and "estimate" here',
        ),
    )

    @pytest.mark.parametrize(("workload", "told"), WORKLOADS)
    def test_workloads(
        self, workload: Callable[..., Any], told: str, path: Path, is_untouched: Callable[[], bool]
    ) -> None:
        options: Any = {"engine": "serial", "ledger": path}
        scoopsci.pi(1_000, seed=1, **options)
        assert is_untouched()
        with pytest.raises(LedgerError, match=told):
            workload(**options)
        assert scoopsci.pi(1_000, seed=1, **options).receipt["run"]["n_recalled_blocks"] == 1

    def test_another_function(self, path: Path, is_untouched: Callable[[], bool]) -> None:
        options: Any = {"engine": "serial", "ledger": path, "seed": 1}
        scoopsci.estimate(lambda rng, size: rng.random(size), 1_000, **options)
        assert is_untouched()
        with pytest.raises(LedgerError, match=r"code is different there: .*<lambda> has changed;"):
            scoopsci.estimate(lambda rng, size: 2 * rng.random(size), 1_000, **options)

    @pytest.mark.parametrize(
        "others",
        [
            [0, 1, 2, 4],
            [0, 1, 2, 3.0],
            [0, 1, 2, "3"],
            [0, 1, 2, None],
            [3, 2, 1, 0],
            [0, 1, 2, [3]],
            [0, 1, 2],
            [],
        ],
        ids=str,
    )
    @pytest.mark.parametrize("chunk_target_s", [ONE_BY_ONE, 1.0])
    def test_other_inputs(
        self, others: list[Any], chunk_target_s: float, path: Path, marks: Path
    ) -> None:
        run(str, range(4), path, chunk_target_s=chunk_target_s)
        before = read_ranges(path)
        with pytest.raises(LedgerError, match=r"another run: .*(inputs of blocks|inputs now)"):
            run(str, others, path)
        assert read_ranges(path) == before
        assert run(str, range(4), path)[1]["n_recalled_blocks"] == 4

    @pytest.mark.parametrize(
        ("ours", "theirs"),
        [
            (datetime.date(2020, 1, 1), datetime.date(2021, 1, 1)),
            (np.array([1.0, 2.0]), np.array([1.0, 3.0])),
            ({"a": 1}, {"a": 2}),
            ((1, 2), [1, 2]),
            (0.0, -0.0),
            (10**5_000, 10**5_000 + 1),
        ],
        ids=["dates", "arrays", "dicts", "tuple and list", "zeros", "large numbers"],
    )
    def test_inputs_of_other_kinds(self, ours: Any, theirs: Any, path: Path) -> None:
        run(id, [1, ours], path)
        with pytest.raises(LedgerError, match="another run: the inputs of blocks"):
            run(id, [1, theirs], path)
        assert run(id, [1, ours], path)[1]["n_recalled_blocks"] == 2

    def test_fewer_inputs_than_blocks_after_a_gap(self, path: Path) -> None:
        """The recorded blocks are never reached, but a run of fewer inputs is another run."""
        run(str, range(32), path, chunk_target_s=ONE_BY_ONE)
        with contextlib.closing(sqlite3.connect(path)) as database, database:
            database.execute("DELETE FROM ranges WHERE start BETWEEN 10 AND 20")
        with pytest.raises(LedgerError, match="has block 31, and there are 15 inputs now"):
            run(str, range(15), path)


class TestUnusable:
    """A file that is not a ledger is not modified, and the error names the reason."""

    def refuse(self, path: LedgerPath, told: str) -> None:
        with pytest.raises(LedgerError, match=told):
            run(str, range(3), path)

    @pytest.mark.parametrize(
        "content", [b"text", b"\0" * 5_000, b"SQLite format 3\0" + b"x" * 5_000], ids=len
    )
    def test_a_file_that_is_no_database(self, content: bytes, path: Path) -> None:
        path.write_bytes(content)
        self.refuse(path, r"run\.ledger is (not a ledger|damaged).*another file|run again")
        assert take_files(path) == {path.name: content}

    @pytest.mark.parametrize("journal", ["delete", "wal"])
    def test_a_database_of_another_program(self, journal: str, path: Path) -> None:
        with contextlib.closing(sqlite3.connect(path)) as database, database:
            database.execute(f"PRAGMA journal_mode = {journal}")
            database.execute("CREATE TABLE ranges (mine TEXT)")
            database.execute("INSERT INTO ranges VALUES ('precious')")
        before = take_files(path)
        self.refuse(path, "a database of something else.*version 0.*name another file")
        assert take_files(path) == before

    @pytest.mark.parametrize("pragma", ["user_version = 99", "application_id = 7"])
    def test_another_version(self, pragma: str, path: Path) -> None:
        run(str, range(3), path)
        with contextlib.closing(sqlite3.connect(path)) as database, database:
            database.execute(f"PRAGMA {pragma}")
        before = take_files(path)
        self.refuse(path, "another version of scoopsci.*name another file")
        assert take_files(path) == before

    def test_a_folder(self, path: Path) -> None:
        path.mkdir()
        self.refuse(path, "is not a regular file; name a file")
        assert list(path.iterdir()) == []

    def test_a_folder_that_is_missing(self, path: Path) -> None:
        self.refuse(path / "run.ledger", "cannot be opened; name a file")
        assert not path.exists()

    @pytest.mark.parametrize("target", ["/dev/null", "/dev/full"])
    def test_a_device(self, target: str) -> None:
        with pytest.raises(LedgerError):
            run(str, range(3), target)

    def test_a_file_may_be_named_memory(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """SQLite gives this name a special meaning: nothing would be stored."""
        monkeypatch.chdir(path.parent)
        with contextlib.suppress(LedgerError):
            run(str, range(3), ":memory:")
            assert Path(":memory:").exists()

    @pytest.mark.parametrize("position", [0, 5, 16, 17, 18, 20, 28, 40, 60, 68, 99, 100, 105])
    def test_a_damaged_header(self, position: int, path: Path) -> None:
        run(str, range(50), path, chunk_target_s=ONE_BY_ONE)
        content = bytearray(path.read_bytes())
        content[position] ^= 0xFF
        path.write_bytes(content)
        try:
            assert run(str, range(50), path)[0] == [str(value) for value in range(50)]
        except LedgerError:
            return

    def test_a_damaged_partial(self, path: Path) -> None:
        run(lambda value: "precious" * 100, range(1), path)
        content = path.read_bytes()
        assert content.count(b"precious" * 100) == 1
        path.write_bytes(content.replace(b"precious", b"precioux"))
        before = take_files(path)
        told = r"damaged: blocks 0 to 0 cannot be read \(their checksum is wrong\); use a copy"
        with pytest.raises(LedgerError, match=told):
            run(lambda value: "precious" * 100, range(1), path)
        assert take_files(path) == before

    def test_damage_anywhere_is_reported_or_harmless(self, path: Path) -> None:
        """One byte at a time, all over the file: never a wrong result or another error."""
        expected = [str(value) for value in range(60)]
        run(str, range(60), path, chunk_target_s=ONE_BY_ONE)
        content, n_told = path.read_bytes(), 0
        for position in range(0, len(content), 41):
            for flip in (0x01, 0x80):
                damaged = bytearray(content)
                damaged[position] ^= flip
                for file in path.parent.iterdir():
                    file.unlink()
                path.write_bytes(damaged)
                try:
                    assert run(str, range(60), path)[0] == expected, (position, flip)
                except (LedgerError, EngineError):  # the latter if the name of a host differs
                    n_told += 1
        assert n_told > 50

    @pytest.mark.parametrize("n_kept", [99, 100, 4_095, 4_096, 8_192])
    def test_a_truncated_file(self, n_kept: int, path: Path) -> None:
        run(str, range(200), path, chunk_target_s=ONE_BY_ONE)
        path.write_bytes(path.read_bytes()[:n_kept])
        with pytest.raises(LedgerError, match=r"is (damaged|not a ledger)"):
            run(str, range(200), path)

    @pytest.mark.parametrize("change", ["{0} || 'x'", "substr({0}, 2)", "NULL", "8"])
    @pytest.mark.parametrize(
        "place",
        [
            "identity name", "identity value", "identity checksum", "numerics numpy",
            "numerics battery", "numerics host", "numerics checksum", "ranges start", "ranges stop",
            "ranges inputs", "ranges partial", "ranges checksum", "task name", "task content",
            "task checksum",
        ],
    )  # fmt: skip
    def test_a_damaged_row(self, place: str, change: str, path: Path) -> None:
        """Whatever a column says instead."""

        def run_pi() -> Any:
            options: Any = {"seed": 1, "block_size": 5, "engine": "serial"}
            return scoopsci.pi(20, ledger=path, **options).n_inside

        expected, (table, column) = run_pi(), place.split()
        with contextlib.closing(sqlite3.connect(path)) as database, database:
            try:
                key = f"(SELECT max({column}) FROM {table})"
                database.execute(
                    f"UPDATE {table} SET {column} = {change.format(column)} WHERE {column} = {key}"
                )
            except sqlite3.IntegrityError:
                assert change == "NULL"  # a key, or a checksum
                return
        for look in (describe_ledger, verify_ledger):
            with pytest.raises(LedgerError, match=r"run\.ledger is damaged.*use a copy of it"):
                look(path)
        with contextlib.suppress(LedgerError):
            assert run_pi() == expected

    def test_a_row_of_another_run(self, path: Path, tmp_path: Path) -> None:
        other = tmp_path / "other.ledger"
        for seed, each in ((1, path), (2, other)):
            scoopsci.pi(20, seed=seed, block_size=5, engine="serial", ledger=each)
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
            database.execute("ATTACH ? AS other", (str(other),))
            database.execute("INSERT OR REPLACE INTO main.ranges SELECT * FROM other.ranges")
        for use in (describe_ledger, verify_ledger, replay_first):
            with pytest.raises(LedgerError, match=r"blocks 0 to \d+ cannot be read .*DELETE FROM"):
                use(path)
        with pytest.raises(LedgerError, match=r"blocks 0 to \d+ cannot be read"):
            scoopsci.pi(20, seed=1, block_size=5, engine="serial", ledger=path)

    def test_a_damaged_range_is_computed_again_after_the_remedy(self, path: Path) -> None:
        def run_map() -> list[float]:
            options: Any = {"engine": "serial", "ledger": path, "chunk_target_s": ONE_BY_ONE}
            return list(scoopsci.map(float, range(5), **options))

        expected = run_map()
        with contextlib.closing(sqlite3.connect(path)) as database, database:
            database.execute("UPDATE ranges SET partial = 'damaged' WHERE start = 3")
        with pytest.raises(LedgerError, match="blocks 3 to 3 cannot be read") as told:
            run_map()
        _, _, remedy = str(told.value).partition("sqlite3 ")
        file, statement = shlex.split(remedy)
        assert file == str(path)
        with contextlib.closing(sqlite3.connect(path)) as database, database:
            database.execute(statement)
        assert run_map() == expected
        assert verify_ledger(path) == 5

    def test_a_missing_row(self, path: Path) -> None:
        """As if named by a damaged index."""
        with open_ledger(path, IDENTITY) as ledger:
            assert ledger is not None
            with pytest.raises(LedgerError, match="is damaged"):
                read(ledger, Range(0, 1), "")

    def test_a_missing_table(self, path: Path) -> None:
        run(str, range(3), path)
        with contextlib.closing(sqlite3.connect(path)) as database, database:
            database.execute("DROP TABLE ranges")
        self.refuse(path, r"run\.ledger is damaged: it has other tables than a ledger")


BUSY = """
import sys
from scoopsci.road.chunks import CallEach, ListBlocks
from scoopsci.road.runs import Run

def wait_for_more():
    yield "first"
    print("open", flush=True)
    sys.stdin.read()

options = {"engine": "serial", "ledger": sys.argv[1], "chunk_target_s": 1e-9, "window": 1}
run = Run(ListBlocks(CallEach(str)), wait_for_more(), options, identity={"workload": "test"})
for _ in run.partials():
    pass
"""

CROWD = """
import sys, time
from scoopsci import LedgerError
from scoopsci.road.runs import run_list

sys.stdin.read()
while True:
    try:
        found, done = run_list(str, [*range(200)], {"engine": "serial", "ledger": sys.argv[1],
                                                    "chunk_target_s": 1e-9}, identity={"a": 1})
    except LedgerError as error:
        assert "in use by another run" in str(error), error
        time.sleep(0.01)
        continue
    break
print(found == [str(i) for i in range(200)], done["n_recalled_blocks"])
"""


class TestInUse:
    def test_by_another_process(self, path: Path, tmp_path: Path) -> None:
        program = tmp_path / "program.py"
        program.write_text(BUSY)
        other = start(program, path, stdin=subprocess.PIPE)
        try:
            assert other.stdout is not None
            assert other.stdin is not None
            assert other.stdout.readline() == "open\n"
            for _ in range(2):
                with pytest.raises(
                    LedgerError, match=r"run\.ledger is in use by another run; wait"
                ):
                    run(str, range(3), path)
            other.stdin.close()
            other.stdin = None
            assert other.wait(60) == 0
        finally:
            end_session(other)
        assert run(str, ["first"], path)[1]["n_recalled_blocks"] == 1

    def test_a_killed_process_releases_it(self, path: Path, tmp_path: Path) -> None:
        program = tmp_path / "program.py"
        program.write_text(BUSY)
        other = start(program, path, stdin=subprocess.PIPE)
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "open\n"
        finally:
            end_session(other)
        assert run(str, ["first"], path)[1]["n_recalled_blocks"] == 1

    def test_by_another_run_of_this_process(self, path: Path) -> None:
        with open_ledger(path, IDENTITY) as ledger:
            assert ledger is not None
            for use in (lambda path: run(str, range(3), path), describe_ledger, verify_ledger):
                with pytest.raises(LedgerError, match="in use by another run"):
                    use(path)
            add(ledger, [(Range(0, 1), "", 1)])
        assert read_blocks(path) == {0}

    def test_a_crowd_takes_turns(self, path: Path, tmp_path: Path) -> None:
        """Started together on a file that does not exist yet."""
        program = tmp_path / "program.py"
        program.write_text(CROWD)
        crowd = [start(program, path, stdin=subprocess.PIPE) for _ in range(5)]
        try:
            for one in crowd:
                assert one.stdin is not None
                one.stdin.close()
                one.stdin = None
            told = sorted(one.communicate(timeout=100)[0] for one in crowd)
        finally:
            for one in crowd:
                end_session(one)
        assert told == ["True 0\n", *["True 200\n"] * 4]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of one megabyte."""
    require([] if os.geteuid() == 0 else ["root, to mount a small file system"])
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    require([] if mounted.returncode == 0 else [f"mount: {mounted.stderr.strip()}"])
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


class TestDisk:
    @pytest.mark.parametrize("size", [30_000, 300_000])
    def test_full_during_the_run(self, size: int, small_disk: Path, marks: Path) -> None:
        def name_long(block: int) -> str:
            return mark_and_name(marks, block) + "x" * size

        path = small_disk / "run.ledger"
        with pytest.raises(LedgerError, match=r"run\.ledger does not fit on the disk; make room"):
            run(name_long, range(60), path, chunk_target_s=ONE_BY_ONE)
        remount(small_disk, "size=64m")
        recorded, before = read_blocks(path), count_marks(marks)
        assert len(recorded) >= 900_000 // size // 3
        assert recorded == set(range(len(recorded)))
        found, done = run(name_long, range(60), path)
        assert found == [f"[{block}]" + "x" * size for block in range(60)]
        assert done["n_recalled_blocks"] == len(recorded)
        after = count_marks(marks)
        assert {b: after[b] for b in recorded} == {b: before[b] for b in recorded}

    def test_monte_carlo_fills_the_disk_and_the_ledger_stays_whole(self, small_disk: Path) -> None:
        """It is read on the full disk, and the run continues once there is room."""

        def draw(rng: np.random.Generator, size: int) -> Any:
            return rng.random((size, 100))

        options: Any = {"seed": 2, "block_size": 10, "engine": "serial"}
        path = small_disk / "run.ledger"
        with pytest.raises(LedgerError, match=r"run\.ledger does not fit on the disk; make room"):
            scoopsci.estimate(
                draw, half_width=0.02, ledger=path, chunk_target_s=ONE_BY_ONE, **options
            )
        told = describe_ledger(path)
        assert verify_ledger(path) == told["n_rows"] > 50
        assert replay_block(path, 7, trust=True).equal
        remount(small_disk, "size=64m")
        found = scoopsci.estimate(draw, half_width=0.02, ledger=path, **options)
        assert found.receipt["run"]["n_recalled_blocks"] == told["n_blocks"]
        undisturbed = scoopsci.estimate(draw, half_width=0.02, **options)
        assert found.value.tolist() == undisturbed.value.tolist()
        assert found.n_samples == undisturbed.n_samples

    def test_full_before_the_start(self, small_disk: Path) -> None:
        filler, path = small_disk / "filler", small_disk / "run.ledger"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4_096))
        with pytest.raises(LedgerError, match=r"does not fit on the disk|cannot be opened"):
            run(str, range(3), path)
        filler.unlink()
        assert run(str, range(3), path)[0] == ["0", "1", "2"]
        assert read_blocks(path) == {0, 1, 2}

    def test_nothing_is_lost_while_room_is_made(self, small_disk: Path) -> None:
        """The disk fills up again and again, and each time the run is resumed."""
        path, n_recorded = small_disk / "run.ledger", [0]
        for size in ("1m", "2m", "3m", "64m"):
            remount(small_disk, f"size={size}")
            with contextlib.suppress(LedgerError):
                run(lambda block: "x" * 50_000, range(60), path, chunk_target_s=ONE_BY_ONE)
            remount(small_disk, "size=64m")
            n_recorded.append(len(read_blocks(path)))
            with contextlib.closing(sqlite3.connect(path)) as database:
                database.execute("VACUUM")
        assert n_recorded == sorted(n_recorded)
        assert n_recorded[-1] == 60
        assert len(set(n_recorded)) >= 4

    def test_read_only(self, small_disk: Path) -> None:
        path = small_disk / "run.ledger"
        run(str, range(3), path)
        before = take_files(path)
        remount(small_disk, "ro")
        for name in (path, small_disk / "other.ledger"):
            with pytest.raises(LedgerError, match=r"cannot be (written|opened|read or written)"):
                run(str, range(3), name)
        assert take_files(path) == before

    def test_looking_at_a_read_only_disk(self, small_disk: Path) -> None:
        path = small_disk / "run.ledger"
        scoopsci.pi(9_000, seed=1, block_size=1_000, engine="serial", ledger=path)
        expected, before = describe_ledger(path), take_files(path)
        remount(small_disk, "ro")
        assert describe_ledger(path) == expected
        assert verify_ledger(path) == expected["n_rows"]
        assert replay_block(path, 2).equal
        assert take_files(path) == before

    def test_looking_at_a_killed_run_on_a_read_only_disk(self, small_disk: Path) -> None:
        """Its last rows are in the log beside the file."""
        path, copy = small_disk / "run.ledger", small_disk / "copy.ledger"
        with open_ledger(path, IDENTITY) as ledger:
            assert ledger is not None
            for block in range(9):
                add(ledger, [(Range(block, block + 1), "", block)])
            shutil.copy(path, copy)
            shutil.copy(f"{path}-wal", f"{copy}-wal")
        before = take_files(copy)
        remount(small_disk, "ro")
        assert verify_ledger(copy) == 9
        assert take_files(copy) == before

    def test_a_partial_that_is_too_large(self, path: Path) -> None:
        """The limit is lowered here; the real one is 1 GB."""
        with open_ledger(path, IDENTITY) as ledger:
            assert ledger is not None
            ledger._file._database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 100_000)
            add(ledger, [(Range(0, 1), "", "x" * 1_000)])
            with pytest.raises(
                LedgerError, match=r"cannot hold a partial of over 1 GB; return less"
            ):
                add(ledger, [(Range(1, 2), "", "x" * 200_000)])
            assert ledger.find_ranges() == [Range(0, 1)]


class TestMemory:
    def walk(self, fn: Callable[[int], Counted], path: Path, **more: Any) -> int:
        """Return the number of results, none of which is kept."""
        options: Any = {"engine": "serial", "ledger": path, "chunk_target_s": ONE_BY_ONE, **more}
        work = Run(ListBlocks(CallEach(fn)), range(200), options, identity=IDENTITY)
        Counted.forget()
        return sum(len(part) for _, part in work.partials(in_order=True))

    def test_results_are_recalled_when_their_turn_comes(self, path: Path) -> None:
        for _ in range(2):
            assert self.walk(lambda value: Counted(), path) == 200
        assert 1 <= Counted.most <= 3

    def test_results_that_wait_for_a_gap_are_bounded(
        self, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The first block is missing: the others need not be in memory until it ends."""
        monkeypatch.setattr("scoopsci.road.dispatch.HELD_BYTES", 200_000)
        assert self.walk(lambda value: Counted(), path) == 200
        with contextlib.closing(sqlite3.connect(path)) as database, database:
            database.execute("DELETE FROM ranges WHERE start = 0")
        late = tmp_path / "late"

        def count_late(value: int) -> Counted:
            while not late.exists():
                time.sleep(0.001)
            return Counted()

        # Long enough to recall them all, if there were no limit.
        timer = threading.Timer(0.5, late.touch)
        timer.start()
        with ThreadPoolExecutor(1) as pool:
            assert self.walk(count_late, path, engine=pool) == 200
        timer.join()
        assert 1 <= Counted.most <= 20 + 8


def test_json_identity_of_a_large_seed(path: Path) -> None:
    """A seed may have any size, also with a ledger."""
    seed = 10**4_000
    first = scoopsci.pi(1_000, seed=seed, engine="serial", ledger=path)
    second = scoopsci.pi(1_000, seed=seed, engine="serial", ledger=path)
    assert first.n_inside == second.n_inside
    assert second.receipt["run"]["n_recalled_blocks"] == 1
    assert json.loads(json.dumps(second.receipt)) == second.receipt
