"""Figures of rounds: pairs, medians, intervals, break-even."""

from __future__ import annotations

import json
import statistics
from functools import partial

import pytest

from scoopsci.harness.rounds import (
    Figure,
    describe_machine,
    find_break_even,
    format_seconds,
    interleave,
    median_interval,
    paired_ratio,
)


def test_each_function_runs_once_per_round_and_starts_in_turn() -> None:
    taken: list[str] = []

    def take(name: str) -> int:
        taken.append(name)
        return len(taken)

    rounds = interleave({name: partial(take, name) for name in "abc"}, 4)
    assert "".join(taken) == "abc" + "bca" + "cab" + "abc"
    assert rounds[1] == {"a": 6, "b": 4, "c": 5}
    assert list(rounds[1]) == ["a", "b", "c"]


def test_progress_is_reported_before_each_call_and_at_the_end() -> None:
    told: list[int] = []
    interleave({"a": int, "b": int}, 2, tell=told.append)
    assert told == [0, 1, 2, 3, 4]


def test_ratios_are_paired_within_rounds() -> None:
    # A machine that slows down by ten leaves every ratio as it was.
    rounds = [{"ours": 2.0 * drift, "theirs": 1.0 * drift} for drift in (1, 10, 3)]
    assert paired_ratio(rounds, "ours", "theirs") == Figure(2.0, 2.0, 2.0)


@pytest.mark.parametrize("n_values", [1, 2, 3, 5, 9, 20])
def test_interval_holds_the_median_within_the_values(n_values: int) -> None:
    values = [((7 * i) % 11) ** 1.5 for i in range(n_values)]
    low, high = median_interval(values)
    assert min(values) <= low <= statistics.median(values) <= high <= max(values)
    assert median_interval(values) == (low, high)


@pytest.mark.parametrize("n_values", [1, 2, 3, 4, 5])
def test_interval_of_few_values_is_their_range(n_values: int) -> None:
    assert median_interval(range(n_values)) == (0, n_values - 1)


def test_interval_of_nine_values_leaves_out_the_outlier() -> None:
    assert median_interval([1.0] * 8 + [100.0]) == (1.0, 1.0)


def test_figure_of_values() -> None:
    figure = Figure.of([3, 1, 2])
    assert (figure.median, figure.interval) == (2.0, (1.0, 3.0))
    assert str(figure) == "2.00 (1.00 to 3.00)"
    assert str(Figure(5123.4, 99.0, 6000.0)) == "5,123 (99.00 to 6,000)"


def test_break_even_is_where_both_take_the_same() -> None:
    # 200 tasks of 10 ms; the engine adds 2 ms to each, and its two workers scale by 1.6.
    n_tasks, task_s, overhead_s, ceiling = 200, 0.010, 0.002, 1.6
    engine_s = n_tasks * (overhead_s + task_s / ceiling)
    length_s = find_break_even(engine_s, n_tasks * task_s, ceiling, n_tasks)
    assert length_s == pytest.approx(overhead_s / (1 - 1 / ceiling))
    assert length_s is not None
    assert overhead_s + length_s / ceiling == pytest.approx(length_s)


@pytest.mark.parametrize("ceiling", [0.7, 1.0])
def test_there_is_no_break_even_where_processes_gain_nothing(ceiling: float) -> None:
    assert find_break_even(1.0, 1.0, ceiling, 10) is None


def test_break_even_of_an_engine_without_overhead_is_zero() -> None:
    assert find_break_even(0.9, 2.0, 2.0, 10) == 0.0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 ns"), (3.04e-9, "3 ns"), (7.7e-5, "77 µs"), (0.0021, "2.1 ms"), (150.0, "150 s")],
)
def test_seconds_are_formatted_in_a_suitable_unit(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


def test_machine_facts_are_ready_for_json() -> None:
    described = json.loads(json.dumps(describe_machine()))
    assert described["n_processors"] >= 1
    assert {"python", "numpy", "scoop"} <= set(described["versions"])
