"""The documentation builds without a warning; its links lead somewhere, and it loads nothing."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections import defaultdict
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from scoopsci import errors
from tests.browser import Tab, missing_browser, run_in_browser, take_pictures
from tests.conftest import REPOSITORY, require
from tests.docs.pages import PAGES
from tests.publicnames import public_names

#: What makes a browser load something, by tag.
LOADS = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}

#: Of `<link>`, what is not loaded.
NOT_LOADED = {"canonical", "index", "search", "next", "prev"}

#: Pages of which pictures are kept.
SHOWN = ("index", "tutorial", "watching")

IN_CSS = re.compile(r"@import\s+(?:url\()?[\"']?([^\"')\s]+)|url\(\s*[\"']?([^\"')\s]+)")


class Page(HTMLParser):
    """The anchors of a page, where its links lead, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self._in_style = False
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        self._in_style = tag == "style"
        self.anchors.update(given[name] for name in ("id", "name") if name in given)
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if LOADS.get(tag) in given and given.get("rel") not in NOT_LOADED:
            self.loads.append(given[LOADS[tag]])
        self.loads += find_in_css(given.get("style", ""))

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.loads += find_in_css(data)


def find_in_css(text: str) -> list[str]:
    """Return the addresses that a style sheet loads."""
    return [one or other for one, other in IN_CSS.findall(text)]


def is_elsewhere(address: str) -> bool:
    """Tell whether an address is of another origin."""
    parts = urlsplit(address)
    return bool(parts.netloc) or parts.scheme not in ("", "data")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages, built as by `make docs`."""
    require(
        [name for name in ("sphinx", "furo", "myst_parser") if not importlib.util.find_spec(name)]
    )
    rule = re.search(r"^docs:.*\n\t\$\(BIN\)/python (.*)$", read("Makefile"), re.MULTILINE)
    assert rule is not None
    *options, source, _ = rule[1].split()
    found = tmp_path_factory.mktemp("html")
    done = subprocess.run(
        [sys.executable, *options, "-d", tmp_path_factory.mktemp("doctrees"), source, found],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return found


@pytest.fixture(scope="module")
def pages(folder: Path) -> dict[Path, Page]:
    return {path: Page(path.read_text("utf-8")) for path in folder.rglob("*.html")}


def read(name: str) -> str:
    return (REPOSITORY / name).read_text("utf-8")


def test_every_page_is_there(folder: Path, pages: dict[Path, Page]) -> None:
    expected = {Path(name).stem for name in PAGES if name.startswith("docs/")}
    assert expected <= {path.stem for path in pages}
    assert len(expected) > 20


def test_links_and_anchors_lead_somewhere(pages: dict[Path, Page]) -> None:
    broken = defaultdict(list)
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchors = pages[target].anchors if target in pages else set()
            if not target.exists() or (anchors and unquote(parts.fragment) not in {"", *anchors}):
                broken[path.name].append(link)
    assert not broken


def test_nothing_is_loaded_from_elsewhere(folder: Path, pages: dict[Path, Page]) -> None:
    loaded = {path: page.loads for path, page in pages.items()}
    loaded |= {path: find_in_css(path.read_text("utf-8")) for path in folder.rglob("*.css")}
    assert {path: list(filter(is_elsewhere, found)) for path, found in loaded.items()} == {
        path: [] for path in loaded
    }
    missing = [
        (path.name, address)
        for path, found in loaded.items()
        for address in found
        if not address.startswith("data:")
        and not (path.parent / unquote(urlsplit(address).path)).exists()
    ]
    assert not missing


def test_the_help_of_every_command_is_in_the_page(pages: dict[Path, Page], folder: Path) -> None:
    text = (folder / "commands.html").read_text("utf-8")
    for command in ("pi", "integrate", "mapreduce", "sort", "compare", "run", "hosts", "ledger",
                    "replay"):  # fmt: skip
        assert f"usage: scoopsci {command} " in text
    assert "scoopsci-ledger-replay" in pages[folder / "commands.html"].anchors


def test_the_reference_shows_the_public_names_and_nothing_else(
    pages: dict[Path, Page], folder: Path
) -> None:
    anchors = pages[folder / "library.html"].anchors
    shown = {anchor for anchor in anchors if anchor.startswith("scoopsci.")}
    members = {name for name in shown if name.rpartition(".")[0] in shown}
    assert shown - members == {".".join(name) for name in public_names()}


async def open_page(tab: Tab, page: Path) -> None:
    await tab.open(page.as_uri())
    await tab.becomes(f"document.readyState == 'complete' && location == {page.as_uri()!r}")


def test_pages_in_a_browser(folder: Path, pictures: Path) -> None:
    """They ask nobody for anything, and none sticks out of its window."""
    require(missing_browser())
    names = sorted(page for page in folder.glob("*.html") if page.stem != "genindex")
    assert len(names) > 20

    async def look(tab: Tab) -> None:
        for width in (1280, 400):
            await tab.resize(width)
            for page in names:
                await open_page(tab, page)
                over = await tab.find("document.documentElement.scrollWidth - innerWidth")
                assert over <= 0, f"{page.stem} sticks out at {width}: {over} pixels"
        for name in SHOWN:
            await open_page(tab, folder / f"{name}.html")
            await take_pictures(tab, pictures, f"docs-{name}")
        assert {urlsplit(url).scheme for url in tab.requests} <= {"file", "data"}
        assert all(folder.as_uri() in url for url in tab.requests if url.startswith("file"))
        assert tab.complaints == []

    run_in_browser(look)


def test_every_error_has_its_remedy() -> None:
    assert [name for name in errors.__all__ if f"| `{name}`" not in read("docs/failure.md")] == [
        "ScoopsciError"
    ]


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md"])
def test_links_lead_somewhere_on_a_code_host(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", read(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (REPOSITORY / page).parent / path if path else REPOSITORY / page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text("utf-8"), re.MULTILINE)
            assert anchor in map(slug, headings), target


def slug(heading: str) -> str:
    """Return the anchor that a code host gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize(
    ("html", "loads"),
    [
        ('<script src="https://a.example/x.js"></script>', True),
        ('<link rel="stylesheet" href="//a.example/x.css">', True),
        ('<img src="http://a.example/x.png">', True),
        ("<style>@import 'https://a.example/x.css';</style>", True),
        ('<p style="background: url(https://a.example/x.png)">', True),
        ('<img src="_static/x.png"><a href="https://a.example">', False),
    ],
)
def test_what_is_loaded_is_seen(html: str, loads: bool) -> None:
    assert any(map(is_elsewhere, Page(html).loads)) is loads
