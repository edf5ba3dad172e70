"""The one road: blocks become chunks, chunks become tasks, tasks become partials of ranges.

This alone decides what is shipped, and when. Nothing here can change a result: a block is computed
from its index and its input alone, and partials merge along the fixed tree of `blocks`.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, wait
from typing import Any, Generic, NoReturn, TypeVar

from scoopsci.basics.codehash import hash_values
from scoopsci.basics.interrupts import check_end
from scoopsci.engines.base import Engine, TaskFuture
from scoopsci.engines.shared import Shared, SharedMissingError
from scoopsci.errors import (
    EngineError,
    EngineTimeoutError,
    LedgerError,
    PoisonTaskError,
    ScoopsciError,
    TaskError,
    WorkerLostError,
)
from scoopsci.pool.losses import LOSSES_PER_DEATH
from scoopsci.reporting.progress import Progress, ProgressCallback
from scoopsci.reporting.workers import Workers, with_numerics
from scoopsci.road.blocks import Fold, MergeError, Range
from scoopsci.road.chunks import Chunk, Inputs, RunBlocks, run_chunk
from scoopsci.road.ledger import Ledger
from scoopsci.road.options import DispatchOptions
from scoopsci.road.stopping import Supply, describe_sizes

__all__ = ["Dispatch"]

P = TypeVar("P")

#: A lost chunk is sent again in so many parts, and these as single blocks if they are lost, too:
#: a chunk of 100,000 tiny blocks must not become 100,000 tasks.
LOST_PARTS = 32

#: A chunk may be this many times the longest one measured so far: first timings are rough.
CHUNK_GROWTH = 32

#: Towards the end chunks get shorter, so that the last ones end together, but not so short that
#: the road would take longer than the work.
LEAST_CHUNK_S = 0.003

#: Nor do a chunk's inputs and results take more than this, by the blocks so far.
CHUNK_BYTES = 1 << 20

#: Losses that a run remembers.
MOST_LOSSES = 100

#: Results that wait for their turn may take this much memory before new blocks have to wait.
HELD_BYTES = 1 << 28


class Dispatch(Generic[P]):
    """One walk of blocks through an engine. Iterate over it once, to the end.

    Yields pairs of `Range` and partial as they come; every block is counted exactly once.
    Leaving the loop early, by an error or Ctrl-C, cancels what has not started.

    Parameters
    ----------
    engine : Engine
        An open engine.
    run_blocks : callable
        What workers do with consecutive blocks; see `scoopsci.road.chunks.RunBlocks`. A block must
        depend on nothing but its index and its input.
    inputs : iterable or Supply
        An input for each block; consumed as the window moves on. A supply is asked for what it
        hands out for now, and may be told to hand out more whenever a partial has been yielded.
    options : DispatchOptions
        How to go about it.
    n_blocks : int, optional
        Number of inputs, where it is known.
    ledger : Ledger, optional
        Ranges that it holds are not run again; those that end are recorded before they are
        yielded. With a supply, it may also hold what this run has no use for.
    stand_in : callable, optional
        ``stand_in(error)`` is the partial of a block that fails; by default the error is raised.
    tell : callable, optional
        Gets the state of the run whenever a task has ended.
    zero_s : float, optional
        When the run began, by the monotonic clock: zero of the times of workers and losses.
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
        self._describe = hash_values if self._supply is None else describe_sizes
        self._n_blocks = n_blocks
        self._ledger = ledger
        self._stand_in = stand_in
        self._tell = tell
        self._recorded = deque(
            ledger.find_ranges(None if self._supply is None else self._supply.n_blocks)
            if ledger is not None
            else ()
        )
        self._shared = Shared(run_blocks)
        self._n_whole_sent = 0
        self._in_flight: dict[TaskFuture, Chunk] = {}
        self._again: deque[Chunk] = deque()
        self._counted: Fold[None] = Fold(lambda left, right: None)
        self._n_held = 0
        self._block_s: float | None = None
        self._longest_measured = 1
        self._n_measured = 0
        self._travelled_bytes = 0
        self._start_s = time.monotonic()
        self._zero_s = self._start_s if zero_s is None else zero_s
        self.n_lost = 0
        self.losses: deque[dict[str, Any]] = deque(maxlen=MOST_LOSSES)
        self.n_retried = 0
        self.n_recalled = 0
        self.workers = Workers(mixed=options.mixed or engine.mixed, start_s=self._zero_s)
        for facts in ledger.find_numerics() if ledger is not None else ():
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
            if self._recorded and self._supply is None:
                self._refuse_missing(self._recorded[-1])
        finally:
            self._leave()

    def in_order(self) -> Generator[tuple[Range, P], None, None]:
        """Yield the pairs in block order, and hold back those that come early."""
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
            "n_recalled_blocks": self.n_recalled,
            "mixed": self.workers.differ,
            "losses": list(self.losses),
            "workers": self.workers.describe(),
        }

    def _fill(self) -> Iterator[tuple[Range, P]]:
        """Submit chunks as far as the window is open, and yield what needs no worker."""
        while len(self._in_flight) < (self._options.window or 2 * self._n_workers()):
            if any(map(TaskFuture.done, self._in_flight)):
                break  # the next input may be long in coming, or wait for this very result
            reached = self._recorded and self._recorded[0].start == self._inputs.n_taken
            if reached and not self._holds_enough():
                yield from self._recall(self._recorded.popleft())
                continue
            chunk = self._next_chunk()
            if chunk is None:
                break
            self._check_deadline()
            self._submit(chunk)

    def _submit(self, chunk: Chunk) -> None:
        # Each worker needs what the tasks share once; which one takes a task is not known.
        shared = self._shared
        whole = shared.is_small or chunk.needs_whole or self._n_whole_sent < self._n_workers()
        self._n_whole_sent += whole
        chunk.shared_bytes = shared.n_bytes if whole else 0
        future = self._engine.submit(
            run_chunk,
            shared.whole if whole else shared.reference,
            chunk.start,
            chunk.inputs,
            self._options.retries > 0 or self._stand_in is not None,
        )
        self._in_flight[future] = chunk

    def _n_workers(self) -> int:
        # Where the engine cannot tell, the window widens as more workers are met.
        return self._engine.n_workers or max(os.cpu_count() or 1, len(self.workers))

    def _next_chunk(self) -> Chunk | None:
        if any(chunk.is_suspect for chunk in self._in_flight.values()):
            return None
        if self._again:
            if self._again[0].is_suspect and self._in_flight:
                return None
            return self._again.popleft()
        if self._holds_enough():
            return None
        start, inputs = self._inputs.take(self._chunk_size(), self._chunk_s())
        return Chunk(start, inputs) if len(inputs) else None

    def _chunk_size(self) -> int:
        if self._block_s is None or self._options.window == 1:
            return 1  # in a window of one, an input may wait for the result of the last
        sizes = [
            self._longest_measured * CHUNK_GROWTH,
            CHUNK_BYTES / max(1.0, self._bytes_per_block()),
            self._chunk_s() / self._block_s,
        ]
        n_blocks = self._n_expected()
        if n_blocks is not None:
            remaining = n_blocks - self._inputs.n_taken
            least = min(LEAST_CHUNK_S, self._chunk_s()) / self._block_s
            sizes.append(max(remaining / (2 * self._n_workers()), least))
        if self._recorded:
            sizes.append(self._recorded[0].start - self._inputs.n_taken)
        return max(1, math.ceil(min(sizes)))

    def _chunk_s(self) -> float:
        return self._options.chunk_s(self.elapsed_s)

    def _n_expected(self) -> int | None:
        return self._n_blocks if self._supply is None else len(self._supply)

    def _refuse_missing(self, blocks: Range) -> NoReturn:
        assert self._ledger is not None
        raise LedgerError(
            f"{self._ledger.path} is the ledger of another run: it has block {blocks.stop - 1}, "
            f"and there are {self._inputs.n_taken} inputs now; repeat that run, or name another "
            "file"
        )

    def _holds_enough(self) -> bool:
        return self._n_held * self._bytes_per_block() > HELD_BYTES

    def _bytes_per_block(self) -> float:
        return self._travelled_bytes / max(1, self._n_measured)

    def _recall(self, blocks: Range) -> Iterator[tuple[Range, P]]:
        """Take a range from the ledger, and its inputs off the iterable."""
        assert self._ledger is not None
        if self._supply is not None:
            self._supply.want(blocks.stop)
        inputs: list[Any] = []
        while len(inputs) < blocks.size:
            _, taken = self._inputs.take(blocks.size - len(inputs), self._chunk_s())
            if not len(taken):
                self._refuse_missing(blocks)
            inputs.extend(taken)
        described = self._describe(inputs)
        if self._supply is not None and not self._ledger.has(blocks, described):
            # A shorter run has ended here, in the midst of a block.
            self._again.append(Chunk(blocks.start, inputs))
            return
        partial, n_bytes = self._ledger.read(blocks, described)
        self._n_measured += blocks.size
        self._travelled_bytes += n_bytes
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
                "blocks done and others still to come; allow more time or fewer blocks"
            )

    def _wait(self) -> list[TaskFuture]:
        ended = wait(self._in_flight, self._remaining_s(), return_when=FIRST_COMPLETED).done
        if not ended:
            self._check_deadline()
        return [future for future in self._in_flight if future in ended]

    def _settle(self, chunk: Chunk, future: TaskFuture) -> Iterator[tuple[Range, P]]:
        try:
            partials, failures, numerics = future.result()
        except WorkerLostError as error:
            by_task = future.ran_alone if error.by_task is None else error.by_task
            yield from self._send_lost_again(chunk, error, by_task=by_task)
        except TaskError as error:
            yield from self._send_failed_again(chunk, error)
        except CancelledError:
            raise EngineError("a task of the run was cancelled from outside") from None
        else:
            report = with_numerics(future.report, numerics)
            self._learn(chunk, report)
            yield from self._count(chunk, partials, report)
            for block, failure in failures:
                yield from self._retry(chunk.cut(block), failure.as_error(block))

    def _count(
        self, chunk: Chunk, partials: list[tuple[Range, P]], facts: dict[str, Any]
    ) -> list[tuple[Range, P]]:
        """Return the partials that are new, once they are recorded."""
        new = [pair for pair in partials if self._counted.add(pair[0], None)]
        if self._ledger is not None and new:
            self._ledger.add(
                (
                    (blocks, self._describe(chunk.inputs_of(blocks)), partial)
                    for blocks, partial in new
                ),
                {name: facts[name] for name in ("numpy", "battery", "host")},
            )
        return new

    def _send_lost_again(
        self, chunk: Chunk, error: WorkerLostError, *, by_task: bool
    ) -> Iterator[tuple[Range, P]]:
        self.n_lost += 1
        self.losses.append(
            {
                "at_s": round(time.monotonic() - self._zero_s, 3),
                "host": error.host or "",
                "n_blocks": len(chunk),
                "why": str(error),
            }
        )
        if len(chunk) > 1:
            self._again.extend(chunk.split(LOST_PARTS))
            return
        chunk.n_losses += 1
        chunk.n_deaths += by_task
        if chunk.n_deaths >= self._options.poison_after:
            poison = PoisonTaskError.of_deaths(chunk.n_deaths, error, block=chunk.start)
            yield self._give_up(chunk, poison)
        elif chunk.n_losses >= LOSSES_PER_DEATH * self._options.poison_after:
            raise EngineError(
                f"block {chunk.start} was lost {chunk.n_losses} times with workers that ended, "
                f"which need not be its fault; run it on an engine of its own: {error}"
            ) from error
        else:
            chunk.is_suspect = error.by_task is None
            self._again.append(chunk)

    def _send_failed_again(self, chunk: Chunk, error: TaskError) -> Iterator[tuple[Range, P]]:
        if isinstance(error.__cause__, MergeError):
            error.__cause__ = error.__cause__.args[0]
            raise error
        if isinstance(error.__cause__, SharedMissingError):
            # What goes along with another task may reach the worker before this one is back.
            waiting = (*self._in_flight.values(), *self._again)
            chunk.needs_whole = chunk.n_missing > 0 or not any(c.needs_whole for c in waiting)
            chunk.n_missing += 1
            self._again.append(chunk)
        elif len(chunk) > 1:  # find the block that cannot be pickled, or that raised SystemExit
            self._again.extend(chunk.split(LOST_PARTS))
        else:
            error.name_block(chunk.start)
            yield from self._retry(chunk, error)

    def _retry(self, chunk: Chunk, error: TaskError) -> Iterator[tuple[Range, P]]:
        if chunk.n_failures >= self._options.retries:
            yield self._give_up(chunk, error)
            return
        self.n_retried += 1
        chunk.n_failures += 1
        self._again.append(chunk)

    def _give_up(self, chunk: Chunk, error: TaskError) -> tuple[Range, P]:
        if self._stand_in is None:
            raise error
        block = Range(chunk.start, chunk.start + 1)
        self._counted.add(block, None)
        return block, self._stand_in(error)

    def _learn(self, chunk: Chunk, report: dict[str, Any]) -> None:
        size = len(chunk)
        self.workers.add(report, size)
        measured = max(report["elapsed_s"], 1e-9) / size  # the clock may be coarse
        self._block_s = measured if self._block_s is None else (self._block_s + measured) / 2
        self._longest_measured = max(self._longest_measured, size)
        self._n_measured += size
        sent_bytes = report["sent_bytes"] - chunk.shared_bytes
        self._travelled_bytes += sent_bytes + report["returned_bytes"]

    def state(self) -> Progress:
        """Return how far the run is."""
        return Progress(
            n_done=self._counted.n_blocks,
            n_blocks=self._n_expected(),
            n_recalled=self.n_recalled,
            worker_s=self.workers.computing_s,
            n_in_flight=len(self._in_flight),
            n_lost=self.n_lost,
            n_retried=self.n_retried,
            n_workers=self._engine.n_workers,
            elapsed_s=self.elapsed_s,
            workers=self.workers,
            losses=self.losses,
        )

    def _leave(self) -> None:
        """Cancel what has not started; what has ended meanwhile is recorded, not lost."""
        self._shared.forget()
        for future, chunk in self._in_flight.items():
            if future.cancel() or self._ledger is None or not future.done():
                continue
            with contextlib.suppress(ScoopsciError):
                partials, _, numerics = future.result()
                report = with_numerics(future.report, numerics)
                self._learn(chunk, report)  # not of a host that computes differently
                self._count(chunk, partials, report)
