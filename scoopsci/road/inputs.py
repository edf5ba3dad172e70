"""The inputs of a run, taken from any iterable, and the chunks that they are sent in."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from scoopsci.road.blocks import Range
from scoopsci.road.stopping import BlockSizes, Supply

__all__ = ["Chunk", "Columns", "Inputs"]

#: Types whose slices hold what they yield. Exact types: a subclass may iterate differently.
SEQUENCES = (range, list, tuple, np.ndarray, np.memmap, BlockSizes, Supply)

#: Items that cannot change.
ATOMS = (type(None), bool, int, float, complex, str, bytes)

#: Number of items, the first of each chunk, among which a repeated object is detected.
N_FIRST = 4


@dataclass
class Chunk:
    """Consecutive blocks that are sent together, and their failures so far.

    Attributes
    ----------
    start : int
        Index of the first block.
    inputs : sequence
        An input for each block.
    n_failures, n_losses : int
        How often it raised, and how often it was lost with its worker.
    n_deaths : int
        Losses of a block that ran alone; only these count against it, since some engines lose all
        tasks when any worker ends.
    is_suspect : bool
        Whether it must run alone.
    n_missing : int
        How often its worker lacked what the tasks share.
    needs_whole : bool
        Whether to send that along for this reason.
    shared_bytes : int
        Size of what the tasks share, if it was sent along.
    """

    start: int
    inputs: Sequence[Any]
    n_failures: int = 0
    n_losses: int = 0
    n_deaths: int = 0
    is_suspect: bool = False
    n_missing: int = 0
    needs_whole: bool = False
    shared_bytes: int = 0

    def __len__(self) -> int:
        return len(self.inputs)

    def split(self, n_parts: int) -> Iterator[Chunk]:
        """Yield parts of about equal size."""
        size = -(-len(self) // n_parts)
        for offset in range(0, len(self), size):
            yield Chunk(self.start + offset, self.inputs[offset : offset + size])

    def cut(self, block: int) -> Chunk:
        """Return one of its blocks as a chunk."""
        return replace(self, start=block, inputs=self.inputs_of(Range(block, block + 1)))

    def inputs_of(self, blocks: Range) -> Sequence[Any]:
        """Return the inputs of some of its blocks."""
        return self.inputs[blocks.start - self.start : blocks.stop - self.start]


@dataclass(frozen=True, slots=True)
class Columns:
    """Sequences side by side: iterates as `zip` does, and its slices hold slices of them."""

    columns: tuple[Any, ...]  # the shortest one determines the length

    def __len__(self) -> int:
        return min(map(len, self.columns))

    def __getitem__(self, part: slice) -> Columns:
        return Columns(tuple(column[part] for column in self.columns))

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return zip(*self.columns, strict=False)

    @staticmethod
    def can_hold(inputs: object) -> bool:
        """Return whether slices of an iterable hold the items that it yields."""
        return type(inputs) in (*SEQUENCES, Columns)


class Inputs:
    """Takes inputs from any iterable; ranges, lists and arrays are sliced, not copied.

    `n_taken` counts them, and `error` is what the iterable raised, which ends the inputs.
    """

    def __init__(self, inputs: Iterable[Any]) -> None:
        iterator = iter(inputs)
        self._sequence: Any = inputs if Columns.can_hold(inputs) else None
        self._iterator = iterator if self._sequence is None else None
        self._first_items: list[Any] | None = []
        self._reuses = False
        self.n_taken = 0
        self.error: Exception | None = None

    def take(self, size: int, patience_s: float) -> tuple[int, Sequence[Any]]:
        """Take the next inputs; return the index of the first, and the inputs: none at the end.

        Parameters
        ----------
        size : int
            Their largest number.
        patience_s : float
            Seconds after which a slow iterator is not asked for more.
        """
        start = self.n_taken
        taken: Sequence[Any]
        if self._iterator is None:
            taken = self._sequence[start : start + size]
        else:
            taken = self._gather(size, patience_s)
        self.n_taken += len(taken)
        return start, taken

    def _gather(self, size: int, patience_s: float) -> list[Any]:
        taken: list[Any] = []
        deadline_s = time.monotonic() + patience_s / 2
        try:
            taken.extend(map(self._copy_first, self._take(1)))
            n_wanted = len(taken)
            while taken and len(taken) == n_wanted < size and time.monotonic() < deadline_s:
                n_wanted = min(2 * len(taken), size)  # twice as many take about as long again
                taken.extend(self._take(n_wanted - len(taken)))
        except Exception as error:
            # The inputs before the error are still run.
            self.error, self._iterator = error, iter(())
        return taken

    def _take(self, size: int) -> Iterator[Any]:
        assert self._iterator is not None
        items = islice(self._iterator, size)
        return map(_copy, items) if self._reuses else items

    def _copy_first(self, item: Any) -> Any:
        """Detect an iterator that yields the same object again, modified, such as a buffer."""
        parts = [part for part in _parts(item) if type(part) not in ATOMS]
        if self._first_items is None or not parts:
            return item
        before = self._first_items
        self._reuses = any(part is other for part in parts for other in before)
        self._first_items.extend(parts)
        if self._reuses or len(self._first_items) > N_FIRST:
            self._first_items = None
        return _copy(item)


def _parts(item: Any) -> tuple[Any, ...]:
    return item if type(item) is tuple else (item,)


def _copy(item: Any) -> Any:
    try:
        return copy.deepcopy(item)
    except Exception:  # such as a module, which is pickled by name
        return item
