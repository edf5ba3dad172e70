"""A run: one pass along the road, from the opening of an engine to the last partial."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Generic, TypeVar, cast

from scoopsci.engines.base import Engine
from scoopsci.engines.failure import not_pickled
from scoopsci.engines.opening import borrow_engine
from scoopsci.engines.settings import describe_arithmetic
from scoopsci.errors import TaskError
from scoopsci.pickling.frames import as_plain as as_plain_frame
from scoopsci.pickling.program import program
from scoopsci.pickling.whole import dump_whole
from scoopsci.reporting.bars import open_progress
from scoopsci.reporting.progress import Progress, ProgressCallback
from scoopsci.reporting.receipts import as_plain
from scoopsci.road.blocks import Fold, Range
from scoopsci.road.chunks import CallEach, FoldBlocks, ListBlocks, RunBlocks
from scoopsci.road.dispatch import Dispatch
from scoopsci.road.ledger import open_ledger
from scoopsci.road.options import WHERE, RunOptions, split_options
from scoopsci.road.partials import encode, is_pickled
from scoopsci.road.stopping import Supply

__all__ = [
    "Run",
    "fold_run",
    "hold_engine",
    "keeping_task_errors",
    "merging",
    "raising_users_own",
    "run_list",
]

P = TypeVar("P")


class Run(Generic[P]):
    """Blocks, and how they are run.

    An option that is out of range raises a ValueError or TypeError at once. When the run has
    ended, `description` says how it was carried out; `state` returns its progress.

    Parameters
    ----------
    run_blocks, inputs, n_blocks, stand_in
        See `scoopsci.road.dispatch.Dispatch`.
    options : RunOptions
        How to carry it out.
    identity : mapping
        What the partials depend on, for the ledger.
    complete : callable, optional
        ``complete(progress)`` adds what the caller knows to the state of the run.
    """

    def __init__(
        self,
        run_blocks: RunBlocks[P],
        inputs: Iterable[Any],
        options: RunOptions,
        *,
        identity: Mapping[str, Any],
        n_blocks: int | None = None,
        stand_in: Callable[[TaskError], P] | None = None,
        complete: Callable[[Progress], Progress] | None = None,
    ) -> None:
        self._where, self._ledger, self._options = split_options(options)
        self._work = run_blocks, inputs
        self._more: dict[str, Any] = {"n_blocks": n_blocks, "stand_in": stand_in}
        self._identity = as_plain({**identity, **describe_arithmetic()})
        self._complete = complete
        self.description: dict[str, Any] = {}
        self.state: Callable[[], Progress] | None = None

    def partials(self, *, in_order: bool = False) -> Generator[tuple[Range, P], None, None]:
        """Carry it out, and yield the partials as they arrive, or in block order."""
        start_s = time.monotonic()
        program.refresh()
        self._started_s = time.time()
        run_blocks, inputs = self._work
        task = self._dump_task() if self._ledger is not None else {}
        dispatch: Dispatch[P] | None = None
        try:
            with (
                open_ledger(self._ledger, self._identity, task) as ledger,
                open_progress(self._options.progress) as progress,
                borrow_engine(**self._where) as engine,
            ):
                start_up_s = time.monotonic() - start_s
                dispatch = Dispatch(
                    engine,
                    run_blocks,
                    inputs,
                    self._options,
                    ledger=ledger,
                    tell=lambda state: self._tell(state, progress, engine),
                    zero_s=start_s,
                    **self._more,
                )
                self.state = dispatch.state
                self._tell(dispatch.state(), None, engine)  # the live page, before any task ends
                walk = dispatch.in_order() if in_order else iter(dispatch)
                failed = False
                try:
                    with contextlib.closing(walk) as partials:
                        yield from partials
                except Exception:
                    failed = True
                    raise
                finally:
                    self._tell(
                        replace(dispatch.state(), ended=True), None if failed else progress, engine
                    )
        finally:  # also if the caller has closed the iteration
            self.state = None  # a cycle would keep the inputs open until the next collection
            if dispatch is not None:
                elapsed_s = time.monotonic() - start_s
                costs = dispatch.workers.describe_costs(elapsed_s, start_up_s)
                self.description = {**dispatch.describe(), "elapsed_s": elapsed_s, **costs}

    def _tell(self, state: Progress, progress: ProgressCallback | None, engine: Engine) -> None:
        """Notify all observers of the run and of its engine."""
        watchers = [*engine.watchers] if progress is None else [progress, *engine.watchers]
        if not watchers:
            return
        workload = str(self._identity.get("workload", ""))
        state = replace(state, workload=workload, started_s=self._started_s)
        if self._complete is not None:
            state = self._complete(state)
        for watch in watchers:
            watch(state)

    def _dump_task(self) -> dict[str, bytes]:
        """Encode what computes blocks, if it needs nothing but their indices.

        As far as it is ours, it needs no pickle.
        """
        run_blocks, inputs = self._work
        if not isinstance(inputs, Supply):
            return {}
        estimator = getattr(run_blocks, "run_all", None)
        outline = getattr(estimator, "outline", None)
        task = {"outline": encode(outline)}
        if outline is None or is_pickled(task["outline"]):
            task = {}
        elif outline is estimator:
            return task
        try:
            frames = dump_whole(run_blocks)
        except (Exception, SystemExit) as error:
            raise not_pickled(error) from error
        return {**task, "pickle": encode([bytes(as_plain_frame(frame)) for frame in frames])}


@contextlib.contextmanager
def hold_engine(options: RunOptions) -> Iterator[RunOptions]:
    """Yield the options with an open engine, for several runs; one opened here is closed."""
    where, _, _ = split_options(options)
    with borrow_engine(**where) as engine:
        rest = {name: value for name, value in options.items() if name not in WHERE}
        yield cast(RunOptions, {**rest, "engine": engine})


@contextlib.contextmanager
def merging() -> Iterator[None]:
    """Turn errors of merging in the driver into those that a worker reports."""
    try:
        yield
    except Exception as error:
        raise TaskError(f"blocks cannot be merged: {error}", error=error) from error


@contextlib.contextmanager
def raising_users_own() -> Iterator[None]:
    """Raise what a task has raised in place of the `TaskError`: for the end of a public call."""
    own: Exception | None = None
    try:
        yield
    except TaskError as error:
        own = error.as_raised()
    if own is not None:
        raise own


@contextlib.contextmanager
def keeping_task_errors() -> Iterator[None]:
    """Raise the `TaskError` behind what a task has raised: for errors that are read, not caught."""
    try:
        yield
    except Exception as error:
        failed = TaskError.behind(error)
        if failed is None:
            raise
        raise failed from None


def fold_run(
    each: CallEach,
    merge: Callable[[P, P], P],
    inputs: Iterable[Any],
    options: RunOptions,
    *,
    identity: Mapping[str, Any],
    n_blocks: int | None = None,
    empty: P | None = None,
) -> tuple[P, dict[str, Any]]:
    """Run blocks and merge their partials along the fixed tree.

    Parameters
    ----------
    each, merge : CallEach, callable
        What to call on each input for its partial, and ``merge(left, right)`` of two partials.
    inputs, options, identity, n_blocks
        See `Run`.
    empty : object, optional
        The partial of no blocks; without it, no blocks raise a ValueError.

    Returns
    -------
    whole : object
        The partial of all blocks.
    description : dict
        How the run was carried out, for the receipt.
    """
    run = Run(FoldBlocks(each, merge), inputs, options, identity=identity, n_blocks=n_blocks)
    fold: Fold[P] = Fold(merge)
    with contextlib.closing(run.partials()) as partials:
        for blocks, partial in partials:
            with merging():
                fold.add(blocks, partial)
    if fold.n_blocks:
        with merging():
            return fold.result(), run.description
    if empty is None:
        raise ValueError("there must be at least one item to merge, got none")
    return empty, run.description


def run_list(
    fn: Callable[[Any], Any],
    inputs: list[Any],
    options: RunOptions,
    *,
    identity: Mapping[str, Any],
) -> tuple[list[Any], dict[str, Any]]:
    """Call a function on each item of a list; options and identity are those of `Run`.

    Returns
    -------
    results : list
        In the order of the items.
    description : dict
        How the run was carried out.
    """
    run = Run(ListBlocks(CallEach(fn)), inputs, options, identity=identity, n_blocks=len(inputs))
    results: list[Any] = []
    with contextlib.closing(run.partials(in_order=True)) as partials:
        for _, part in partials:
            results.extend(part)
    return results, run.description
