"""A program that opens a pool and runs the requests on its standard input.

Each line is a JSON list: the name of a method of `Console`, and its arguments. The reply is a line
of JSON, too.
"""

from __future__ import annotations

import functools
import hashlib
import json
import operator
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np

import scoopsci
from scoopsci import Pool
from scoopsci.pool.broadcast import Broadcast
from scoopsci.reporting.progress import Progress

N_POINTS, BLOCK_SIZE = 5_000_000, 1 << 16
N_NUMBERS = 20_000


def make_numbers() -> np.ndarray:
    """Return numbers of mixed magnitude: their sum has other bits for every order."""
    numbers: np.ndarray = np.exp(20.0 * np.random.default_rng(1).standard_normal(N_NUMBERS))
    return numbers


def find_pi(**run: Any) -> scoopsci.PiEstimate:
    return scoopsci.pi(N_POINTS, seed=7, block_size=BLOCK_SIZE, **run)


def stopping_bits(found: scoopsci.Estimate) -> list[Any]:
    numbers = (found.value, found.standard_error, found.half_width, *found.interval)
    return [found.n_samples, *(number.hex() for number in numbers)]


def draw(rng: np.random.Generator, size: int) -> Any:
    return rng.standard_normal(size)


def linger(index: int, pause_s: float) -> float:
    """Sleep, and return a number whose sums depend on the order of addition."""
    time.sleep(pause_s)
    return float(np.exp(20.0 * np.random.default_rng(index).standard_normal()))


def linger_or_exit(index: int, number: int) -> float:
    if index == number:
        os._exit(1)
    return linger(index, 0.0)


def fill(index: int, n_bytes: int) -> Any:
    return np.random.default_rng(index).bytes(n_bytes)


def look_at(data: Broadcast) -> tuple[int, float]:
    time.sleep(0.05)
    return os.getpid(), float(data.array.sum())


def mark_worker(mark: str) -> None:
    os.environ["POOL_CONSOLE"] = mark


def find_initialized(_: int) -> str:
    time.sleep(0.02)
    return os.environ.get("POOL_CONSOLE", "")


def work_with_module(value: int) -> Any:
    """Use a module that is next to the program, and on none of the hosts."""
    return beside_console.work(value)  # type: ignore[name-defined] # noqa: F821


def find_bits(engine: str | Executor) -> dict[str, Any]:
    """Return the exact results of a run of each kind."""
    run: dict[str, Any] = {"engine": engine}
    numbers = make_numbers()
    total = scoopsci.map_reduce(float, operator.add, numbers, chunk_target_s=0.001, **run)
    return {
        "pi": find_pi(**run).receipt["result"],
        "sum": total.hex(),
        "mean": float(scoopsci.estimate(draw, 500_000, seed=3, **run).value).hex(),
    }


def find_sum(items: Iterable[int], pause_s: float, engine: str | Executor, **more: Any) -> str:
    """Return the bits of a sum whose items each take some time."""
    fn = functools.partial(linger, pause_s=pause_s)
    run: dict[str, Any] = {"engine": engine, "chunk_target_s": 4 * pause_s or 0.01, **more}
    return float(scoopsci.map_reduce(fn, operator.add, items, **run)).hex()


def find_hash(n_items: int, n_bytes: int, engine: str | Executor) -> str:
    """Return a hash of large results."""
    digest = hashlib.sha256()
    for data in scoopsci.map(
        functools.partial(fill, n_bytes=n_bytes), range(n_items), engine=engine
    ):
        digest.update(data)
    return digest.hexdigest()


class Console:
    """The requests that the program answers."""

    def __init__(self, pool: Pool, done: Path) -> None:
        self.pool = pool
        self._done = done

    def tell_done(self, n_done: int) -> None:
        """Report how much of a request is done before its reply."""
        self._done.write_text(str(n_done))

    def look(self, state: Progress) -> None:
        """Report how much of a run is done."""
        self.tell_done(state.n_done)

    def hosts(self) -> Any:
        return self.pool.hosts

    def status(self) -> Any:
        return self.pool.status()

    def dashboard(self) -> Any:
        """Open the dashboard, and return its address."""
        return self.pool.dashboard().url

    def bits(self) -> Any:
        return find_bits(self.pool)

    def pi(self) -> Any:
        return find_pi(engine=self.pool, mixed=True).receipt["result"]

    def tell_running(self, host: str, pid: int) -> None:
        """Report progress as soon as a worker runs a task."""
        while ("running", pid) not in [
            (worker["state"], worker["pid"])
            for found in self.pool.status()["hosts"]
            for worker in found["workers"]
            if found["name"] == host
        ]:
            time.sleep(0.02)
        self.tell_done(1)

    def stop(self, half_width: float, host: str, pid: int) -> Any:
        """Return the result of a run by half-width, and how many of its tasks were lost."""
        threading.Thread(target=self.tell_running, args=(host, pid), daemon=True).start()
        found = scoopsci.pi(half_width=half_width, seed=3, engine=self.pool)
        return [*stopping_bits(found), found.receipt["run"]["n_lost_tasks"]]

    def keep(self, ledger: str) -> Any:
        """Return the result of a run by half-width that has a ledger."""
        options: Any = {"seed": 3, "block_size": 500, "chunk_target_s": 0.01}
        found = scoopsci.estimate(
            draw, half_width=0.002, ledger=ledger, engine=self.pool, **options
        )
        return stopping_bits(found)

    def sum(self, n_items: int, pause_s: float) -> Any:
        return find_sum(range(n_items), pause_s, self.pool, progress=self.look)

    def sum_until(self, word: str, n_more: int, pause_s: float) -> Any:
        """Return a sum and its number of items, `n_more` of them after the file `word` exists."""
        n_items = 0

        def count() -> Iterator[int]:
            nonlocal n_items
            n_left = n_more
            while n_left:
                yield n_items
                n_items += 1
                n_left -= Path(word).exists()

        return [find_sum(count(), pause_s, self.pool, progress=self.look), n_items]

    def map(self, n_items: int, pause_s: float) -> Any:
        """Return the results of plain calls, which the pool itself resubmits."""
        fn = functools.partial(linger, pause_s=pause_s)
        found = []
        for number in self.pool.map(fn, range(n_items)):
            found.append(number.hex())
            self.tell_done(len(found))
        return found

    def map_until(self, word: str, n_more: int, pause_s: float) -> Any:
        """Return the results of plain calls, `n_more` of them after the file `word` exists."""
        fn = functools.partial(linger, pause_s=pause_s)
        found: list[str] = []
        is_last = False
        while not is_last:
            is_last = Path(word).exists()
            n_found = len(found)
            for number in self.pool.map(fn, range(n_found, n_found + (n_more if is_last else 24))):
                found.append(number.hex())
                self.tell_done(len(found))
        return found

    def map_with_one_that_exits(self, n_items: int, number: int) -> Any:
        """Return numbers, and the error of the task that ends its process."""
        fn = functools.partial(linger_or_exit, number=number)
        results = scoopsci.map(fn, range(n_items), engine=self.pool, on_error="return")
        return [x.hex() if isinstance(x, float) else f"{type(x).__name__}: {x}" for x in results]

    def hash(self, n_items: int, n_bytes: int) -> Any:
        return find_hash(n_items, n_bytes, self.pool)

    def mixed(self) -> Any:
        return find_pi(engine=self.pool, mixed=True).receipt["run"]["mixed"]

    def resize(self, n_workers: int) -> Any:
        self.pool.resize(n_workers)

    def broadcast(self, n_items: int, n_tasks: int) -> Any:
        """Broadcast an array and keep it; return its sums as tasks compute them."""
        self.kept = self.pool.broadcast(np.arange(n_items, dtype=np.float64))
        seen = list(self.pool.map(look_at, [self.kept] * n_tasks))
        return {"pids": sorted({pid for pid, _ in seen}), "sums": sorted({s for _, s in seen})}

    def initialized(self, n_tasks: int) -> Any:
        return sorted(set(self.pool.map(find_initialized, range(n_tasks))))

    def echo(self, words: list[str]) -> Any:
        return list(self.pool.map(str.upper, words))

    def beside(self) -> Any:
        return list(self.pool.map(work_with_module, range(8)))


def answer(console: Console, question: str, *args: Any) -> dict[str, Any]:
    try:
        return {"answer": getattr(console, question)(*args)}
    except Exception as error:
        return {"error": type(error).__name__, "message": str(error)}


def tell(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


def main(options: dict[str, Any]) -> None:
    done = Path(options.pop("done"))
    if "mark" in options:
        options |= {"initializer": mark_worker, "initargs": (options.pop("mark"),)}
    try:
        pool = Pool(**options)
    except Exception as error:
        tell(error=type(error).__name__, message=str(error))
        return
    with pool:
        console = Console(pool, done)
        tell(answer=pool.hosts)
        for line in sys.stdin:
            question, *args = json.loads(line)
            tell(**answer(console, question, *args))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
