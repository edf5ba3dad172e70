"""The text and the advice of a comparison of sorts."""

from dataclasses import replace

import pytest

from scoopsci.harness.sorts import SortComparison, advise

EXAMPLE = SortComparison(
    n_items=1_000_000,
    seed=7,
    elapsed_s=0.25,
    serial_elapsed_s=1.0,
    one_core_elapsed_s=0.5,
    start_up_s=1.5,
    sorted=True,
    same_multiset=True,
    engine="processes",
    n_workers=2,
    largest_share=1.004,
    sent_bytes=12_345,
    returned_bytes=678,
    moving_s=0.125,
    in_shared_memory=True,
    advice="the advice",
)


def test_text_for_people() -> None:
    assert str(EXAMPLE).splitlines() == [
        "1,000,000 random integers, seed 7: in order, the same items",
        "    1.000 s  Python's sorted",
        "    0.500 s  merge_sort on one core",
        "    0.250 s  merge_sort on engine processes, 2 workers, which took 1.50 s to start",
        "    0.125 s  of it to convert and move the items, through shared memory: "
        "12,345 bytes sent, 678 returned",
        "largest partition 1.00 of the mean",
        "the advice",
    ]


def test_failures_are_loud() -> None:
    assert "NOT IN ORDER, the same items" in str(replace(EXAMPLE, sorted=False))
    assert "in order, NOT THE SAME ITEMS" in str(replace(EXAMPLE, same_multiset=False))
    assert "without shared memory" in str(replace(EXAMPLE, in_shared_memory=False))


@pytest.mark.parametrize(
    ("elapsed_s", "sorted_s", "one_core_s", "n_workers", "advice"),
    [
        (
            *(1.0, 6.0, 1.5, 2),
            "distribute: 2 workers are 1.5 times as fast as merge_sort on one core, "
            "and 6.0 times as fast as Python's sorted",
        ),
        (
            *(2.0, 6.0, 1.0, 4),
            "do not distribute: merge_sort on one core, engine='serial', is 2.0 times as fast as "
            "4 workers, and 6.0 times as fast as Python's sorted",
        ),
        (
            *(0.95, 6.0, 1.0, 4),
            "do not distribute: merge_sort on one core, engine='serial', is as fast as "
            "4 workers, and 6.0 times as fast as Python's sorted",
        ),
        (
            *(0.5, 1.0, 1.0, 1),
            "do not distribute: merge_sort on one core, engine='serial', is as fast as "
            "one worker, and as fast as Python's sorted",
        ),
        (
            3.0,
            1.0,
            2.0,
            3,
            "do not distribute: `sorted` on one core is 3.0 times as fast as 3 workers",
        ),
        (1.0, 1.0, 2.0, 3, "do not distribute: `sorted` on one core is as fast as 3 workers"),
    ],
)
def test_advice(
    elapsed_s: float, sorted_s: float, one_core_s: float, n_workers: int, advice: str
) -> None:
    assert advise(elapsed_s, sorted_s, one_core_s, n_workers) == advice
