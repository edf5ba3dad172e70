"""Reports in a real browser: they load nothing, and fit into windows wide and narrow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import scoopsci
from scoopsci.compare import compare
from scoopsci.harness.methods import compare_methods
from scoopsci.harness.sorts import measure_sort
from scoopsci.report import write_report
from tests.browser import Tab, missing_browser, run_in_browser, take_pictures
from tests.conftest import require

pytestmark = pytest.mark.usefixtures("fonts")

PROCESSES: Any = {"engine": "processes", "n_workers": 2}
RESULTS: dict[str, Callable[[], Any]] = {
    "pi": lambda: scoopsci.pi(200_000_000, seed=1, **PROCESSES),
    "compare": lambda: compare("pi", ["processes"], n_workers=2, n_rounds=1, n_points=100_000),
    "mapreduce": lambda: compare_methods(40, 0.01, **PROCESSES),
    "sort": lambda: measure_sort(100_000, seed=1, **PROCESSES),
}


@pytest.mark.parametrize(
    "name",
    ["pi", "compare", *(pytest.param(n, marks=pytest.mark.slow) for n in ("mapreduce", "sort"))],
)
def test_report(name: str, tmp_path: Path, pictures: Path) -> None:
    require(missing_browser())
    path = tmp_path / f"{name}.html"
    command = f"scoopsci {name} --seed 1 " + "--an-option-that-is-long " * 20
    write_report(RESULTS[name](), path, command=command)

    async def look(tab: Tab) -> None:
        await tab.open(path.as_uri())
        await tab.becomes("document.readyState == 'complete'")
        shown = await tab.find("[...document.images].map(x => x.complete && x.naturalWidth > 100)")
        assert len(shown) >= 2
        assert all(shown)
        await tab.find("document.querySelector('details').open = true")
        await take_pictures(tab, pictures, f"report-{name}")
        elsewhere = [url for url in tab.requests if not url.startswith("data:")]
        assert elsewhere == [path.as_uri()]
        assert tab.complaints == []

    run_in_browser(look)
