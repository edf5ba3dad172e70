"""What a run reads from its ledger, and what it adds to it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Generic, NoReturn, TypeVar

from scoopsci.basics.codehash import hash_values
from scoopsci.errors import LedgerError
from scoopsci.road.blocks import Range
from scoopsci.road.inputs import Chunk, Inputs
from scoopsci.road.ledger import Ledger
from scoopsci.road.stopping import Supply, describe_sizes

__all__ = ["Recorded"]

P = TypeVar("P")


class Recorded(Generic[P]):
    """The recorded ranges ahead of a run, in block order.

    Without a ledger, nothing is recorded. With a `supply`, the source of its `inputs`, a run may
    stop early, and the ledger may hold more than it needs.
    """

    def __init__(self, ledger: Ledger | None, inputs: Inputs, supply: Supply | None) -> None:
        self._ledger = ledger
        self._inputs = inputs
        self._supply = supply
        self._describe = hash_values if supply is None else describe_sizes
        limit = None if supply is None else supply.n_blocks
        self._ranges = deque(ledger.find_ranges(limit) if ledger is not None else ())

    @property
    def numerics(self) -> list[dict[str, str]]:
        """How the hosts that recorded ranges compute."""
        return [] if self._ledger is None else self._ledger.find_numerics()

    def n_before(self) -> int | None:
        """Return the number of inputs before the next recorded range; None without one."""
        return self._ranges[0].start - self._inputs.n_taken if self._ranges else None

    def recall(self, patience_s: float) -> tuple[Range, P, int] | Chunk:
        """Take the inputs of the next recorded range; return it, its partial and its size in bytes.

        Or return a chunk to run, if a shorter run ended within one of its blocks.
        """
        assert self._ledger is not None
        blocks = self._ranges.popleft()
        if self._supply is not None:
            self._supply.want(blocks.stop)
        inputs: list[Any] = []
        while len(inputs) < blocks.size:
            _, taken = self._inputs.take(blocks.size - len(inputs), patience_s)
            if not len(taken):
                self._refuse_missing(blocks)
            inputs.extend(taken)
        described = self._describe(inputs)
        if self._supply is not None and not self._ledger.has(blocks, described):
            return Chunk(blocks.start, inputs)
        return blocks, *self._ledger.read(blocks, described)

    def add(
        self, chunk: Chunk, partials: Iterable[tuple[Range, P]], facts: Mapping[str, Any]
    ) -> None:
        """Record the partials of a chunk, and how the host that ran it computes."""
        if self._ledger is None:
            return
        self._ledger.add(
            (
                (blocks, self._describe(chunk.inputs_of(blocks)), partial)
                for blocks, partial in partials
            ),
            {name: facts[name] for name in ("numpy", "battery", "host")},
        )

    def check_end(self) -> None:
        """Raise a LedgerError if the ledger has more blocks than there were inputs."""
        if self._ranges and self._supply is None:
            self._refuse_missing(self._ranges[-1])

    def _refuse_missing(self, blocks: Range) -> NoReturn:
        assert self._ledger is not None
        raise LedgerError(
            f"{self._ledger.path} is the ledger of another run: it has block {blocks.stop - 1}, "
            f"and there are {self._inputs.n_taken} inputs now; repeat that run, or name another "
            "file"
        )
