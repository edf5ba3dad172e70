"""The history of a run: its last progress, and the convergence of its estimate."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from scoopsci.estimation.estimates import format_with_error
from scoopsci.reporting.progress import Progress

__all__ = ["History", "RunRecord", "name_run"]

#: Points kept of an estimate's history: more than a chart of this size can show.
MOST_POINTS = 300

#: Components of a vector that are shown.
MOST_VALUES = 6

#: Least time between copies of a run's workers, which matters for runs of many short tasks.
COPY_S = 0.1


def name_run(progress: Progress) -> tuple[str, float]:
    """Return the identity of a run."""
    return progress.workload, progress.started_s


class History:
    """Points of a curve, thinned to a bounded number; the first and the last are always kept."""

    def __init__(self, most: int = MOST_POINTS) -> None:
        self._most = most
        self._points: list[tuple[float, float, float | None]] = []

    def __iter__(self) -> Any:
        return iter(self._points)

    def add(self, at_s: float, value: float, half_width: float | None) -> None:
        """Add a point; if there are too many, drop the one in the narrowest gap."""
        points = self._points
        if points and (value, half_width) == points[-1][1:]:
            return
        points.append((at_s, value, half_width))
        if len(points) > self._most:
            gaps = [after[0] - before[0] for before, after in zip(points, points[2:], strict=False)]
            del points[1 + gaps.index(min(gaps))]


class RunRecord:
    """The state and history of a run.

    Parameters
    ----------
    progress : Progress
        Its first progress.

    Attributes
    ----------
    progress : Progress
        Its last progress.
    workers : list of dict
        Workers that have returned blocks.
    """

    def __init__(self, progress: Progress) -> None:
        self._history = History()
        self.workers: list[Mapping[str, Any]] = []
        self._losses: list[Mapping[str, Any]] = []
        self._copied_s = -math.inf
        self.started_s = progress.started_s or time.time() - progress.elapsed_s
        self.note(progress)

    def note(self, progress: Progress) -> None:
        """Record progress, in the thread of the run."""
        self.progress = progress
        self._told_s = time.time()
        now_s = time.monotonic()
        if progress.ended or now_s - self._copied_s > COPY_S:
            self.workers = [dict(worker) for worker in progress.workers]
            self._copied_s = now_s
        self._losses = list(progress.losses)  # a copy, since the run's own thread changes them
        values, half_widths = _as_floats(progress.estimate), _as_floats(progress.half_width)
        if values and math.isfinite(values[0]):
            half_width = half_widths[0] if half_widths else None
            if half_width is not None and not math.isfinite(half_width):
                half_width = None
            self._history.add(progress.elapsed_s, values[0], half_width)

    @property
    def n_repeated(self) -> int:
        """Number of tasks resubmitted."""
        return self.progress.n_lost + self.progress.n_retried

    @property
    def tasks(self) -> dict[str, int]:
        """Numbers of tasks ``in_flight`` and ``lost``."""
        return {"in_flight": self.progress.n_in_flight, "lost": self.progress.n_lost}

    @property
    def losses(self) -> list[dict[str, Any]]:
        """The losses, each with ``at_s`` (Unix time), ``host``, ``pid`` and ``why``."""
        return [
            {
                "at_s": self.started_s + loss["at_s"],
                "host": str(loss["host"]),
                "pid": None,
                "why": str(loss["why"]),
            }
            for loss in self._losses
        ]

    def describe(self) -> dict[str, Any]:
        """Return what the page shows of the run, ready for JSON."""
        state = self.progress
        copied = ("workload", "ended", "elapsed_s", "n_done", "n_blocks", "n_recalled",
                  "n_samples", "unit", "rate")  # fmt: skip
        return {
            **{name: getattr(state, name) for name in copied},
            "started_s": self.started_s,
            "told_s": self._told_s,
            "remaining_s": None if state.ended else state.remaining_s,
            "estimate": _write_estimates(state),
            "n_values": int(np.size(state.estimate)) if _as_floats(state.estimate) else 0,
            "history": [*self._history],
        }


def _as_floats(estimate: Any) -> list[float]:
    if estimate is None:
        return []
    try:
        some = np.asarray(estimate).ravel()[:MOST_VALUES]
        return [float(value) for value in some]
    except (TypeError, ValueError, OverflowError):
        return []  # of a type of the user's own


def _write_estimates(state: Progress) -> list[str]:
    values, half_widths = _as_floats(state.estimate), _as_floats(state.half_width)
    if len(half_widths) != len(values):
        return [f"{value:.10g}" for value in values]
    pairs = zip(values, half_widths, strict=True)
    return [format_with_error(value, half_width) for value, half_width in pairs]
