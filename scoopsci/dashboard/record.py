"""What the page remembers of a run: its last word, and how its estimate has closed in."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from scoopsci.estimation.estimates import format_with_error
from scoopsci.reporting.progress import Progress

__all__ = ["History", "RunRecord", "name_run"]

#: Points of an estimate's history that are kept: more than a chart of this size can show.
MOST_POINTS = 300

#: Of a vector, so many components are written out.
MOST_VALUES = 6

#: The workers of a run are copied no more often than this, for runs of many short tasks.
COPY_S = 0.1


def name_run(progress: Progress) -> tuple[str, float]:
    """Return what identifies a run."""
    return progress.workload, progress.started_s


class History:
    """Points of a curve, thinned to a bounded number; the first and the last are always there."""

    def __init__(self, most: int = MOST_POINTS) -> None:
        self._most = most
        self._points: list[tuple[float, float, float | None]] = []

    def __iter__(self) -> Any:
        return iter(self._points)

    def add(self, at_s: float, value: float, half_width: float | None) -> None:
        """Add a point; where there are too many, the one that is missed least goes."""
        points = self._points
        if points and (value, half_width) == points[-1][1:]:
            return
        points.append((at_s, value, half_width))
        if len(points) > self._most:
            gaps = [after[0] - before[0] for before, after in zip(points, points[2:], strict=False)]
            del points[1 + gaps.index(min(gaps))]


class RunRecord:
    """A run, as far as it has told of itself.

    Parameters
    ----------
    progress : Progress
        Its first word.
    """

    def __init__(self, progress: Progress) -> None:
        self._history = History()
        self._workers: list[Mapping[str, Any]] = []
        self._losses: list[Mapping[str, Any]] = []
        self._copied_s = -math.inf
        self.started_s = progress.started_s or time.time() - progress.elapsed_s
        self.note(progress)

    def note(self, progress: Progress) -> None:
        """Take in what the run tells, in the thread of the run."""
        self.progress = progress
        self._told_s = time.time()
        now_s = time.monotonic()
        if progress.ended or now_s - self._copied_s > COPY_S:
            self._workers = [dict(worker) for worker in progress.workers]
            self._copied_s = now_s
        self._losses = list(progress.losses)  # they change with the run, in its own thread
        values, half_widths = _as_floats(progress.estimate), _as_floats(progress.half_width)
        if values and math.isfinite(values[0]):
            half_width = half_widths[0] if half_widths else None
            if half_width is not None and not math.isfinite(half_width):
                half_width = None
            self._history.add(progress.elapsed_s, values[0], half_width)

    @property
    def workers(self) -> list[Mapping[str, Any]]:
        """Those that have returned blocks."""
        return self._workers

    @property
    def n_repeated(self) -> int:
        """Tasks sent again."""
        return self.progress.n_lost + self.progress.n_retried

    @property
    def losses(self) -> list[dict[str, Any]]:
        """Each with ``at_s`` (Unix time), ``host``, ``pid`` and ``why``."""
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
        """Return what the page shows, as JSON can hold it."""
        told = self.progress
        return {
            "workload": told.workload,
            "ended": told.ended,
            "started_s": self.started_s,
            "told_s": self._told_s,
            "elapsed_s": told.elapsed_s,
            "remaining_s": None if told.ended else told.remaining_s,
            "n_done": told.n_done,
            "n_blocks": told.n_blocks,
            "n_recalled": told.n_recalled,
            "n_samples": told.n_samples,
            "unit": told.unit,
            "rate": told.rate,
            "estimate": _write_estimates(told),
            "n_values": int(np.size(told.estimate)) if _as_floats(told.estimate) else 0,
            "history": [*self._history],
        }


def _as_floats(estimate: Any) -> list[float]:
    if estimate is None:
        return []
    try:
        some = np.asarray(estimate).ravel()[:MOST_VALUES]
        return [float(value) for value in some]
    except (TypeError, ValueError, OverflowError):
        return []  # of a user's own kind


def _write_estimates(told: Progress) -> list[str]:
    values, half_widths = _as_floats(told.estimate), _as_floats(told.half_width)
    if len(half_widths) != len(values):
        return [f"{value:.10g}" for value in values]
    pairs = zip(values, half_widths, strict=True)
    return [format_with_error(value, half_width) for value, half_width in pairs]
