"""The options of a run: where and how it is carried out. None of them can change its result."""

from __future__ import annotations

import os
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, TypedDict

from scoopsci.basics.arguments import check_count, check_seconds
from scoopsci.protocol.losses import POISON_AFTER
from scoopsci.reporting.progress import ProgressOption, check_progress

__all__ = ["CHUNK_TARGET_S", "DispatchOptions", "RunOptions", "refuse_ledger", "split_options"]

#: Long enough that the overhead of a task (about 1 ms) is small, short enough that the last chunks
#: end together, and far below the 2 s after which SCOOP starts to inquire about a task.
CHUNK_TARGET_S = 0.1

#: In a long run chunks may take longer, up to this time and this share of the time so far: with two
#: busy cores, the overhead of a task is about 4 ms, summed over all processes.
LONG_CHUNK_S, CHUNK_SHARE = 0.5, 1 / 40

#: Options that choose the engine, with their defaults.
WHERE = {"engine": "auto", "n_workers": None, "hostfile": None}


class RunOptions(TypedDict, total=False):
    """How a run is carried out; no option can change its result.

    Attributes
    ----------
    engine : str, Executor or Engine
        See `scoopsci.open_engine`; "auto" by default.
    n_workers : int
        Number of workers, where the engine has a choice.
    hostfile : path-like
        The hosts, for engines that start workers on them.
    ledger : path-like
        File that stores finished blocks: a run with the same file continues where the last one
        ended, on any engine. Resume only a ledger that you trust: results of your own types are
        pickles.
    timeout : float
        Seconds until `EngineTimeoutError`, including those in which results wait to be consumed.
    retries : int
        How often a block that raises is retried.
    poison_after : int
        Deaths of workers under a block that runs alone, after which it is not resubmitted.
    mixed : bool
        Go on if hosts compute differently in the last bit.
    window : int
        Tasks in flight; by default two for each worker, one running and one waiting. With 1, an
        input is not taken before the result of the last one has been consumed.
    chunk_target_s : float
        Time that a chunk of blocks should take, in seconds; by default 0.1, and in runs of more
        than 4 s a fortieth of the time so far, up to 0.5.
    progress : bool, callable or bar
        True draws a bar in a terminal or notebook; a callable gets a `scoopsci.Progress` whenever a
        task ends, and at the end of the run; a bar like tqdm's, or its class, is updated.
    """

    engine: str | Executor
    n_workers: int | None
    hostfile: str | os.PathLike[str] | None
    ledger: str | os.PathLike[str] | None
    timeout: float | None
    retries: int
    poison_after: int
    mixed: bool
    window: int | None
    chunk_target_s: float | None
    progress: ProgressOption | None


@dataclass(frozen=True, kw_only=True, slots=True)
class DispatchOptions:
    """How blocks are dispatched: the part of `RunOptions` that does not choose the engine."""

    timeout: float | None = None
    retries: int = 0
    poison_after: int = POISON_AFTER
    mixed: bool = False
    window: int | None = None
    chunk_target_s: float | None = None
    progress: ProgressOption | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.mixed, bool):
            raise TypeError(f"mixed must be True or False, got {self.mixed!r}")
        check_progress(self.progress)
        if self.chunk_target_s is not None:
            check_seconds("chunk_target_s", self.chunk_target_s)
        check_count("retries", self.retries, least=0)
        check_count("poison_after", self.poison_after)
        if self.window is not None:
            check_count("window", self.window)
        if self.timeout is not None:
            check_seconds("timeout", self.timeout)

    def chunk_s(self, elapsed_s: float) -> float:
        """Return the target time of a chunk, given the time since the start of the run."""
        if self.chunk_target_s is not None:
            return self.chunk_target_s
        return min(max(CHUNK_TARGET_S, CHUNK_SHARE * elapsed_s), LONG_CHUNK_S)


def split_options(
    options: RunOptions,
) -> tuple[dict[str, Any], str | os.PathLike[str] | None, DispatchOptions]:
    """Check the options of a run, and split them by use.

    An option that is unknown or out of range raises a TypeError or ValueError.

    Returns
    -------
    where : dict
        Those for `scoopsci.engines.opening.borrow_engine`.
    ledger : path-like or None
        Path of the ledger.
    how : DispatchOptions
        The rest.
    """
    how: dict[str, Any] = dict(options)
    if unknown := sorted(set(how) - set(RunOptions.__annotations__)):
        known = ", ".join(RunOptions.__annotations__)
        raise TypeError(f"an option of a run must be one of {known}; got {', '.join(unknown)}")
    where = {name: how.pop(name, default) for name, default in WHERE.items()}
    ledger = how.pop("ledger", None)
    if not isinstance(ledger, (str, os.PathLike, type(None))) or ledger == "":
        raise TypeError(f"ledger must name a file, got {ledger!r}")
    return where, ledger, DispatchOptions(**how)


def refuse_ledger(options: RunOptions) -> None:
    """Check the options of a call that records no partials: a ledger raises a ValueError."""
    _, ledger, _ = split_options(options)
    if ledger is not None:
        raise ValueError(
            f"ledger= is not supported by sorts and comparisons; got ledger={ledger!r}"
        )
