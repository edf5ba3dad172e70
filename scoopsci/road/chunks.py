"""How a worker runs a chunk: consecutive blocks, and the partials that they give."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import starmap
from typing import Any, Generic, TypeAlias, TypeVar

from scoopsci.engines.failure import Failure
from scoopsci.estimation.streams import block_generator
from scoopsci.road.blocks import MergeError, Range, merge_consecutive, split_into_ranges

__all__ = ["CallEach", "FoldBlocks", "ListBlocks", "RunBlocks", "run_chunk"]

P = TypeVar("P")

#: ``run_blocks(start, inputs)`` yields the partials of maximal ranges, in block order. Where a
#: block raises, those before it are yielded first.
RunBlocks: TypeAlias = Callable[[int, Iterator[Any]], Iterable[tuple[Range, P]]]


@dataclass(frozen=True, slots=True)
class CallEach:
    """Calls a function on each input.

    Attributes
    ----------
    fn : callable
        The function.
    unpack : bool
        Whether an input is a tuple of arguments.
    seed : int, optional
        Seed of the streams: the first argument is then the random generator of the block.
    """

    fn: Callable[..., Any]
    unpack: bool = False
    seed: int | None = None

    def __call__(self, start: int, inputs: Iterator[Any]) -> Iterator[Any]:
        """Yield the result for each input."""
        if self.seed is not None:
            return self._call_seeded(start, inputs, self.seed)
        return starmap(self.fn, inputs) if self.unpack else map(self.fn, inputs)

    def _call_seeded(self, start: int, inputs: Iterator[Any], seed: int) -> Iterator[Any]:
        for block, value in enumerate(inputs, start):
            arguments = value if self.unpack else (value,)
            yield self.fn(block_generator(seed, block), *arguments)


@dataclass(frozen=True, slots=True)
class FoldBlocks(Generic[P]):
    """Runs blocks one by one, and merges their partials.

    Attributes
    ----------
    run_all : callable
        ``run_all(start, inputs)`` yields a partial for each input.
    merge : callable
        ``merge(left, right)`` of two partials.
    """

    run_all: Callable[[int, Iterator[Any]], Iterable[P]]
    merge: Callable[[P, P], P]

    @property
    def numerics(self) -> str:
        """How this host computes, beside what its battery shows."""
        return getattr(self.run_all, "numerics", "")

    def __call__(self, start: int, inputs: Iterator[Any]) -> Iterator[tuple[Range, P]]:
        """Yield the merged partials; see `RunBlocks`."""
        return merge_consecutive(self.merge, start, self.run_all(start, inputs))


@dataclass(frozen=True, slots=True)
class ListBlocks:
    """Runs blocks one by one, and lists their results.

    Attributes
    ----------
    run_all : callable
        ``run_all(start, inputs)`` yields a result for each input.
    """

    run_all: Callable[[int, Iterator[Any]], Iterable[Any]]

    def __call__(self, start: int, inputs: Iterator[Any]) -> Iterator[tuple[Range, list[Any]]]:
        """Yield the listed results; see `RunBlocks`."""
        results: list[Any] = []
        try:
            results.extend(self.run_all(start, inputs))  # keeps what comes before an error
        finally:
            for blocks in split_into_ranges(start, start + len(results)):
                yield blocks, results[blocks.start - start : blocks.stop - start]


def run_chunk(
    run_blocks: RunBlocks[P], start: int, inputs: Sequence[Any], go_on: bool
) -> tuple[list[tuple[Range, P]], list[tuple[int, Failure]], str]:
    """Run consecutive blocks on a worker.

    Parameters
    ----------
    run_blocks : callable
        How to run them; see `RunBlocks`.
    start, inputs : int, sequence
        Index of the first block, and an input for each.
    go_on : bool
        Whether to run the blocks that follow a failure, too.

    Returns
    -------
    partials : list of tuple of Range, object
        Those of the blocks that succeeded.
    failures : list of tuple of int, Failure
        Indices of the blocks that failed, and why.
    numerics : str
        How the host computes in compiled code, which its battery does not show.
    """
    rest, stop = iter(inputs), start + len(inputs)
    partials: list[tuple[Range, P]] = []
    failures: list[tuple[int, Failure]] = []
    at = start
    while at < stop and (go_on or not failures):
        try:
            for blocks, partial in run_blocks(at, rest):
                partials.append((blocks, partial))
                at = blocks.stop
            if at < stop:
                raise RuntimeError("the function raised StopIteration")
        except MergeError:
            raise
        except (Exception, SystemExit) as error:
            failures.append((at, Failure.of(error)))
            at += 1
    return partials, failures, getattr(run_blocks, "numerics", "")
