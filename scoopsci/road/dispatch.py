"""The one road: blocks become chunks, chunks become tasks, tasks become partials of ranges.

This module alone decides what is sent, and when. It cannot change a result: a block is computed
from its index and its input alone, and partials merge along the fixed tree of `blocks`.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, wait
from typing import Any, Generic, TypeVar

from scoopsci.basics.interrupts import check_end
from scoopsci.engines.base import Engine
from scoopsci.engines.shared import Shared
from scoopsci.engines.taskfuture import TaskFuture
from scoopsci.errors import (
    EngineError,
    EngineTimeoutError,
    ScoopsciError,
    TaskError,
    WorkerLostError,
)
from scoopsci.reporting.progress import Progress, ProgressCallback
from scoopsci.reporting.workers import Workers, with_numerics
from scoopsci.road.blocks import Fold, Range
from scoopsci.road.chunks import RunBlocks, run_chunk
from scoopsci.road.inputs import Chunk, Inputs
from scoopsci.road.ledger import Ledger
from scoopsci.road.options import DispatchOptions
from scoopsci.road.recorded import Recorded
from scoopsci.road.retries import Retries
from scoopsci.road.sizing import ChunkSizes
from scoopsci.road.stopping import Supply

__all__ = ["Dispatch"]

P = TypeVar("P")

#: Memory that results which wait for their turn may take before no new blocks are sent.
HELD_BYTES = 1 << 28


class Dispatch(Generic[P]):
    """One pass of blocks through an open engine. Iterate over it once, to the end.

    Yields pairs of `Range` and partial as they arrive; every block is counted exactly once.
    Leaving the loop early, by an error or Ctrl-C, cancels what has not started.

    Parameters
    ----------
    run_blocks : callable
        How workers run consecutive blocks; see `scoopsci.road.chunks.RunBlocks`. A block must
        depend on its index and its input only.
    inputs : iterable or Supply
        An input for each block, consumed as the window advances. A supply may grow whenever a
        partial has been yielded.
    n_blocks : int, optional
        Number of inputs, if known.
    ledger : Ledger, optional
        Ranges that it holds are not run again; new ones are recorded before they are yielded.
        With a supply, it may also hold ranges that this run does not need.
    stand_in : callable, optional
        ``stand_in(error)`` is the partial of a block that fails; by default the error is raised.
    tell : callable, optional
        Gets the state of the run whenever a task has ended.
    zero_s : float, optional
        Start of the run by the monotonic clock: zero of the times of workers and losses.
    """

    def __init__(
        self,
        engine: Engine,
        run_blocks: RunBlocks[P],
        inputs: Iterable[Any],
        options: DispatchOptions,
        *,
        n_blocks: int | None = None,
        ledger: Ledger | None = None,
        stand_in: Callable[[TaskError], P] | None = None,
        tell: ProgressCallback | None = None,
        zero_s: float | None = None,
    ) -> None:
        self._engine = engine
        self._options = options
        self._inputs = Inputs(inputs)
        self._supply = inputs if isinstance(inputs, Supply) else None
        self._n_blocks = n_blocks
        self._stand_in = stand_in
        self._tell = tell
        self._recorded: Recorded[P] = Recorded(ledger, self._inputs, self._supply)
        self._is_recorded = ledger is not None
        self._shared = Shared(run_blocks)
        self._n_whole_sent = 0
        self._in_flight: dict[TaskFuture, Chunk] = {}
        self._counted: Fold[None] = Fold(lambda left, right: None)
        self._n_held = 0
        self._sizes = ChunkSizes()
        self._start_s = time.monotonic()
        self._zero_s = self._start_s if zero_s is None else zero_s
        self.retries = Retries(options, self._zero_s)
        self.n_recalled = 0
        self.workers = Workers(mixed=options.mixed or engine.mixed, start_s=self._zero_s)
        for facts in self._recorded.numerics:
            self.workers.compare(facts)

    def __iter__(self) -> Generator[tuple[Range, P], None, None]:
        self._start_s = time.monotonic()
        try:
            while True:
                yield from self._fill()
                if not self._in_flight:
                    break
                check_end()
                for future in self._wait():
                    yield from self._settle(self._in_flight.pop(future), future)
                    if self._tell is not None:
                        self._tell(self.state())
            if self._inputs.error is not None:
                raise self._inputs.error
            self._recorded.check_end()
        finally:
            self._leave()

    def in_order(self) -> Generator[tuple[Range, P], None, None]:
        """Yield the pairs in block order, holding back those that arrive early."""
        held: dict[int, tuple[Range, P]] = {}
        next_block = 0
        with contextlib.closing(iter(self)) as partials:
            for blocks, partial in partials:
                held[blocks.start] = blocks, partial
                self._n_held += blocks.size
                while next_block in held:
                    blocks, partial = held.pop(next_block)
                    self._n_held -= blocks.size
                    next_block = blocks.stop
                    yield blocks, partial

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start_s

    def describe(self) -> dict[str, Any]:
        """Return how the run was carried out, for its receipt."""
        return {
            "engine": self._engine.name,
            "n_workers": self._engine.n_workers or len(self.workers),
            "n_lost_tasks": self.retries.n_lost,
            "n_retried_tasks": self.retries.n_retried,
            "n_recalled_blocks": self.n_recalled,
            "mixed": self.workers.differ,
            "losses": list(self.retries.losses),
            "workers": self.workers.describe(),
        }

    def _fill(self) -> Iterator[tuple[Range, P]]:
        """Submit chunks until the window is full, and yield what the ledger holds."""
        while len(self._in_flight) < (self._options.window or 2 * self._n_workers()):
            if any(map(TaskFuture.done, self._in_flight)):
                break  # the next input may take long, or depend on this very result
            if self._recorded.n_before() == 0 and not self._holds_enough():
                yield from self._recall()
                continue
            chunk = self._next_chunk()
            if chunk is None:
                break
            self._check_deadline()
            self._submit(chunk)

    def _submit(self, chunk: Chunk) -> None:
        # Each worker needs what the tasks share once, but which one takes a task is not known.
        shared = self._shared
        whole = shared.is_small or chunk.needs_whole or self._n_whole_sent < self._n_workers()
        self._n_whole_sent += whole
        chunk.shared_bytes = shared.n_bytes if whole else 0
        future = self._engine.submit_of_run(
            run_chunk,
            shared.whole if whole else shared.reference,
            chunk.start,
            chunk.inputs,
            self._options.retries > 0 or self._stand_in is not None,
        )
        self._in_flight[future] = chunk

    def _n_workers(self) -> int:
        # If the engine does not know it, the window widens as workers report for the first time.
        return self._engine.n_workers or max(os.cpu_count() or 1, len(self.workers))

    def _next_chunk(self) -> Chunk | None:
        if any(chunk.is_suspect for chunk in self._in_flight.values()):
            return None
        if waiting := self.retries.waiting:
            return None if waiting[0].is_suspect and self._in_flight else waiting.popleft()
        if self._holds_enough():
            return None
        start, inputs = self._inputs.take(self._chunk_size(), self._chunk_s())
        return Chunk(start, inputs) if len(inputs) else None

    def _chunk_size(self) -> int:
        if self._options.window == 1:
            return 1  # an input may depend on the result of the last one
        n_blocks, n_taken = self._n_expected(), self._inputs.n_taken
        n_remaining = None if n_blocks is None else n_blocks - n_taken
        size = self._sizes.next_size(self._chunk_s(), n_remaining, self._n_workers())
        n_before = self._recorded.n_before()
        return size if n_before is None else min(size, n_before)

    def _chunk_s(self) -> float:
        return self._options.chunk_s(self.elapsed_s)

    def _n_expected(self) -> int | None:
        return self._n_blocks if self._supply is None else len(self._supply)

    def _holds_enough(self) -> bool:
        return self._n_held * self._sizes.bytes_per_block > HELD_BYTES

    def _recall(self) -> Iterator[tuple[Range, P]]:
        """Yield the next range of the ledger, or queue it to be run if its inputs differ."""
        found = self._recorded.recall(self._chunk_s())
        if isinstance(found, Chunk):
            self.retries.waiting.append(found)
            return
        blocks, partial, n_bytes = found
        self._sizes.note_bytes(blocks.size, n_bytes)
        self._counted.add(blocks, None)
        self.n_recalled += blocks.size
        yield blocks, partial

    def _remaining_s(self) -> float | None:
        if self._options.timeout is None:
            return None
        return min(max(0.0, self._options.timeout - self.elapsed_s), threading.TIMEOUT_MAX)

    def _check_deadline(self) -> None:
        if self._remaining_s() == 0.0:
            raise EngineTimeoutError(
                f"timeout of {self._options.timeout:g} s passed with {self._counted.n_blocks} "
                "blocks done and more to come; allow more time, or run fewer blocks"
            )

    def _wait(self) -> list[TaskFuture]:
        ended = wait(self._in_flight, self._remaining_s(), return_when=FIRST_COMPLETED).done
        if not ended:
            self._check_deadline()
        return [future for future in self._in_flight if future in ended]

    def _settle(self, chunk: Chunk, future: TaskFuture) -> Iterator[tuple[Range, P]]:
        final: TaskError | None
        try:
            partials, failures, numerics = future.result()
        except WorkerLostError as error:
            final = self.retries.add_lost(chunk, error, ran_alone=future.ran_alone)
            yield from self._give_up(chunk, final)
        except TaskError as error:
            final = self.retries.add_failed(chunk, error, self._in_flight.values())
            yield from self._give_up(chunk, final)
        except CancelledError:
            raise EngineError("a task of the run was cancelled from outside") from None
        else:
            report = with_numerics(future.report, numerics)
            self._learn(chunk, report)
            yield from self._count(chunk, partials, report)
            for block, failure in failures:
                failed = chunk.cut(block)
                final = self.retries.add_raised(failed, failure.as_error(block))
                yield from self._give_up(failed, final)

    def _count(
        self, chunk: Chunk, partials: list[tuple[Range, P]], facts: dict[str, Any]
    ) -> list[tuple[Range, P]]:
        """Return the partials that are new, once they are recorded."""
        new = [pair for pair in partials if self._counted.add(pair[0], None)]
        if new:
            self._recorded.add(chunk, new, facts)
        return new

    def _give_up(self, chunk: Chunk, error: TaskError | None) -> Iterator[tuple[Range, P]]:
        """Raise a block's final error, if any, or yield the partial that replaces the block."""
        if error is None:
            return
        if self._stand_in is None:
            raise error
        block = Range(chunk.start, chunk.start + 1)
        self._counted.add(block, None)
        yield block, self._stand_in(error)

    def _learn(self, chunk: Chunk, report: dict[str, Any]) -> None:
        size = len(chunk)
        self.workers.add(report, size)
        self._sizes.note_time(size, report["elapsed_s"])
        sent_bytes = report["sent_bytes"] - chunk.shared_bytes
        self._sizes.note_bytes(size, sent_bytes + report["returned_bytes"])

    def state(self) -> Progress:
        """Return the progress of the run."""
        return Progress(
            n_done=self._counted.n_blocks,
            n_blocks=self._n_expected(),
            n_recalled=self.n_recalled,
            worker_s=self.workers.computing_s,
            n_in_flight=len(self._in_flight),
            n_lost=self.retries.n_lost,
            n_retried=self.retries.n_retried,
            n_workers=self._engine.n_workers,
            elapsed_s=self.elapsed_s,
            workers=self.workers,
            losses=self.retries.losses,
        )

    def _leave(self) -> None:
        """Cancel what has not started, and record what has ended meanwhile."""
        self._shared.forget()
        for future, chunk in self._in_flight.items():
            if future.cancel() or not self._is_recorded or not future.done():
                continue
            with contextlib.suppress(ScoopsciError):
                partials, _, numerics = future.result()
                report = with_numerics(future.report, numerics)
                self._learn(chunk, report)  # not of a host that computes differently
                self._count(chunk, partials, report)
