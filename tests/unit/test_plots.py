"""Plots show the data they are given."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb

import scoopsci
import scoopsci.reporting.plots
from scoopsci import ExtraMissingError
from scoopsci.compare import compare

mpl.use("Agg")
plots: Any = scoopsci.reporting.plots
pytestmark = pytest.mark.usefixtures("fonts")


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def found() -> Any:
    return scoopsci.pi(40_000_000, seed=1, block_size=1 << 20, engine="processes", n_workers=2)


def receipt(n_workers: int = 4, *, n_hosts: int = 2, **run: Any) -> dict[str, Any]:
    workers = [
        {"host": f"node{1 + i % n_hosts}", "pid": 100 + i, "n_blocks": 10 * (i + 1),
         "spans": [(0.5 * i, 0.5 * i + 1.0, 1.0), (5.0, 6.0 + i / n_workers, 1.0 + i / n_workers)]}
        for i in range(n_workers)
    ]  # fmt: skip
    times = {key: float(i) for i, key in enumerate(plots.ACTIVITIES)}
    base = {"engine": "pool", "workers": workers, "losses": [], "elapsed_s": 8.0, "times": times}
    return {"options": {"block_size": 100}, "run": {**base, **run}}


def widths(ax: Any) -> list[float]:
    return [patch.get_width() for patch in ax.patches]


class TestConvergence:
    def test_line_and_band_match_the_estimate(self, found: Any) -> None:
        ax = found.plot(truth=np.pi)
        line = ax.lines[0]
        assert line.get_xdata().tolist() == found.convergence["n_samples"].tolist()
        assert line.get_ydata().tolist() == found.convergence["value"].tolist()
        band = ax.collections[0]
        assert isinstance(band, PolyCollection)
        edges: Any = band.get_paths()[0].vertices
        (at_end,) = {float(x) for x in [found.n_samples] if x in edges[:, 0]}
        heights = edges[edges[:, 0] == at_end][:, 1]
        assert heights.min() == pytest.approx(found.value - found.half_width)
        assert heights.max() == pytest.approx(found.value + found.half_width)
        assert ax.lines[-1].get_ydata()[0] == np.pi
        assert ax.get_xscale() == "log"

    def test_each_component_has_its_own_line_and_marker(self) -> None:
        def draw(rng: np.random.Generator, size: int) -> Any:
            return rng.normal([1.0, 2.0, 3.0], size=(size, 3))

        vector: Any = scoopsci.estimate(draw, 100_000, seed=1, engine="serial")
        ax = vector.plot()
        assert [line.get_ydata()[-1] for line in ax.lines] == vector.value.tolist()
        assert len({line.get_marker() for line in ax.lines}) == 3
        assert len({line.get_color() for line in ax.lines}) == 3

    def test_plot_without_finite_points_is_empty(self) -> None:
        columns = {"n_samples": [1, 2], "value": [np.nan, np.inf], "half_width": [np.nan] * 2}
        ax = plots.plot_convergence(columns)
        ax.figure.canvas.draw()
        assert len(ax.lines) == 0

    def test_points_without_a_finite_error_are_omitted(self) -> None:
        columns = {"n_samples": [1, 2, 4], "value": [1.0, np.nan, 3.0],
                   "half_width": [np.inf, 1.0, 0.5]}  # fmt: skip
        ax = plots.plot_convergence(columns)
        assert ax.lines[0].get_xdata().tolist() == [4.0]


class TestSpeedup:
    def test_of_a_comparison(self) -> None:
        comparison: Any = compare("pi", ["processes"], n_workers=2, n_rounds=1, n_points=100_000)
        ax = comparison.plot()
        assert widths(ax) == [row.speedup for row in comparison.rows]
        assert [text.get_text() for text in ax.get_yticklabels()] == ["serial", "processes"]
        vertical = {float(line.get_xdata()[0]) for line in ax.lines if len(line.get_xdata()) == 2}
        assert {2.0, comparison.ceiling} <= vertical
        times = comparison.plot("times")
        drawn = np.array(widths(times)).reshape(len(plots.ACTIVITIES), 2)
        for i, row in enumerate(comparison.rows):
            assert drawn[:, i].tolist() == [getattr(row, key) for key in plots.ACTIVITIES]
        with pytest.raises(ValueError, match="'speedup' or 'times', got 'pie'"):
            comparison.plot("pie")

    def test_scaling_has_the_ideal_line(self) -> None:
        ax = plots.plot_scaling([1, 2, 4], [1.0, 1.9, 3.1], [(1, 1), (1.8, 2.0), (2.9, 3.3)])
        ideal, measured = ax.lines[0], ax.lines[1]
        assert ideal.get_xdata().tolist() == ideal.get_ydata().tolist() == [0, 4]
        assert measured.get_ydata().tolist() == [1.0, 1.9, 3.1]


class TestRun:
    def test_gantt_chart_has_every_span(self) -> None:
        ax = plots.plot_workers(receipt(4))
        spans = [path.get_extents() for c in ax.collections for path in c.get_paths()]
        assert len(spans) == 8
        assert min(box.x0 for box in spans) == 0.0
        assert max(box.x1 for box in spans) == 6.75
        names = [text.get_text() for text in ax.get_yticklabels()]
        assert names == ["node1 100", "node1 102", "node2 101", "node2 103"]

    def test_hosts_differ_by_more_than_colour(self) -> None:
        ax = plots.plot_workers(receipt(4))
        looks = {(tuple(c.get_facecolor()[0]), c.get_hatch()) for c in ax.collections}
        assert len(looks) == len({colour for colour, _ in looks}) == 2
        assert len({hatch for _, hatch in looks}) == 2

    def test_height_of_joined_spans_is_their_busy_share(self) -> None:
        told = receipt(1)
        told["run"]["workers"][0]["spans"] = [(0.0, 4.0, 4.0), (5.0, 7.0, 1.0)]
        ax = plots.plot_workers(told)
        heights = [c.get_paths()[0].get_extents().height for c in ax.collections]
        assert heights == pytest.approx([0.8, 0.4])

    def test_losses_are_marked(self) -> None:
        losses = [{"at_s": 3.0, "host": "node1", "n_blocks": 1, "why": "it ended"}]
        ax = plots.plot_workers(receipt(2, losses=losses))
        assert [line.get_xdata()[0] for line in ax.lines] == [3.0]

    def test_many_workers_are_labelled_by_host(self) -> None:
        ax = plots.plot_workers(receipt(100))
        assert [text.get_text() for text in ax.get_yticklabels()] == ["node1", "node2"]
        assert ax.figure.get_figheight() <= 8.0

    def test_hosts(self) -> None:
        ax = plots.plot_hosts(receipt(4))
        assert widths(ax) == [(10 + 30) * 100 / 8.0, (20 + 40) * 100 / 8.0]
        assert [text.get_text() for text in ax.get_yticklabels()] == [
            "node1, 2 workers", "node2, 2 workers",
        ]  # fmt: skip

    def test_times(self) -> None:
        ax = plots.plot_times(receipt())
        assert widths(ax) == [0.0, 1.0, 2.0, 3.0, 4.0]
        assert len({patch.get_hatch() for patch in ax.patches}) == len(plots.ACTIVITIES)

    def test_of_a_real_run(self, found: Any) -> None:
        ax = found.plot("workers")
        n_spans = sum(len(worker["spans"]) for worker in found.receipt["run"]["workers"])
        assert sum(len(c.get_paths()) for c in ax.collections) == n_spans >= 2
        stop = max(path.get_extents().x1 for c in ax.collections for path in c.get_paths())
        assert 0.0 < stop <= found.elapsed_s + 0.01
        (rate,) = widths(found.plot("hosts"))
        assert rate == pytest.approx(found.n_blocks * (1 << 20) / found.elapsed_s)
        assert sum(widths(found.plot("times"))) >= 0.99 * found.elapsed_s

    def test_of_a_run_that_computed_nothing(self) -> None:
        for kind in ("workers", "hosts", "times"):
            plots.plot_receipt(kind, receipt(0))

    @pytest.mark.parametrize("kind", ["pie", "", None])
    def test_unknown_kinds_are_refused(self, found: Any, kind: Any) -> None:
        with pytest.raises(ValueError, match=f"workers, hosts, times; got {kind!r}"):
            found.plot(kind)
        with pytest.raises(ValueError, match="truth is drawn with the convergence"):
            found.plot("times", truth=3.0)


class TestLook:
    def test_given_axes_are_used(self, found: Any) -> None:
        ax: Any = plt.figure().subplots()
        assert found.plot(ax=ax) is ax
        assert len(plt.get_fignums()) == 1

    def test_background_is_white_on_a_dark_page(self, found: Any) -> None:
        with plt.style.context("dark_background"):
            ax = found.plot()
            ax.figure.canvas.draw()
        assert to_rgb(ax.figure.get_facecolor()) == to_rgb(ax.get_facecolor()) == (1.0, 1.0, 1.0)
        assert ax.xaxis.label.get_color() == plots.INK
        labels = [*ax.get_xticklabels(), *ax.get_yticklabels(), *ax.get_legend().get_texts()]
        assert {to_rgb(text.get_color()) for text in labels} == {to_rgb(plots.INK)}

    def test_each_colour_has_a_hatch_of_its_own(self) -> None:
        assert len(plots.COLOURS) == len(plots.HATCHES) == len(set(plots.HATCHES))

    def test_without_matplotlib_the_extra_is_named(
        self, found: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = builtins.__import__

        def refuse(name: str, *rest: Any, **more: Any) -> Any:
            if name.partition(".")[0] == "matplotlib":
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            return real(name, *rest, **more)

        for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
            monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.setattr(builtins, "__import__", refuse)
        with pytest.raises(ExtraMissingError, match=r"pip install 'scoopsci\[plot\]'") as caught:
            found.plot()
        assert isinstance(caught.value, ImportError)
