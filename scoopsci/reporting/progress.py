"""Progress: what a run tells while it is under way, and to whom."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

__all__ = [
    "Bar",
    "Progress",
    "ProgressCallback",
    "ProgressOption",
    "check_progress",
]


@dataclass(frozen=True, slots=True)
class Progress:
    """State of a run.

    Attributes
    ----------
    n_done : int
        Blocks counted.
    n_blocks : int or None
        Blocks in all, where that is known; a forecast in a run that stops at a half-width.
    n_in_flight : int
        Tasks submitted and not ended.
    n_lost : int
        Tasks lost with their workers so far, and sent again.
    elapsed_s : float
        Time since the start.
    n_recalled : int
        Of the blocks counted, those that a ledger held.
    worker_s : float
        Time that workers have spent on blocks, all together.
    n_retried : int
        Tasks that raised, and were sent again.
    n_workers : int
        Workers that are alive; 0 where the engine cannot tell.
    estimate, half_width : float, ndarray or None
        Of a Monte Carlo run: at the last check of one that stops at a half-width, of about the
        blocks counted in another.
    n_samples : int or None
        Samples in the blocks counted, of a Monte Carlo run.
    unit : str
        What to call these, or the blocks of another run.
    workload : str
        What is run.
    started_s : float
        When it was started, in seconds since 1970.
    workers : iterable of dict
        Those that have returned something: host, pid, blocks and times. It goes on changing.
    losses : sequence of dict
        The last losses: ``at_s`` after the start, ``host``, ``n_blocks`` and ``why``.
    ended : bool
        Whether the run is over.
    """

    n_done: int
    n_blocks: int | None
    n_in_flight: int
    n_lost: int
    elapsed_s: float
    n_recalled: int = 0
    worker_s: float = 0.0
    n_retried: int = 0
    n_workers: int = 0
    estimate: Any = None
    half_width: Any = None
    n_samples: int | None = None
    unit: str = "blocks"
    workload: str = ""
    started_s: float = 0.0
    workers: Iterable[Mapping[str, Any]] = ()
    losses: Sequence[Mapping[str, Any]] = ()
    ended: bool = False

    @property
    def share(self) -> float | None:
        """Share of the blocks that are done; None where their number is not known."""
        return None if self.n_blocks is None else self.n_done / max(1, self.n_blocks, self.n_done)

    @property
    def rate(self) -> float:
        """Samples, or blocks, that are computed in a second."""
        n_counted = self.n_done if self.n_samples is None else self.n_samples
        share_run = 1.0 - self.n_recalled / max(1, self.n_done)
        return n_counted * share_run / max(self.elapsed_s, 1e-9)

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


ProgressCallback: TypeAlias = Callable[[Progress], object]


@runtime_checkable
class Bar(Protocol):
    """A progress bar such as tqdm's."""

    total: Any

    def update(self, n: int, /) -> object:
        """Move on by `n`."""


ProgressOption: TypeAlias = bool | ProgressCallback | Bar | type[Any] | None


def check_progress(progress: ProgressOption) -> None:
    """Raise a `TypeError` for what `scoopsci.reporting.bars.open_progress` cannot use."""
    if progress is None or isinstance(progress, (bool, Bar)) or callable(progress):
        return
    raise TypeError(
        "progress must be True, a callable, or a bar such as tqdm's, with total and update(n); got "
        f"{progress!r}"
    )
