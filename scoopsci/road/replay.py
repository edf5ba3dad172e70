"""Inspecting a ledger: its contents, its integrity, and a recomputation of a block."""

from __future__ import annotations

import contextlib
import decimal
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import asdict, dataclass
from typing import Any

from scoopsci.basics.codehash import hash_values
from scoopsci.engines.opening import open_engine
from scoopsci.engines.settings import read_arithmetic
from scoopsci.errors import LedgerError
from scoopsci.estimation.estimators import CircleCount, SampleMean
from scoopsci.pickling.whole import loading_whole
from scoopsci.reporting.workers import with_numerics
from scoopsci.road.blocks import Fold, Range
from scoopsci.road.chunks import FoldBlocks, run_chunk
from scoopsci.road.ledger import Ledger, find_disjoint
from scoopsci.road.partials import decode, encode
from scoopsci.road.stopping import BlockSizes, next_check

__all__ = ["Replay", "check_ledger", "describe_ledger", "replay_block", "verify_ledger"]

#: Largest number of blocks in a unit, and of checks in a doubling, that a file may name.
MOST_STEPS = 1024


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


def describe_ledger(path: str | os.PathLike[str], *, trust: bool = False) -> dict[str, Any]:
    """Describe the run of a ledger, and its progress.

    Parameters
    ----------
    path : path-like
        The file, which must exist. It may be read-only.
    trust : bool
        Whether pickles of the file may be loaded, which can run code: the estimate of an
        `integrate` or an estimator of your own needs them, nothing else does.

    Returns
    -------
    dict
        ``identity``, ``numerics``, ``n_rows``, ``n_pickled`` of them, ``n_blocks``,
        ``n_in_sequence``, ``n_bytes``, and for a Monte Carlo run the ``estimate`` and
        ``half_width`` (95 %) of the first ``n_samples``, unless it ``needs_trust``.

    Raises
    ------
    LedgerError
        If there is no ledger, it is in use, or it is damaged.
    """
    with closing(Ledger(path, None)) as ledger:
        rows = dict(ledger.check_rows(trust=False))
        ranges = find_disjoint(rows)
        n_in_sequence = 0
        for blocks in ranges:
            if blocks.start == n_in_sequence:
                n_in_sequence = blocks.stop
        return {
            "path": str(ledger.path),
            "identity": ledger.identity,
            "numerics": ledger.find_numerics(),
            "n_rows": len(rows),
            "n_pickled": sum(rows.values()),
            "n_blocks": sum(blocks.size for blocks in ranges),
            "n_in_sequence": n_in_sequence,
            "n_bytes": ledger.path.stat().st_size,
            **_estimate_so_far(ledger, ranges, n_in_sequence, trust=trust),
        }


def _estimate_so_far(
    ledger: Ledger, ranges: list[Range], n_blocks: int, *, trust: bool
) -> dict[str, Any]:
    """Return the estimate at the last check before a gap, if this is a Monte Carlo run."""
    found: dict[str, Any] = {"estimate": None, "half_width": None, "n_samples": 0}
    task = ledger.read_task()
    found["needs_trust"] = bool(task) and "outline" not in task and not trust
    if not task or found["needs_trust"]:
        return found
    reading = _reading_outline if "outline" in task else _reading_function
    with reading(ledger, task) as estimator:
        found |= _estimate_from(ledger, estimator, ranges, n_blocks, trust=trust)
    return found


def _estimate_from(
    ledger: Ledger, estimator: Any, ranges: list[Range], n_blocks: int, *, trust: bool
) -> dict[str, Any]:
    found: dict[str, Any] = {"n_samples": 0}
    checks = {"unit": estimator.unit, "per_doubling": estimator.per_doubling}
    check = 0
    while (following := next_check(check, **checks)) <= n_blocks:
        check = following
    fold: Fold[Any] = Fold(estimator.merge)
    try:
        for blocks in ranges:
            if blocks.stop > check:
                break
            inputs, partial = ledger.recall(blocks, trust=trust)
            fold.add(blocks, partial)
            found["n_samples"] += blocks.size * int(inputs)
        if fold.n_blocks:
            summary = estimator.summarise(fold.result(), found["n_samples"], 0.95)
            found.update(estimate=summary["value"], half_width=summary["half_width"])
    except (TypeError, ValueError, ArithmeticError, AttributeError, LookupError) as error:
        raise ledger.damaged(f"its partials do not fit its estimator ({error})") from error
    return found


def verify_ledger(path: str | os.PathLike[str], *, trust: bool = False) -> int:
    """Read a whole ledger, and check every row: its checksum, and what it counts.

    Nothing is computed again; see `replay_block`.

    Parameters
    ----------
    path : path-like
        The file, which must exist. It may be read-only.
    trust : bool
        Whether pickles of the file may be loaded, which can run code, to check that they can be.

    Returns
    -------
    int
        Number of rows, all intact.

    Raises
    ------
    LedgerError
        If there is no ledger, it is in use, or anything is damaged.
    """
    return check_ledger(path, trust=trust)[0]


def check_ledger(path: str | os.PathLike[str], *, trust: bool) -> tuple[int, int]:
    """Do as `verify_ledger`, and return the number of rows, and of the pickles among them."""
    with closing(Ledger(path, None)) as ledger:
        ledger.check_whole()
        ledger.find_numerics()
        task = ledger.read_task()
        if "outline" in task:
            with _reading_outline(ledger, task):
                pass
        if trust and "pickle" in task:
            with _reading_function(ledger, task):
                pass
        rows = dict(ledger.check_rows(trust=trust))
        return len(rows), sum(rows.values())


def replay_block(path: str | os.PathLike[str], block: int, *, trust: bool = False) -> Replay:
    """Recompute a recorded block on this machine.

    Parameters
    ----------
    path : path-like
        The file, which must exist. It may be read-only.
    block : int
        Index of the block. The whole range in which it was recorded is computed.
    trust : bool
        Whether pickles of the file may be loaded, which can run code: all runs except `pi` need
        this, since the file holds their function.

    Returns
    -------
    Replay
        The comparison with the recorded range.

    Raises
    ------
    LedgerError
        If there is no ledger, the block is not recorded, or its function is not trusted.
    ValueError
        If the run was not a Monte Carlo run: a ledger does not hold the items of a map.
    Exception
        What the function raises.
    """
    with closing(Ledger(path, None)) as ledger:
        task = ledger.read_task()
        if not task:
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
        numerics = {row["battery"] for row in ledger.find_numerics()}
        arithmetic = _read_arithmetic(ledger)
        reading = _reading(ledger, task, trust=trust)
        with reading as estimator, decimal.localcontext(arithmetic):
            return _compute_again(ledger, estimator, block, blocks, numerics, trust=trust)


def _read_arithmetic(ledger: Ledger) -> decimal.Context:
    try:
        return read_arithmetic(ledger.identity)
    except (TypeError, ValueError) as error:
        raise ledger.damaged(f"its decimal context cannot be read ({error})") from error


def _compute_again(
    ledger: Ledger, estimator: Any, block: int, blocks: Range, numerics: set[str], *, trust: bool
) -> Replay:
    inputs, recorded = ledger.recall(blocks, trust=trust)
    size = int(inputs)
    sizes = BlockSizes(*blocks, size)
    work = FoldBlocks(estimator, estimator.merge)
    with open_engine("serial") as engine:
        future = engine.submit(run_chunk, work, blocks.start, sizes, False)
        partials, failures, more = future.result()
    for failing, failure in failures:
        raise failure.as_error(failing).as_raised()
    ((_, partial),) = partials
    # Encoded as the recorded one was: an object that occurs twice may become two by that.
    digest = hash_values([decode(encode(partial), may_unpickle=True)])
    battery = with_numerics(future.report, more)["battery"]
    return Replay(
        block=block,
        blocks=blocks,
        n_samples=size * blocks.size,
        equal=digest == hash_values([recorded]),
        same_numerics=battery in numerics,
        digest=digest,
    )


def _reading(
    ledger: Ledger, task: Mapping[str, bytes], *, trust: bool
) -> AbstractContextManager[Any]:
    """Yield the estimator with its function, if it has one."""
    if "pickle" not in task:
        return _reading_outline(ledger, task)
    if not trust:
        raise LedgerError(
            f"{ledger.path} holds the function of its run as a pickle, which can run code when it "
            "is loaded; pass --trust (trust=True) if you trust where the file comes from"
        )
    return _reading_function(ledger, task)


@contextlib.contextmanager
def _reading_outline(ledger: Ledger, task: Mapping[str, bytes]) -> Iterator[Any]:
    """Yield the estimator without its function, which can merge and summarise."""
    try:
        found = decode(task["outline"])
    except (KeyError, ValueError) as error:
        raise ledger.damaged(f"its outline cannot be read ({error})") from error
    has_steps = isinstance(found, (CircleCount, SampleMean)) and all(
        type(step) is int and 0 < step <= MOST_STEPS for step in (found.unit, found.per_doubling)
    )
    if not has_steps or ("pickle" not in task and not isinstance(found, CircleCount)):
        raise ledger.damaged(f"its outline is that of no run ({found!r:.80})")
    yield found


@contextlib.contextmanager
def _reading_function(ledger: Ledger, task: Mapping[str, bytes]) -> Iterator[Any]:
    """Yield the estimator with its function: this runs what the file brings."""
    with contextlib.ExitStack() as stack:
        try:
            # As on engines: arrays that were writable are writable again.
            first, *others = decode(task["pickle"])
            frames = [first, *map(bytearray, others)]
            estimator = stack.enter_context(loading_whole(frames)).run_all
        except Exception as error:
            raise LedgerError(
                f"{ledger.path} holds a function that cannot be loaded here: {error!r}; it needs "
                "the packages, and the minor version of Python, that the run had"
            ) from error
        yield estimator
