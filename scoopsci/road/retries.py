"""Chunks that are lost or fail: which are resubmitted, in what parts, and which are not."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from typing import Any

from scoopsci.engines.shared import SharedMissingError
from scoopsci.errors import EngineError, PoisonTaskError, TaskError, WorkerLostError
from scoopsci.protocol.losses import LOSSES_PER_DEATH
from scoopsci.road.blocks import MergeError
from scoopsci.road.inputs import Chunk
from scoopsci.road.options import DispatchOptions

__all__ = ["Retries"]

#: A lost chunk is resubmitted in this many parts, and these as single blocks if they are lost, too:
#: a chunk of 100,000 tiny blocks must not become 100,000 tasks.
LOST_PARTS = 32

#: Number of losses that a run keeps.
MOST_LOSSES = 100


class Retries:
    """The chunks that wait to be resubmitted.

    Its methods return the final error of a block, or None if it is resubmitted.

    Attributes
    ----------
    waiting : deque of Chunk
        The chunks.
    n_lost, n_retried : int
        Chunks lost with their workers, and blocks retried after they raised.
    losses : deque of dict
        The last losses: when (in seconds after `zero_s`), where, how many blocks and why.
    """

    def __init__(self, options: DispatchOptions, zero_s: float) -> None:
        self._options = options
        self._zero_s = zero_s
        self.waiting: deque[Chunk] = deque()
        self.n_lost = self.n_retried = 0
        self.losses: deque[dict[str, Any]] = deque(maxlen=MOST_LOSSES)

    def add_lost(
        self, chunk: Chunk, error: WorkerLostError, *, ran_alone: bool
    ) -> PoisonTaskError | None:
        """Take a chunk that was lost with its worker.

        An EngineError is raised if it was lost too often for reasons that may not be its own.
        """
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
            self.waiting.extend(chunk.split(LOST_PARTS))
            return None
        chunk.n_losses += 1
        chunk.n_deaths += ran_alone if error.by_task is None else error.by_task
        if chunk.n_deaths >= self._options.poison_after:
            return PoisonTaskError.of_deaths(chunk.n_deaths, error, block=chunk.start)
        if chunk.n_losses >= LOSSES_PER_DEATH * self._options.poison_after:
            raise EngineError(
                f"block {chunk.start} was lost {chunk.n_losses} times with workers that ended, "
                f"perhaps through no fault of its own; run it on a separate engine: {error}"
            ) from error
        chunk.is_suspect = error.by_task is None
        self.waiting.append(chunk)
        return None

    def add_failed(
        self, chunk: Chunk, error: TaskError, in_flight: Iterable[Chunk]
    ) -> TaskError | None:
        """Take a chunk whose task failed as a whole; raise the error if it is one of merging."""
        if isinstance(error.__cause__, MergeError):
            error.error = error.__cause__ = error.__cause__.args[0]
            raise error
        if isinstance(error.__cause__, SharedMissingError):
            # Another task may bring it to the worker before this one is resubmitted.
            others = (*in_flight, *self.waiting)
            chunk.needs_whole = chunk.n_missing > 0 or not any(c.needs_whole for c in others)
            chunk.n_missing += 1
            self.waiting.append(chunk)
            return None
        if len(chunk) > 1:  # find the block that cannot be pickled, or that raised SystemExit
            self.waiting.extend(chunk.split(LOST_PARTS))
            return None
        error.name_block(chunk.start)
        return self.add_raised(chunk, error)

    def add_raised(self, chunk: Chunk, error: TaskError) -> TaskError | None:
        """Take a block that raised."""
        if chunk.n_failures >= self._options.retries:
            return error
        self.n_retried += 1
        chunk.n_failures += 1
        self.waiting.append(chunk)
        return None
