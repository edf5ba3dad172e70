"""Timelines: when workers were busy."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from scoopsci.reporting.timeline import MOST_SPANS, Timeline


def test_clocks_that_differ() -> None:
    timeline = Timeline(1_000.0)
    for worker, clock_s in (("one", 5_000.0), ("two", -300.0)):
        for ended_s, delay_s in ((2.0, 0.3), (4.0, 0.1), (6.0, 0.2)):
            timeline.add(
                worker, ended_s=clock_s + ended_s, elapsed_s=1.0,
                arrived_s=1_000.0 + ended_s + delay_s,
            )  # fmt: skip
    expected = [(1.1, 2.1, 1.0), (3.1, 4.1, 1.0), (5.1, 6.1, 1.0)]
    assert timeline.spans("one") == timeline.spans("two") == expected
    assert timeline.spans("three") == []


@given(st.lists(st.tuples(st.floats(0.001, 2.0), st.floats(0.001, 2.0)), min_size=1, max_size=50))
def test_spans_of_a_worker_do_not_overlap(tasks: list[tuple[float, float]]) -> None:
    timeline, now = Timeline(0.0), 0.0
    for elapsed_s, idle_s in tasks:
        now += elapsed_s + idle_s
        timeline.add("one", ended_s=now, elapsed_s=elapsed_s, arrived_s=now + idle_s)
    spans = timeline.spans("one")
    assert len(spans) == len(tasks)
    assert all(0 <= start <= stop for start, stop, _ in spans)
    total_s = sum(elapsed_s for elapsed_s, _ in tasks)
    assert abs(sum(busy_s for *_, busy_s in spans) - total_s) < 1e-2
    flat = [time for start, stop, _ in spans for time in (start, stop)]
    assert all(left <= right + 1e-3 for left, right in itertools.pairwise(flat))


def test_spans_of_a_million_tasks_stay_bounded() -> None:
    """Gaps that nobody could see are closed; long ones stay."""
    timeline = Timeline(0.0)
    for task in range(200_000):
        long_s = 1_000.0 if task >= 100_000 else 0.0
        now = 0.01 * task + long_s
        timeline.add(task % 4, ended_s=now, elapsed_s=0.039, arrived_s=now)
    told = [timeline.spans(worker) for worker in range(4)]
    assert sum(map(len, told)) <= MOST_SPANS
    for spans in told:
        assert spans[-1][1] > 2_999.0
        assert any(stop[0] - start[1] > 990.0 for start, stop in itertools.pairwise(spans))


def test_idle_time_between_tasks_is_not_counted_as_busy() -> None:
    timeline = Timeline(0.0)
    for task in range(100_000):
        timeline.add(task % 4, ended_s=1.0 * task, elapsed_s=0.03, arrived_s=1.0 * task)
    for worker in range(4):
        spans = timeline.spans(worker)
        busy_s = sum(busy for *_, busy in spans)
        assert abs(busy_s - 0.03 * 25_000) < 1.0


def test_spans_of_a_process_with_the_same_name_do_not_precede_the_start() -> None:
    timeline = Timeline(100.0)
    timeline.add("one", ended_s=5.0, elapsed_s=1.0, arrived_s=102.0)
    timeline.add("one", ended_s=9e6, elapsed_s=1.0, arrived_s=103.0)
    assert all(0 <= start <= stop for start, stop, _ in timeline.spans("one"))


def test_more_workers_than_spans_are_kept() -> None:
    timeline = Timeline(0.0)
    for worker in range(2 * MOST_SPANS):
        timeline.add(worker, ended_s=1.0, elapsed_s=0.5, arrived_s=1.0)
    assert all(timeline.spans(worker) == [(0.5, 1.0, 0.5)] for worker in range(2 * MOST_SPANS))
