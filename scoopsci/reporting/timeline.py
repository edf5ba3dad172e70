"""When each worker was busy, by the driver's clock."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TypeAlias

__all__ = ["Timeline"]

#: Spans kept for all workers together; above it, those with the shortest gaps are joined.
MOST_SPANS = 2_000

#: Start, end, and busy seconds between them.
Span: TypeAlias = tuple[float, float, float]


class Timeline:
    """Spans of time in which workers computed.

    Parameters
    ----------
    start_s : float
        Zero of the times returned, by the driver's monotonic clock.

    Notes
    -----
    Workers report the end of a task by their own clock, which differs from the driver's by an
    unknown offset. The smallest delay between that end and its arrival estimates it: spans are late
    by the transit time of the fastest message, and spans of one worker never overlap.

    Examples
    --------
    >>> timeline = Timeline(100.0)
    >>> timeline.add("one", ended_s=7.0, elapsed_s=1.0, arrived_s=103.0)
    >>> timeline.add("one", ended_s=9.0, elapsed_s=1.5, arrived_s=105.5)
    >>> timeline.spans("one")
    [(2.0, 3.0, 1.0), (3.5, 5.0, 1.5)]
    """

    def __init__(self, start_s: float) -> None:
        self._start_s = start_s
        self._offset_s: dict[Hashable, float] = {}
        self._spans: dict[Hashable, list[Span]] = {}
        self._n_spans = 0
        self._least_gap_s = 0.0

    def add(self, worker: Hashable, *, ended_s: float, elapsed_s: float, arrived_s: float) -> None:
        """Record a task that has ended.

        Parameters
        ----------
        worker : hashable
            The worker that ran it.
        ended_s, elapsed_s : float
            Its end by the worker's clock, and how long it took.
        arrived_s : float
            When the driver received its result, by the driver's clock.
        """
        offset_s = arrived_s - ended_s
        self._offset_s[worker] = min(offset_s, self._offset_s.get(worker, offset_s))
        spans = self._spans.setdefault(worker, [])
        span = ended_s - elapsed_s, ended_s, elapsed_s
        self._n_spans += 1 - _join(spans, span, self._least_gap_s)
        while self._n_spans > max(MOST_SPANS, 2 * len(self._spans)):
            self._thin()

    def _thin(self) -> None:
        self._least_gap_s = max(1e-4, 2 * self._least_gap_s)
        for worker, spans in self._spans.items():
            fewer: list[Span] = []
            for span in spans:
                _join(fewer, span, self._least_gap_s)
            self._spans[worker] = fewer
        self._n_spans = sum(map(len, self._spans.values()))

    def spans(self, worker: Hashable) -> list[Span]:
        """Return when a worker was busy, in seconds since the start.

        Returns
        -------
        list of tuple of float
            Start, end, and the busy seconds between them: of joined spans, less than their length.
            Two processes of the same name may have clocks that disagree: spans that seem to end
            before the start are left out.
        """
        shift_s = self._offset_s.get(worker, 0.0) - self._start_s
        shifted = [
            (max(0.0, round(start + shift_s, 4)), round(stop + shift_s, 4), round(busy_s, 4))
            for start, stop, busy_s in self._spans.get(worker, [])
        ]
        return [span for span in shifted if span[1] >= span[0]]


def _join(spans: list[Span], span: Span, gap_s: float) -> bool:
    """Append a span, or join it with the last one if the gap is short; return whether it did."""
    # Results of one worker may arrive out of order: a span before the last is joined as well.
    if spans and span[0] - spans[-1][1] < gap_s:
        last = spans.pop()
        busy_s = last[2] + span[2]
        spans.append((min(last[0], span[0]), max(last[1], span[1]), busy_s))
        return True
    spans.append(span)
    return False
