"""Progress: what a run tells while it is under way."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

__all__ = ["Progress", "ProgressCallback", "show_progress"]


@dataclass(frozen=True, slots=True)
class Progress:
    """State of a run.

    Attributes
    ----------
    n_done : int
        Blocks counted.
    n_blocks : int or None
        Blocks in all, where that is known.
    n_in_flight : int
        Tasks submitted and not ended.
    n_lost : int
        Tasks lost with their workers so far.
    elapsed_s : float
        Time since the start.
    n_recalled : int
        Of the blocks counted, those that a ledger held.
    worker_s : float
        Time that workers have spent on blocks, all together.
    estimate, half_width : float, ndarray or None
        At the last check of a run that stops at a half-width; ``n_blocks`` is then a forecast.
    workload : str
        What is run; with ``started_s`` it identifies the run.
    started_s : float
        Unix time of the start.
    n_workers : int
        Workers alive.
    n_samples : int or None
        Samples drawn, in Monte Carlo.
    unit : str
        What a block is called.
    losses : sequence of mapping
        Each with ``at_s`` (since the start), ``host``, ``why`` and ``n_blocks``.
    workers : iterable of mapping
        Each with ``host``, ``pid``, ``n_blocks`` and ``elapsed_s``; it changes with the run.
    ended : bool
        Whether this is the last word of the run.
    n_retried : int
        Blocks tried again after an error of their own.
    """

    n_done: int
    n_blocks: int | None
    n_in_flight: int
    n_lost: int
    elapsed_s: float
    n_recalled: int = 0
    worker_s: float = 0.0
    estimate: Any = None
    half_width: Any = None
    workload: str = ""
    started_s: float = 0.0
    n_workers: int = 0
    n_samples: int | None = None
    unit: str = "blocks"
    losses: Sequence[Mapping[str, Any]] = ()
    workers: Iterable[Mapping[str, Any]] = ()
    ended: bool = False
    n_retried: int = 0

    @property
    def remaining_s(self) -> float | None:
        """Time to the end, as far as the blocks done tell; None where they do not."""
        n_run = self.n_done - self.n_recalled
        if self.n_blocks is None or not n_run:
            return None
        return self.elapsed_s * max(0, self.n_blocks - self.n_done) / n_run

    @property
    def remaining_worker_s(self) -> float | None:
        """The cost to the end: time of workers, as far as the blocks done tell."""
        remaining_s = self.remaining_s
        return remaining_s and self.worker_s * remaining_s / self.elapsed_s


ProgressCallback: TypeAlias = Callable[[Progress], None]


@contextlib.contextmanager
def show_progress(*, quiet: bool = False) -> Iterator[ProgressCallback | None]:
    """Yield a callback that draws a bar on stderr, or None where nobody would see it.

    Parameters
    ----------
    quiet : bool
        Draw nothing.

    Yields
    ------
    callable or None
        For the ``progress`` of a run.
    """
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("blocks", total=None)

        def draw(state: Progress) -> None:
            told = f"{state.n_done:,} blocks"
            if isinstance(state.estimate, float):
                told += f", {state.estimate:.7g} ± {state.half_width:.2g}"
            if state.n_lost:
                told += f", {state.n_lost} tasks repeated"
            bar.update(task, completed=state.n_done, total=state.n_blocks, description=told)

        yield draw
