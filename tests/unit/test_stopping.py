"""Where a run may stop, and when it stops."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from scoopsci.road.stopping import (
    EQUAL_FACTOR,
    BlockSizes,
    Goal,
    Supply,
    describe_sizes,
    next_check,
)


def list_checks(n: int, **where: int) -> list[int]:
    checks = [0]
    while len(checks) <= n:
        checks.append(next_check(checks[-1], **where))
    return checks[1:]


class TestNextCheck:
    def test_growth_is_geometric(self) -> None:
        assert list_checks(15) == [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28]
        late = list_checks(200)[20:]
        assert all(1.1 < after / before <= 1.25 for before, after in pairwise(late))

    def test_powers_of_two_in_units(self) -> None:
        assert list_checks(6, unit=16, per_doubling=1) == [16, 32, 64, 128, 256, 512]

    @pytest.mark.parametrize("where", [{}, {"unit": 16, "per_doubling": 1}, {"per_doubling": 2}])
    def test_it_is_the_first_check_after_any_block(self, where: dict[str, int]) -> None:
        checks = list_checks(12, **where)
        for n_blocks in range(checks[-1]):
            expected = next(check for check in checks if check > n_blocks)
            assert next_check(n_blocks, **where) == expected

    def test_large_indices(self) -> None:
        assert next_check(2**60) == 5 * 2**58
        assert next_check(5 * 2**58 - 1) == 5 * 2**58


class TestGoal:
    @pytest.mark.parametrize(
        ("fields", "error", "told"),
        [
            ({"half_width": 0.0}, ValueError, "half_width must be a positive number, got 0.0"),
            ({"half_width": -1e-3}, ValueError, "positive number, got -0.001"),
            ({"half_width": math.nan}, ValueError, "positive number, got nan"),
            ({"half_width": math.inf}, ValueError, "positive number, got inf"),
            ({"half_width": "1e-3"}, TypeError, "must be a real number, got '1e-3'"),
            ({"half_width": True}, TypeError, "must be a real number, got True"),
            ({"relative": 1}, TypeError, "relative must be True or False, got 1"),
            ({"exact_ok": 0}, TypeError, "exact_ok must be True or False, got 0"),
            ({"min_samples": 1}, ValueError, "min_samples must be at least 2, got 1"),
            ({"min_samples": 1e3}, TypeError, "min_samples must be an integer, got 1000.0"),
            (
                {"max_samples": 999},
                ValueError,
                "max_samples must be at least min_samples = 1000, got 999",
            ),
        ],
    )
    def test_wrong_fields(self, fields: dict[str, Any], error: type[Exception], told: str) -> None:
        with pytest.raises(error, match=told):
            Goal(**{"half_width": 0.1, **fields})

    def test_absolute_and_relative(self) -> None:
        assert Goal(half_width=0.1).excess(5_000, 4.0, 0.2) == pytest.approx(2.0)
        assert Goal(half_width=0.1, relative=True).excess(5_000, -4.0, 0.2) == pytest.approx(0.5)
        assert Goal(half_width=0.1, relative=True).excess(5_000, 0.0, 0.2) == math.inf

    def test_every_component_counts(self) -> None:
        values, widths = np.array([1.0, 10.0]), np.array([0.05, 0.3])
        assert Goal(half_width=0.1).excess(5_000, values, widths) == pytest.approx(3.0)
        relative = Goal(half_width=0.1, relative=True)
        assert relative.excess(5_000, values, widths) == pytest.approx(0.5)

    def test_an_error_of_zero_reaches_nothing(self) -> None:
        assert Goal(half_width=0.1).excess(10**9, 1.0, 0.0) == math.inf
        widths = np.array([0.05, 0.0])
        assert Goal(half_width=0.1).excess(10**9, np.ones(2), widths) == math.inf

    def test_one_that_may_be_exact_is_accepted_late(self) -> None:
        goal = Goal(half_width=0.1, min_samples=1_000, exact_ok=True)
        assert goal.excess(EQUAL_FACTOR * 1_000 - 1, 1.0, 0.0) == math.inf
        assert goal.excess(EQUAL_FACTOR * 1_000, 1.0, 0.0) == 0.0
        assert goal.excess(EQUAL_FACTOR * 1_000, np.ones(2), np.array([0.05, 0.0])) == 0.5

    @pytest.mark.parametrize("exact_ok", [False, True])
    @pytest.mark.parametrize("half_width", [0.0, 1e-9])
    def test_nothing_is_relative_to_zero(self, exact_ok: bool, half_width: float) -> None:
        goal = Goal(half_width=0.1, relative=True, exact_ok=exact_ok)
        assert goal.excess(10**9, 0.0, half_width) == math.inf
        assert "raise min_samples= for a rare event" in goal.explain_zero(0.0)[1]

    @pytest.mark.parametrize(
        ("relative", "value", "is_zero"),
        [
            (True, 0.0, True),
            (True, np.array([1.0, 0.0]), True),
            (True, 1.0, False),
            (True, -1.0, False),
            (False, 0.0, False),
        ],
    )
    def test_why_an_error_of_zero_reaches_nothing(
        self, relative: bool, value: Any, is_zero: bool
    ) -> None:
        why, _ = Goal(half_width=0.1, relative=relative).explain_zero(value)
        assert ("the estimate is zero" in why) is is_zero

    def test_infinite_intervals_have_an_infinite_excess(self) -> None:
        assert math.isnan(Goal(half_width=0.1).excess(5_000, math.nan, math.nan))
        assert Goal(half_width=0.1).excess(5_000, 1.0, math.inf) == math.inf
        assert math.isfinite(Goal(half_width=5e-324).excess(5_000, 1.0, 0.1))


class TestBlockSizes:
    def test_slices_agree_with_the_whole(self) -> None:
        sizes = BlockSizes(2, 7, 10, 62)
        assert [*sizes] == [10, 10, 10, 10, 2]
        assert len(sizes) == 5
        for part in (slice(1, 3), slice(0, 5), slice(4, 9), slice(3, 3)):
            assert [*sizes[part]] == [*sizes][part]

    def test_description(self) -> None:
        assert describe_sizes(BlockSizes(0, 5, 10)) == "10"
        assert describe_sizes([2]) == "2"


class TestSupply:
    def test_all_blocks_of_a_known_number(self) -> None:
        supply = Supply(10, 105)
        assert supply.n_blocks == len(supply) == 11
        assert [*supply] == [10] * 10 + [5]
        assert [supply.count_samples(n) for n in (0, 1, 10, 11)] == [0, 10, 100, 105]
        assert supply.next_check(10) == 11

    @pytest.mark.parametrize("n_samples", [1, 9, 10, 11, 100, 105, 1_234])
    @pytest.mark.parametrize("size", [1, 3, 1_000])
    def test_slices_end_at_checks_and_before_a_short_block(self, n_samples: int, size: int) -> None:
        supply, taken, start = Supply(10, n_samples), [], 0
        while len(part := supply[start : start + size]):
            assert part.start == start
            assert part.stop <= next_check(start)
            assert set(part) == {10} or len(part) == 1
            taken += [*part]
            start = part.stop
        assert taken == [*supply]
        assert sum(taken) == n_samples

    def test_no_maximum(self) -> None:
        supply = Supply(10, None)
        assert (supply.n_blocks, len(supply)) == (None, 0)
        assert len(supply[0:5]) == 0
        supply.want(3)
        supply.want(2)
        assert [*supply] == [10, 10, 10]
        assert supply.count_samples(10**30) == 10**31

    def test_no_more_blocks_than_the_run_has(self) -> None:
        supply = Supply(10, 25)
        supply.want(100)
        assert len(supply) == 3
