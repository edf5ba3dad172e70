"""Progress: the state that a run reports while it goes on, and what may receive it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

__all__ = ["Bar", "Progress", "ProgressCallback", "ProgressOption", "check_progress"]


@dataclass(frozen=True, slots=True)
class Progress:
    """State of a run.

    Attributes
    ----------
    n_done : int
        Number of blocks done.
    n_blocks : int or None
        Total number of blocks, if known; a forecast in a run that stops at a half-width.
    n_in_flight : int
        Tasks submitted but not finished.
    n_lost : int
        Tasks lost with their workers so far, and resubmitted.
    elapsed_s : float
        Time since the start.
    n_recalled : int
        Number of the blocks done that came from a ledger.
    worker_s : float
        Total time that workers have spent on blocks.
    n_retried : int
        Tasks that raised an exception, and were resubmitted.
    n_workers : int
        Workers that are alive; 0 where the engine cannot tell.
    estimate, half_width : float, ndarray or None
        Estimate of a Monte Carlo run so far: at its last check if it stops at a half-width,
        otherwise of about the blocks done.
    n_samples : int or None
        Samples in the blocks done, of a Monte Carlo run.
    unit : str
        What samples, or the blocks of another run, are called.
    workload : str
        Name of the workload.
    started_s : float
        Time of the start, in seconds since 1970.
    workers : iterable of dict
        Workers that have returned results: host, pid, blocks and times. It changes during the run.
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
        """Share of the blocks that are done; None if their number is unknown."""
        return None if self.n_blocks is None else self.n_done / max(1, self.n_blocks, self.n_done)

    @property
    def rate(self) -> float:
        """Samples, or blocks, computed per second."""
        n_counted = self.n_done if self.n_samples is None else self.n_samples
        share_run = 1.0 - self.n_recalled / max(1, self.n_done)
        return n_counted * share_run / max(self.elapsed_s, 1e-9)

    @property
    def remaining_s(self) -> float | None:
        """Time to the end, extrapolated from the blocks done; None if that is not possible."""
        n_run = self.n_done - self.n_recalled
        if self.n_blocks is None or not n_run:
            return None
        return self.elapsed_s * max(0, self.n_blocks - self.n_done) / n_run

    @property
    def remaining_worker_s(self) -> float | None:
        """Workers' time to the end, extrapolated from the blocks done."""
        remaining_s = self.remaining_s
        return remaining_s and self.worker_s * remaining_s / self.elapsed_s


ProgressCallback: TypeAlias = Callable[[Progress], object]


@runtime_checkable
class Bar(Protocol):
    """A progress bar such as tqdm's."""

    total: Any

    def update(self, n: int, /) -> object:
        """Advance by `n`."""


ProgressOption: TypeAlias = bool | ProgressCallback | Bar | type[Any] | None


def check_progress(progress: ProgressOption) -> None:
    """Raise a `TypeError` if `scoopsci.reporting.bars.open_progress` cannot use it."""
    if progress is None or isinstance(progress, (bool, Bar)) or callable(progress):
        return
    raise TypeError(
        "progress must be True, a callable, or a bar such as tqdm's, with total and update(n); got "
        f"{progress!r}"
    )
