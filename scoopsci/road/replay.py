"""Inspecting a ledger: its contents, its integrity, and a recomputation of a block."""

from __future__ import annotations

import os
import pickle
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

from scoopsci.basics.codehash import hash_values
from scoopsci.basics.moved import load_recorded
from scoopsci.engines.opening import open_engine
from scoopsci.errors import LedgerError
from scoopsci.reporting.workers import with_numerics
from scoopsci.road.blocks import Fold, Range
from scoopsci.road.chunks import FoldBlocks, run_chunk
from scoopsci.road.ledger import Ledger
from scoopsci.road.stopping import BlockSizes, next_check

__all__ = ["Replay", "describe_ledger", "replay_block", "verify_ledger"]


@dataclass(frozen=True, slots=True)
class Replay:
    """A recorded range, recomputed.

    Attributes
    ----------
    block : int
        The requested block.
    blocks : Range
        The range that it was recorded in.
    n_samples : int
        Number of samples in the range.
    equal : bool
        Whether the two partials agree to the last bit.
    same_numerics : bool
        Whether this machine computes like one of those that took part in the run.
    digest : str
        Hash of the partial computed here.
    """

    block: int
    blocks: Range
    n_samples: int
    equal: bool
    same_numerics: bool
    digest: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


def describe_ledger(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Describe the run of a ledger, and its progress.

    Parameters
    ----------
    path : path-like
        The file, which must exist.

    Returns
    -------
    dict
        ``identity``, ``numerics``, ``n_rows``, ``n_blocks``, ``n_in_sequence``, ``n_bytes``, and
        for a Monte Carlo run the ``estimate`` and ``half_width`` (95 %) of the first ``n_samples``.

    Raises
    ------
    LedgerError
        If there is no ledger, it is in use, or it is damaged.
    """
    with closing(Ledger(path, None)) as ledger:
        ranges = ledger.find_ranges()
        n_in_sequence = 0
        for blocks in ranges:
            if blocks.start == n_in_sequence:
                n_in_sequence = blocks.stop
        return {
            "path": str(ledger.path),
            "identity": ledger.identity,
            "numerics": ledger.find_numerics(),
            "n_rows": len(ledger.find_rows()),
            "n_blocks": sum(blocks.size for blocks in ranges),
            "n_in_sequence": n_in_sequence,
            "n_bytes": ledger.path.stat().st_size,
            **_estimate_so_far(ledger, n_in_sequence),
        }


def _estimate_so_far(ledger: Ledger, n_blocks: int) -> dict[str, Any]:
    """Return the estimate at the last check before a gap, if this is a Monte Carlo run."""
    found: dict[str, Any] = {"estimate": None, "half_width": None, "n_samples": 0}
    work = _load_work(ledger)
    if work is None:
        return found
    estimator: Any = work.run_all
    checks = {"unit": estimator.unit, "per_doubling": estimator.per_doubling}
    check = 0
    while (following := next_check(check, **checks)) <= n_blocks:
        check = following
    fold: Fold[Any] = Fold(work.merge)
    for blocks in ledger.find_ranges(check):
        inputs, partial = ledger.recall(blocks)
        fold.add(blocks, partial)
        found["n_samples"] += blocks.size * int(inputs)
    if fold.n_blocks:
        summary = estimator.summarise(fold.result(), found["n_samples"], 0.95)
        found.update(estimate=summary["value"], half_width=summary["half_width"])
    return found


def verify_ledger(path: str | os.PathLike[str]) -> int:
    """Read a whole ledger, and check every row.

    Parameters
    ----------
    path : path-like
        The file, which must exist.

    Returns
    -------
    int
        Number of rows, all intact.

    Raises
    ------
    LedgerError
        If there is no ledger, it is in use, or anything is damaged.
    """
    with closing(Ledger(path, None)) as ledger:
        ledger.check_whole()
        rows = ledger.find_rows()
        for blocks in rows:
            ledger.recall(blocks)
        return len(rows)


def replay_block(path: str | os.PathLike[str], block: int) -> Replay:
    """Recompute a recorded block on this machine.

    Parameters
    ----------
    path : path-like
        The file, which must exist.
    block : int
        Index of the block. The whole range in which it was recorded is computed.

    Returns
    -------
    Replay
        The comparison with the recorded range.

    Raises
    ------
    LedgerError
        If there is no ledger, or the block is not recorded.
    ValueError
        If the run was not a Monte Carlo run: a ledger does not hold the items of a map.
    Exception
        What the function raises.
    """
    with closing(Ledger(path, None)) as ledger:
        work = _load_work(ledger)
        if work is None:
            raise ValueError(
                f"{ledger.path} must be the ledger of a Monte Carlo run, got one of "
                f"{ledger.identity.get('workload')}, which does not hold the items; repeat the call"
            )
        ranges = ledger.find_rows()
        around = [blocks for blocks in ranges if blocks.start <= block < blocks.stop]
        if not around:
            stop = max((blocks.stop for blocks in ranges), default=0)
            raise LedgerError(
                f"{ledger.path} has no block {block}, its blocks are below {stop}; see scoopsci "
                "ledger show"
            )
        blocks = min(around, key=lambda each: each.size)
        inputs, recorded = ledger.recall(blocks)
        numerics = {row["battery"] for row in ledger.find_numerics()}
    size = int(inputs)
    sizes = BlockSizes(*blocks, size)
    with open_engine("serial") as engine:
        future = engine.submit(run_chunk, work, blocks.start, sizes, False)
        partials, failures, more = future.result()
    for failing, failure in failures:
        raise failure.as_error(failing).as_raised()
    ((_, partial),) = partials
    # Pickled as the recorded one was: an object that occurs twice may become two by that.
    digest = hash_values([pickle.loads(pickle.dumps(partial, protocol=5))])
    battery = with_numerics(future.report, more)["battery"]
    return Replay(
        block=block,
        blocks=blocks,
        n_samples=size * blocks.size,
        equal=digest == hash_values([recorded]),
        same_numerics=battery in numerics,
        digest=digest,
    )


def _load_work(ledger: Ledger) -> FoldBlocks[Any] | None:
    frames = ledger.read_task()
    if not frames:
        return None
    try:
        # As on engines: arrays that were writable are writable again.
        work: FoldBlocks[Any] = load_recorded(frames[0], map(bytearray, frames[1:]))
    except Exception as error:
        raise LedgerError(
            f"{ledger.path} holds a function that cannot be loaded here: {error!r}; it needs the "
            "packages, and the minor version of Python, that the run had"
        ) from error
    return work
