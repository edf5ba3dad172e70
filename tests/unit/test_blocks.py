"""Ranges and the fold, by example; general properties are in tests/property."""

from collections.abc import Iterator

import pytest

from scoopsci.road.blocks import Fold, Prefixes, Range, merge_consecutive, split_into_ranges
from tests.merging import bracket


@pytest.mark.parametrize(
    ("blocks", "sibling"),
    [
        (Range(0, 1), Range(1, 2)),
        (Range(5, 6), Range(4, 5)),
        (Range(4, 8), Range(0, 4)),
        (Range(0, 4), Range(4, 8)),
        (Range(2**70, 2**70 + 2**69), Range(2**70 + 2**69, 2**71)),
    ],
)
def test_range_knows_size_and_sibling(blocks: Range, sibling: Range) -> None:
    assert blocks.check() is blocks
    assert blocks.size == blocks.stop - blocks.start
    assert blocks.sibling == sibling
    assert sibling.sibling == blocks


@pytest.mark.parametrize(
    "ends", [(0, 0), (1, 0), (0, 3), (0, 5), (1, 3), (2, 6), (-2, 0), (-4, -2)]
)
def test_unaligned_range_is_refused(ends: tuple[int, int]) -> None:
    message = rf"k·2\^j.*\[{ends[0]}, {ends[1]}\)"
    with pytest.raises(ValueError, match=message):
        Range(*ends).check()
    with pytest.raises(ValueError, match=message):
        Fold(bracket).add(Range(*ends), "partial")


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [
        (0, 0, []),
        (5, 5, []),
        (7, 3, []),
        (0, 1, [(0, 1)]),
        (0, 8, [(0, 8)]),
        (0, 7, [(0, 4), (4, 6), (6, 7)]),
        (3, 12, [(3, 4), (4, 8), (8, 12)]),
        (1, 2**40, [(2**j, 2 ** (j + 1)) for j in range(40)]),
    ],
)
def test_split(start: int, stop: int, expected: list[tuple[int, int]]) -> None:
    assert [tuple(blocks) for blocks in split_into_ranges(start, stop)] == expected


def test_empty_fold_has_no_result() -> None:
    fold = Fold(bracket)
    assert list(fold) == []
    assert fold.n_blocks == 0
    assert not fold.covers(Range(0, 1))
    with pytest.raises(ValueError, match=r"every block must be counted.*0 is missing"):
        fold.result()


def test_single_range_is_the_result_unmerged() -> None:
    fold = Fold(bracket)
    assert fold.add(Range(0, 4), "whole")
    assert fold.result() == "whole"
    assert fold.n_blocks == 4


@pytest.mark.parametrize(
    ("n_blocks", "expected"),
    [
        (1, "0"),
        (2, "(01)"),
        (3, "((01)2)"),
        (5, "(((01)(23))4)"),
        (6, "(((01)(23))(45))"),
        (7, "((((01)(23))(45))6)"),
        (8, "(((01)(23))((45)(67)))"),
    ],
)
def test_shape_of_the_tree(n_blocks: int, expected: str) -> None:
    fold = Fold(bracket)
    for block in range(n_blocks):
        assert fold.add(Range(block, block + 1), str(block))
    assert fold.result() == expected
    assert fold.result() == expected, "the result can be read again"


def test_blocks_may_follow_after_a_result() -> None:
    fold = Fold(bracket)
    for block in range(4):
        fold.add(Range(block, block + 1), str(block))
        fold.result()
    assert fold.result() == "((01)(23))"


@pytest.mark.parametrize(
    ("held", "missing"), [([1], 0), ([0, 2], 1), ([0, 1, 3, 4], 2), ([2, 3], 0), ([0, 1, 2, 4], 3)]
)
def test_result_names_the_first_missing_block(held: list[int], missing: int) -> None:
    fold = Fold(bracket)
    for block in held:
        fold.add(Range(block, block + 1), str(block))
    with pytest.raises(ValueError, match=f"{missing} is missing"):
        fold.result()


def test_leading_blocks_end_at_the_first_gap() -> None:
    fold = Fold(lambda left, right: f"({left}{right})")
    assert list(fold.leading()) == []
    for block in (0, 1, 2, 4, 5):
        fold.add(Range(block, block + 1), str(block))
    assert list(fold.leading()) == [(2, "(01)"), (3, "((01)2)")]


def test_whole_replaces_its_parts() -> None:
    fold = Fold(bracket)
    assert fold.add(Range(1, 2), "1")
    assert fold.add(Range(2, 4), "(23)")
    assert fold.add(Range(0, 4), "((01)(23))"), "block 0 is new"
    assert fold.n_blocks == 4
    assert list(fold) == [(Range(0, 4), "((01)(23))")]
    assert not fold.add(Range(2, 4), "other"), "all of it is counted"
    assert fold.result() == "((01)(23))"


@pytest.mark.parametrize(
    ("blocks", "covered"),
    [
        (Range(4, 8), True),
        (Range(5, 6), True),
        (Range(6, 8), True),
        (Range(0, 8), False),
        (Range(2, 4), False),
        (Range(8, 9), False),
    ],
)
def test_covers(blocks: Range, covered: bool) -> None:
    fold = Fold(bracket)
    fold.add(Range(4, 8), "4567")
    assert fold.covers(blocks) is covered


def test_memory_is_logarithmic() -> None:
    fold: Fold[int] = Fold(lambda left, right: left + right)
    for block in range(10_000):
        fold.add(Range(block, block + 1), block)
        assert len(list(fold)) <= (block + 1).bit_length()
    assert fold.result() == sum(range(10_000))


def test_merge_that_raises_leaves_the_fold_as_it_was() -> None:
    def refuse(left: str, right: str) -> str:
        raise ArithmeticError(f"{left} and {right} do not merge")

    fold = Fold(refuse)
    fold.add(Range(0, 1), "0")
    with pytest.raises(ArithmeticError):
        fold.add(Range(1, 2), "1")
    assert list(fold) == [(Range(0, 1), "0")]
    assert fold.n_blocks == 1


@pytest.mark.parametrize(
    ("start", "partials", "expected"),
    [
        (0, "", []),
        (5, "", []),
        (0, "a", [((0, 1), "a")]),
        (0, "abcd", [((0, 4), "((ab)(cd))")]),
        (0, "abcdefg", [((0, 4), "((ab)(cd))"), ((4, 6), "(ef)"), ((6, 7), "g")]),
        (1, "abcdefg", [((1, 2), "a"), ((2, 4), "(bc)"), ((4, 8), "((de)(fg))")]),
        (2**70 - 1, "abc", [((2**70 - 1, 2**70), "a"), ((2**70, 2**70 + 2), "(bc)")]),
    ],
)
def test_consecutive_blocks_merge(
    start: int, partials: str, expected: list[tuple[tuple[int, int], str]]
) -> None:
    found = merge_consecutive(bracket, start, partials)
    assert [((blocks.start, blocks.stop), partial) for blocks, partial in found] == expected


def test_consecutive_blocks_before_an_error_come_first() -> None:
    def give() -> Iterator[str]:
        yield from "abc"
        raise LookupError("no more")

    merged = merge_consecutive(bracket, 0, give())
    assert next(merged) == (Range(0, 2), "(ab)")
    assert next(merged) == (Range(2, 3), "c")
    with pytest.raises(LookupError, match="no more"):
        next(merged)


def test_consecutive_blocks_are_held_merged() -> None:
    """Of 2^12 partials, at most one for each of 12 sizes, and the two that are merged."""
    n_alive = most = 0

    class Partial:
        def __init__(self) -> None:
            nonlocal n_alive, most
            n_alive += 1
            most = max(most, n_alive)

        def __del__(self) -> None:
            nonlocal n_alive
            n_alive -= 1

    def merge(left: Partial, right: Partial) -> Partial:
        return Partial()

    merged = list(merge_consecutive(merge, 0, (Partial() for _ in range(1 << 12))))
    assert [blocks for blocks, _ in merged] == [Range(0, 1 << 12)]
    assert most <= 2 * 12 + 3


def test_prefixes() -> None:
    prefixes: Prefixes[str] = Prefixes()
    found = [prefixes.add(bracket, Range(b, b + 1), "abcdefg"[b]) for b in range(7)]
    assert found == [
        "a",
        "(ab)",
        "((ab)c)",
        "((ab)(cd))",
        "(((ab)(cd))e)",
        "(((ab)(cd))(ef))",
        "((((ab)(cd))(ef))g)",
    ]


def test_prefixes_of_ranges() -> None:
    prefixes: Prefixes[str] = Prefixes()
    assert prefixes.add(bracket, Range(0, 4), "abcd") == "abcd"
    assert prefixes.add(bracket, Range(4, 6), "ef") == "(abcdef)"
    assert prefixes.add(bracket, Range(6, 8), "gh") == "(abcd(efgh))"


def test_a_merge_that_raises_leaves_the_prefixes_as_they_were() -> None:
    def refuse(left: str, right: str) -> str:
        raise ArithmeticError(f"{left} and {right} do not merge")

    prefixes: Prefixes[str] = Prefixes()
    prefixes.add(bracket, Range(0, 1), "a")
    with pytest.raises(ArithmeticError):
        prefixes.add(refuse, Range(1, 2), "b")
    assert prefixes.add(bracket, Range(1, 2), "b") == "(ab)"
