"""Results as HTML: tables hold what the text holds, and no markup of the user's is active."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

import scoopsci
from scoopsci.compare import compare
from scoopsci.deployment.doctor import Check, Diagnoses, Diagnosis
from scoopsci.harness.methods import compare_methods
from scoopsci.harness.sorts import measure_sort
from scoopsci.mergesort import sort_and_describe
from scoopsci.reporting.markup import as_facts, as_notes, as_table
from scoopsci.reporting.workers import ACTIVITIES


class _Page(HTMLParser):
    """The words of a page, its elements, and whether each is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.elements: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.append(tag)
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def read(result: Any) -> list[str]:
    page = _Page(result._repr_html_())
    assert set(page.elements) <= {"table", "thead", "tbody", "tr", "th", "td", "p"}
    return page.words


HOSTILE = "<script>alert('&')</script>"


def test_text_is_escaped() -> None:
    for page in (
        as_table([HOSTILE], [[HOSTILE]]),
        as_facts({HOSTILE: HOSTILE}),
        as_notes([HOSTILE]),
    ):
        parsed = _Page(page)
        assert "script" not in parsed.elements
        assert HOSTILE in parsed.words


class TestEstimate:
    def test_a_number(self) -> None:
        found = scoopsci.pi(1_000_000, seed=7, engine="serial")
        words = read(found)
        assert str(found).partition(" (")[0] in words
        assert f"{found.interval[0]:.6g} to {found.interval[1]:.6g}" in words
        assert "1,000,000 in 1 block" in words
        assert "7" in words

    def test_a_vector_has_one_row_per_component_up_to_a_limit(self) -> None:
        def draw(rng: np.random.Generator, size: int) -> Any:
            return rng.normal(size=(size, 50))

        words = read(scoopsci.estimate(draw, 10_000, seed=1, engine="serial"))
        assert "and 30 more" in words
        assert sum("±" in word for word in words) == 20
        assert any("all at once" in word for word in words)

    def test_notes_and_factors_are_shown(self) -> None:
        found = scoopsci.integrate(
            lambda x: x[:, 0] ** 2, 0, 1, 10_000, dim=1, seed=1, engine="serial",
            variance_reduction=[scoopsci.Antithetic()],
        )  # fmt: skip
        assert "variance reduced by antithetic variates" in read(found)
        with pytest.warns(scoopsci.DoubtfulEstimateWarning):
            single = scoopsci.estimate(
                lambda rng, size: rng.normal(size=size), 1, seed=1, engine="serial"
            )
        assert single.notes[0] in read(single)


def test_comparison_of_engines() -> None:
    found = compare("pi", ["processes"], n_workers=2, n_rounds=1, n_points=100_000)
    words = read(found)
    assert {"serial", "processes", "bare processes", found.advice} <= set(words)
    assert f"{found.rows[1].speedup:.2f}" in words
    assert __file__.split("/tests/")[0] not in repr(found), "notebooks store it beside the table"


def test_comparison_of_methods() -> None:
    found = compare_methods(10, 0.0, engine="serial")
    words = read(found)
    assert {row.method for row in found.rows} <= set(words)
    assert any("10 tasks of 0 ms" in word for word in words)


def test_sorts() -> None:
    found = measure_sort(1_000, seed=1, engine="serial")
    assert {"Python's sorted", f"{found.elapsed_s:.3f}", found.advice} <= set(read(found))
    result = sort_and_describe(list(range(100)), engine="serial")
    assert str(result).startswith("100 items sorted in ")
    assert {str(result), *ACTIVITIES.values()} <= set(read(result))
    assert "values" not in repr(result), "notebooks store it beside the table"


def test_pool() -> None:
    with scoopsci.Pool(2) as pool:
        words = read(pool)
        assert {"localhost", "connected", "2 of 2", np.__version__} <= set(words)


def test_hosts() -> None:
    ready = Diagnosis("node1 2", (Check("python", True, "3.11.7"),))
    wrong = Diagnosis("node2 1", (Check("login", False, f"denied {HOSTILE}", "give it your key"),))
    words = read(Diagnoses([ready, wrong]))
    assert {"node1 2", "ready", "3.11.7", "node2 1", "not ready"} <= set(words)
    assert f"login: denied {HOSTILE} → give it your key" in words
