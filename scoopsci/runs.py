"""A run: the road walked once, from an engine's opening to the whole result."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from typing import Any, TypedDict, TypeVar

from scoopsci.blocks import Fold
from scoopsci.dispatch import Dispatch, check_options
from scoopsci.engines.base import borrow_engine
from scoopsci.errors import TaskError
from scoopsci.reporting import ProgressCallback

__all__ = ["RunOptions", "run_blocks"]

P = TypeVar("P")


class RunOptions(TypedDict, total=False):
    """How a run is carried out; nothing here can change its result.

    Attributes
    ----------
    engine : str, Executor or Engine
        See `scoopsci.open_engine`; "auto" by default.
    n_workers : int
        Number of workers, where the engine has a choice.
    hostfile : path-like
        The hosts, for engines that start workers on them.
    timeout : float
        Seconds until `EngineTimeoutError`.
    retries : int
        How often a block that raises is tried again.
    poison_after : int
        Deaths of workers at one block after which it is not sent again.
    mixed : bool
        Go on where hosts compute differently in the last bit.
    window : int
        Tasks in flight.
    chunk_target_s : float
        Time that a chunk of blocks should take, in seconds.
    progress : callable
        Gets a `scoopsci.reporting.Progress` whenever a task ends.
    """

    engine: str | Executor
    n_workers: int | None
    hostfile: str | os.PathLike[str] | None
    timeout: float | None
    retries: int
    poison_after: int
    mixed: bool
    window: int | None
    chunk_target_s: float
    progress: ProgressCallback | None


@contextlib.contextmanager
def _merging() -> Iterator[None]:
    """Report partials that do not fit together as a worker does where it merges them."""
    try:
        yield
    except Exception as error:
        raise TaskError(f"blocks cannot be merged: {error}") from error


def run_blocks(
    run_block: Callable[[int, Any], P],
    n_blocks: int,
    merge: Callable[[P, P], P],
    options: RunOptions,
) -> tuple[P, dict[str, Any]]:
    """Run blocks that need no input but their index.

    Parameters
    ----------
    run_block : callable
        ``run_block(block, block)`` returns the partial of a block.
    n_blocks : int
        Number of blocks.
    merge : callable
        ``merge(left, right)`` of two partials.
    options : RunOptions
        How to carry it out.

    Returns
    -------
    whole : object
        The partial of all blocks.
    description : dict
        How it was carried out, for the receipt; ``elapsed_s`` includes the engine's start.
    """
    start_s = time.monotonic()
    road: dict[str, Any] = dict(options)
    if unknown := sorted(set(road) - set(RunOptions.__annotations__)):
        known = ", ".join(RunOptions.__annotations__)
        raise TypeError(f"an option of a run must be one of {known}; got {', '.join(unknown)}")
    where = {key: road.pop(key) for key in ("n_workers", "hostfile") if key in road}
    engine_name = road.pop("engine", "auto")
    check_options(**road)  # before workers are started for nothing
    fold: Fold[P] = Fold(merge)
    with borrow_engine(engine_name, **where) as engine:
        dispatch = Dispatch(engine, run_block, range(n_blocks), merge, n_blocks=n_blocks, **road)
        with contextlib.closing(iter(dispatch)) as partials:
            for blocks, partial in partials:
                with _merging():
                    fold.add(blocks, partial)
    with _merging():
        whole = fold.result()
    return whole, {**dispatch.describe(), "elapsed_s": time.monotonic() - start_s}
