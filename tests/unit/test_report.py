"""Reports: one page of all about a run, which needs nothing else."""

from __future__ import annotations

import json
import shlex
import sys
from base64 import b64decode
from contextlib import suppress
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest

import scoopsci
from scoopsci import ExtraMissingError
from scoopsci.cli import main
from scoopsci.compare import compare
from scoopsci.harness.methods import compare_methods
from scoopsci.harness.sorts import measure_sort
from scoopsci.mergesort import sort_and_describe
from scoopsci.report import write_report

pytestmark = pytest.mark.usefixtures("fonts")


class Page(HTMLParser):
    """What a page says and shows."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.words: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._is_style = False
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._is_style = tag == "style"

    def handle_data(self, data: str) -> None:
        if not self._is_style:
            self.words.append(data)

    @property
    def text(self) -> str:
        return "".join(self.words)

    def pictures(self) -> list[str]:
        """Return the sources of its pictures."""
        head = "data:image/svg+xml;base64,"
        sources = [str(attributes["src"]) for tag, attributes in self.elements if tag == "img"]
        assert all(source.startswith(head) for source in sources)
        return [b64decode(source.removeprefix(head)).decode() for source in sources]

    def figures(self) -> Any:
        """Return the JSON of all figures."""
        return json.loads(self.text[self.text.index("All figures, as JSON") :].partition("\n")[2])


def report(result: Any, tmp_path: Path, **options: Any) -> Page:
    write_report(result, tmp_path / "run.html", **options)
    page = Page(tmp_path / "run.html")
    assert page.elements[0][0] == "html"
    return page


@pytest.fixture(scope="module")
def found() -> scoopsci.PiEstimate:
    return scoopsci.pi(30_000_000, seed=1, block_size=1 << 20, engine="processes", n_workers=2)


class TestEstimate:
    def test_report_describes_the_run(self, found: scoopsci.PiEstimate, tmp_path: Path) -> None:
        page = report(found, tmp_path, command="scoopsci pi --seed 1")
        words = " ".join(" ".join(page.words).split())
        low, high = found.interval
        assert f"{low:.6g} to {high:.6g}" in words
        assert "Engine processes, 2 workers on 1 host" in words
        for worker in found.receipt["run"]["workers"]:
            assert f"{worker['host']} {worker['pid']} {worker['n_blocks']} " in words
        for package, version in found.receipt["versions"].items():
            assert f"{package} {version}" in words
        assert "scoopsci pi --seed 1" in words
        assert found.receipt["stream"] in words
        assert page.figures() == found.receipt

    def test_report_shows_four_plots(self, found: scoopsci.PiEstimate, tmp_path: Path) -> None:
        pictures = report(found, tmp_path).pictures()
        assert len(pictures) == 4
        assert all("<svg" in picture for picture in pictures)

    def test_report_lists_losses(self, found: scoopsci.PiEstimate, tmp_path: Path) -> None:
        loss = {"at_s": 0.5, "host": "node1", "n_blocks": 3, "why": "<it> & ended"}
        run = {**found.receipt["run"], "losses": [loss], "n_lost_tasks": 1}
        page = report(replace(found, receipt={**found.receipt, "run": run}), tmp_path)
        assert {"0.5", "node1", "3", "<it> & ended"} <= set(page.words)

    def test_a_real_loss(self, tmp_path: Path) -> None:
        mark = tmp_path / "died"

        def draw(rng: Any, size: int) -> Any:
            import os

            with suppress(FileExistsError):
                mark.touch(exist_ok=False)  # by one worker alone
                os._exit(3)
            return rng.random(size)

        with scoopsci.Pool(2) as pool:
            lossy = scoopsci.estimate(draw, 1_000_000, seed=1, engine=pool)
        (loss,) = lossy.receipt["run"]["losses"]
        assert loss["host"] == "localhost"
        assert loss["why"] in report(lossy, tmp_path).words

    def test_vector(self, tmp_path: Path) -> None:
        vector = scoopsci.estimate(
            lambda rng, size: rng.normal(size=(size, 3)), 10_000, seed=1, engine="serial"
        )
        assert report(vector, tmp_path).figures()["result"]["value"] == vector.value.tolist()


class TestOthers:
    def test_comparison(self, tmp_path: Path) -> None:
        result = compare("pi", ["processes"], n_workers=2, n_rounds=1, n_points=100_000)
        page = report(result, tmp_path)
        assert result.advice in page.text
        assert len(page.pictures()) == 2
        assert all(line in page.text for line in result.facts["commands"].values())
        assert page.figures()["rows"][0]["engine"] == "serial"

    def test_methods(self, tmp_path: Path) -> None:
        page = report(compare_methods(20, 0.0, engine="processes", n_workers=2), tmp_path)
        assert "scoopsci: map_reduce" in page.text
        assert len(page.pictures()) == 4

    def test_sorts(self, tmp_path: Path) -> None:
        result = measure_sort(2_000, seed=1, engine="processes", n_workers=2)
        page = report(result, tmp_path)
        assert result.advice in page.text
        assert len(page.pictures()) == 4
        page = report(
            sort_and_describe([3, 1, 2], engine="processes", n_workers=2), tmp_path
        )  # fmt: skip
        assert "3 items sorted" in page.text
        assert len(page.pictures()) == 3


class TestSelfContained:
    def test_page_loads_nothing(self, found: scoopsci.PiEstimate, tmp_path: Path) -> None:
        page = report(found, tmp_path)
        assert {tag for tag, _ in page.elements} & {"script", "link", "iframe", "object"} == set()
        source = (tmp_path / "run.html").read_text("utf-8")
        assert "@import" not in source
        assert "url(" not in source
        policy = next(a["content"] for t, a in page.elements if t == "meta" and "http-equiv" in a)
        assert policy is not None
        assert "default-src 'none'" in policy

    def test_names_are_escaped(self, found: scoopsci.PiEstimate, tmp_path: Path) -> None:
        hostile = "<script>alert(1)</script>"
        workers = [{**worker, "host": hostile} for worker in found.receipt["run"]["workers"]]
        receipt = {**found.receipt, "run": {**found.receipt["run"], "workers": workers}}
        page = report(replace(found, receipt=receipt), tmp_path, command=hostile)
        assert "script" not in {tag for tag, _ in page.elements}
        assert hostile in page.text


class TestCommand:
    @pytest.mark.parametrize(
        "command",
        [
            "pi --points 100000 --engine serial",
            "sort --items 1000 --engine serial",
            "mapreduce --tasks 10 --task-seconds 0 --engine serial",
            "compare pi --points 1000 --engines serial --rounds 1",
        ],
    )
    def test_the_command_on_the_page_repeats_the_run(
        self, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = tmp_path / "my run.html"
        assert main([*command.split(), "--report", str(path), "--json"]) == 0
        first = json.loads(capsys.readouterr().out)
        (line,) = (line for line in Page(path).text.splitlines() if line.startswith("scoopsci "))
        program, *words = shlex.split(line)
        assert program == "scoopsci"
        assert "--report" not in words
        assert main(words) == 0
        again = json.loads(capsys.readouterr().out)
        for name in ("estimate", "n_inside", "seed", "result", "n_items"):
            assert first.get(name) == again.get(name)

    def test_report_does_not_replace_the_printed_result(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["pi", "--points", "1000", "--engine", "serial", "--quiet",
                     "--report", str(tmp_path / "run.html")]) == 0  # fmt: skip
        assert "π ≈ 3." in capsys.readouterr().out

    def test_estimates_that_are_not_finite(self, tmp_path: Path) -> None:
        with pytest.warns(scoopsci.DoubtfulEstimateWarning):
            found = scoopsci.estimate(
                lambda rng, size: rng.random(size) * np.nan, 1_000, seed=1, engine="serial"
            )
        assert len(report(found, tmp_path).pictures()) == 4

    def test_the_user_s_style_does_not_matter(self, tmp_path: Path) -> None:
        found = scoopsci.pi(1_000, seed=1, engine="serial")
        with mpl.rc_context({"text.usetex": True, "figure.subplot.left": 0.1}):
            assert len(report(found, tmp_path).pictures()) == 4
            assert mpl.rcParams["text.usetex"]

    @pytest.mark.parametrize(
        ("paths", "told"),
        [(["/dev/null"], "not a device"), (["x", "--output", "x"], "must differ, got x twice")],
    )
    def test_wrong_files(
        self, paths: list[str], told: str, capsys: pytest.CaptureFixture[str],
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        monkeypatch.chdir(tmp_path)
        assert main(["pi", "--points", "1000", "--report", *paths]) == 2
        assert told in capsys.readouterr().err

    def test_a_missing_folder_is_refused(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["pi", "--report", "/no/folder/run.html"]) == 2
        told = capsys.readouterr().err
        assert "must name a file in a folder that exists" in told
        assert len(told.splitlines()) == 1

    @pytest.mark.parametrize("package", ["matplotlib", "jinja2"])
    def test_a_package_that_is_missing_is_named_before_the_run(
        self, package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for name in [*sys.modules, package]:
            if name.partition(".")[0] == package:
                monkeypatch.setitem(sys.modules, name, None)
        assert main(["pi", "--points", str(10**15), "--report", "run.html"]) == 2
        told = capsys.readouterr().err
        assert f"{package} cannot be imported" in told
        assert "pip install 'scoopsci[plot]'" in told
        assert len(told.splitlines()) == 1
        with pytest.raises(ExtraMissingError, match=package):
            write_report(scoopsci.pi(1_000, engine="serial"), "run.html")
