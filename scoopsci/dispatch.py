"""The one road: blocks become chunks, chunks become tasks, tasks become partials of ranges.

This is the only place that knows about chunks. Nothing here can change a result: a block is
computed from its index and its input alone, and partials merge along the fixed tree of `blocks`.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, wait
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Generic, TypeVar

import numpy as np

from scoopsci.arguments import check_count, check_seconds
from scoopsci.blocks import Fold, Range
from scoopsci.engines.base import Engine, TaskFuture
from scoopsci.engines.payload import current_block
from scoopsci.errors import (
    EngineError,
    EngineTimeoutError,
    PoisonTaskError,
    TaskError,
    WorkerLostError,
)
from scoopsci.reporting import Progress, ProgressCallback
from scoopsci.workers import Workers

__all__ = ["CHUNK_TARGET_S", "Dispatch", "check_options", "run_chunk"]

P = TypeVar("P")

#: Long enough that the road's own cost (about 1 ms a task) is small, short enough that the last
#: chunks end together, and far below the 2 s after which SCOOP begins to ask after a task.
CHUNK_TARGET_S = 0.1

#: A lost chunk is sent again in so many parts, and these as single blocks if they are lost, too:
#: a chunk of 100,000 tiny blocks must not become 100,000 tasks.
LOST_PARTS = 32

#: Several runs may share an engine, and the poison of one take the other's tasks along.
LOSSES_PER_DEATH = 10

#: A chunk may be this many times the longest one measured so far: first timings are rough.
CHUNK_GROWTH = 8


@dataclass
class _Chunk:
    start: int
    inputs: Sequence[Any]
    n_failures: int = 0
    n_losses: int = 0
    #: Engines that lose all tasks with one worker cannot tell whose death it was: only deaths of a
    #: block that runs alone count against it.
    n_deaths: int = 0
    is_suspect: bool = False

    def split(self, n_parts: int) -> Iterator[_Chunk]:
        size = -(-len(self.inputs) // n_parts)
        for offset in range(0, len(self.inputs), size):
            yield _Chunk(self.start + offset, self.inputs[offset : offset + size])

    def part_at(self, failed: int) -> Iterator[_Chunk]:
        """Yield what lies before a failed block, the block, and what lies behind it."""
        at = failed - self.start
        yield replace(
            self, start=failed, inputs=self.inputs[at : at + 1], n_failures=self.n_failures + 1
        )
        if at > 0:
            yield _Chunk(self.start, self.inputs[:at])
        if failed + 1 < self.start + len(self.inputs):
            yield _Chunk(failed + 1, self.inputs[at + 1 :])


def run_chunk(
    run_block: Callable[[int, Any], P],
    merge: Callable[[P, P], P],
    start: int,
    inputs: Sequence[Any],
) -> list[tuple[Range, P]]:
    """Run consecutive blocks on a worker.

    Parameters
    ----------
    run_block : callable
        ``run_block(block, input)`` returns the partial of one block.
    merge : callable
        Merges two partials.
    start : int
        Index of the first block.
    inputs : sequence
        An input for each block.

    Returns
    -------
    list of tuple of Range, object
        The partials, as maximal ranges.
    """
    fold: Fold[P] = Fold(merge)
    for block, value in enumerate(inputs, start):
        current_block.set(block)
        fold.add(Range(block, block + 1), run_block(block, value))
    current_block.set(None)
    return list(fold)


class Dispatch(Generic[P]):
    """One walk of blocks through an engine. Iterate over it once, to the end.

    Yields pairs of `Range` and partial as they come; every block is counted exactly once.
    Leaving the loop early, by an error or Ctrl-C, cancels what has not started.

    Parameters
    ----------
    engine : Engine
        An open engine.
    run_block : callable
        ``run_block(block, input)`` returns the partial of one block. It must depend on nothing
        else.
    inputs : iterable
        An input for each block; consumed as the window moves on.
    merge : callable
        ``merge(left, right)`` of two partials.
    n_blocks : int, optional
        Number of inputs, where it is known.
    chunk_target_s : float
        Time that a chunk should take, in seconds.
    window : int, optional
        Tasks in flight; by default two for each worker, one running and one at hand.
    retries : int
        How often a block that raises is tried again.
    poison_after : int
        Deaths of workers at a block that runs alone, after which it is not sent again.
    timeout : float, optional
        Seconds until `EngineTimeoutError`.
    mixed : bool
        Go on where hosts compute differently in the last bit.
    progress : callable, optional
        Gets a `Progress` whenever a task ends.

    Raises
    ------
    ValueError
        If an option is out of range.
    """

    def __init__(
        self,
        engine: Engine,
        run_block: Callable[[int, Any], P],
        inputs: Iterable[Any],
        merge: Callable[[P, P], P],
        *,
        n_blocks: int | None = None,
        chunk_target_s: float = CHUNK_TARGET_S,
        window: int | None = None,
        retries: int = 0,
        poison_after: int = 3,
        timeout: float | None = None,
        mixed: bool = False,
        progress: ProgressCallback | None = None,
    ) -> None:
        check_options(
            chunk_target_s=chunk_target_s,
            window=window,
            retries=retries,
            poison_after=poison_after,
            timeout=timeout,
            mixed=mixed,
            progress=progress,
        )
        self._engine = engine
        self._call = (run_block, merge)
        self._inputs = _Inputs(inputs)
        self._n_blocks = n_blocks
        self._chunk_target_s = chunk_target_s
        self._window = window
        self._retries = retries
        self._poison_after = poison_after
        self._timeout = timeout
        self._progress = progress
        self._in_flight: dict[TaskFuture, _Chunk] = {}
        self._again: deque[_Chunk] = deque()
        self._counted: Fold[None] = Fold(lambda left, right: None)
        self._block_s: float | None = None
        self._longest_measured = 1
        self._start_s = time.monotonic()
        self.n_lost = 0
        self.n_retried = 0
        self.workers = Workers(mixed=mixed)

    def __iter__(self) -> Generator[tuple[Range, P], None, None]:
        self._start_s = time.monotonic()
        try:
            while self._fill():
                for future in self._wait():
                    chunk = self._in_flight.pop(future)
                    for blocks, partial in self._settle(chunk, future):
                        if self._counted.add(blocks, None):
                            yield blocks, partial
                    self._report()
        finally:
            for future in self._in_flight:
                future.cancel()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start_s

    def describe(self) -> dict[str, Any]:
        """Return how the run was carried out, for its receipt.

        Returns
        -------
        dict
            Engine, losses, and the workers with their hosts, versions, shares and times.
        """
        return {
            "engine": self._engine.name,
            "n_workers": self._engine.n_workers or len(self.workers),
            "n_lost_tasks": self.n_lost,
            "n_retried_tasks": self.n_retried,
            "mixed": self.workers.differ,
            "workers": list(self.workers),
        }

    def _fill(self) -> bool:
        while len(self._in_flight) < (self._window or 2 * self._n_workers()):
            chunk = self._next_chunk()
            if chunk is None:
                break
            self._check_deadline()
            future = self._engine.submit(run_chunk, *self._call, chunk.start, chunk.inputs)
            self._in_flight[future] = chunk
        return bool(self._in_flight)

    def _n_workers(self) -> int:
        # Where the engine cannot tell, the window widens as more workers are met.
        return self._engine.n_workers or max(os.cpu_count() or 1, len(self.workers))

    def _next_chunk(self) -> _Chunk | None:
        if any(chunk.is_suspect for chunk in self._in_flight.values()):
            return None
        if self._again:
            if self._again[0].is_suspect and self._in_flight:
                return None
            return self._again.popleft()
        start, inputs = self._inputs.take(self._chunk_size())
        return _Chunk(start, inputs) if len(inputs) else None

    def _chunk_size(self) -> int:
        if self._block_s is None:
            return 1
        size = self._longest_measured * CHUNK_GROWTH
        if self._block_s > 0:
            size = min(size, int(self._chunk_target_s / self._block_s))
        if self._n_blocks is not None:  # let the last chunks end together
            remaining = self._n_blocks - self._inputs.n_taken
            size = min(size, -(-remaining // (2 * self._n_workers())))
        return max(1, size)

    def _remaining_s(self) -> float | None:
        if self._timeout is None:
            return None
        return min(max(0.0, self._timeout - self.elapsed_s), threading.TIMEOUT_MAX)

    def _check_deadline(self) -> None:
        if self._remaining_s() == 0.0:
            raise EngineTimeoutError(
                f"timeout of {self._timeout:g} s passed with {self._counted.n_blocks} blocks done "
                "and others still to come; allow more time or fewer blocks"
            )

    def _wait(self) -> list[TaskFuture]:
        ended = wait(self._in_flight, self._remaining_s(), return_when=FIRST_COMPLETED).done
        if not ended:
            self._check_deadline()
        return [future for future in self._in_flight if future in ended]

    def _settle(self, chunk: _Chunk, future: TaskFuture) -> list[tuple[Range, P]]:
        try:
            partials: list[tuple[Range, P]] = future.result()
        except WorkerLostError as error:
            self._send_lost_again(chunk, error, ran_alone=future.ran_alone)
        except TaskError as error:
            self._send_failed_again(chunk, error)
        except CancelledError:
            raise EngineError("a task of the run was cancelled from outside") from None
        else:
            self._learn(chunk, future.report)
            return partials
        return []

    def _send_lost_again(self, chunk: _Chunk, error: WorkerLostError, *, ran_alone: bool) -> None:
        self.n_lost += 1
        if len(chunk.inputs) > 1:
            self._again.extend(chunk.split(LOST_PARTS))
            return
        chunk.n_losses += 1
        chunk.n_deaths += ran_alone
        if chunk.n_deaths >= self._poison_after:
            raise PoisonTaskError(
                f"block {chunk.start} ended its worker {chunk.n_deaths} times, running alone, and "
                "is not sent again; look for what ends the process there (memory, a C extension, "
                "os._exit)",
                block=chunk.start,
                host=error.host,
            ) from error
        if chunk.n_losses >= LOSSES_PER_DEATH * self._poison_after:
            raise EngineError(
                f"block {chunk.start} was lost {chunk.n_losses} times with workers that ended, "
                "and other tasks on the engine leave it open whose fault it is; run it on an "
                "engine of its own"
            ) from error
        chunk.is_suspect = True
        self._again.append(chunk)

    def _send_failed_again(self, chunk: _Chunk, error: TaskError) -> None:
        n_blocks = len(chunk.inputs)
        if error.stage == "pickling the task":
            raise error
        if error.block is None and n_blocks > 1:  # find the one that cannot be pickled
            self._again.extend(chunk.split(LOST_PARTS))
            return
        if error.block is None:
            error.block = chunk.start
        if chunk.n_failures >= self._retries:
            raise error
        self.n_retried += 1
        self._again.extend(chunk.part_at(error.block))

    def _learn(self, chunk: _Chunk, report: dict[str, Any]) -> None:
        size = len(chunk.inputs)
        self.workers.add(report, size)
        measured = report["elapsed_s"] / size
        self._block_s = measured if self._block_s is None else (self._block_s + measured) / 2
        self._longest_measured = max(self._longest_measured, size)

    def _report(self) -> None:
        if self._progress is not None:
            self._progress(
                Progress(
                    n_done=self._counted.n_blocks,
                    n_blocks=self._n_blocks,
                    n_in_flight=len(self._in_flight),
                    n_lost=self.n_lost,
                    elapsed_s=self.elapsed_s,
                )
            )


class _Inputs:
    """Takes inputs off any iterable; ranges, lists and arrays are sliced, not copied out."""

    def __init__(self, inputs: Iterable[Any]) -> None:
        sliceable = isinstance(inputs, (range, list, tuple, np.ndarray))
        self._sequence: Any = inputs if sliceable else None
        self._iterator = None if sliceable else iter(inputs)
        self.n_taken = 0

    def take(self, size: int) -> tuple[int, Sequence[Any]]:
        start = self.n_taken
        taken: Sequence[Any]
        if self._iterator is not None:
            taken = list(islice(self._iterator, size))
        else:
            taken = self._sequence[start : start + size]
        self.n_taken += len(taken)
        return start, taken


def check_options(
    *,
    chunk_target_s: float = CHUNK_TARGET_S,
    window: int | None = None,
    retries: int = 0,
    poison_after: int = 3,
    timeout: float | None = None,
    mixed: bool = False,
    progress: ProgressCallback | None = None,
) -> None:
    """Check the options of `Dispatch`.

    Raises
    ------
    ValueError, TypeError
        If one is out of range.
    """
    if not isinstance(mixed, bool):
        raise TypeError(f"mixed must be True or False, got {mixed!r}")
    if progress is not None and not callable(progress):
        raise TypeError(f"progress must be callable, got {progress!r}")
    check_seconds("chunk_target_s", chunk_target_s)
    check_count("retries", retries, least=0)
    check_count("poison_after", poison_after)
    if window is not None:
        check_count("window", window)
    if timeout is not None:
        check_seconds("timeout", timeout)
