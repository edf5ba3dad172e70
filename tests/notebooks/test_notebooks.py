"""The notebooks: sources and stored outputs agree, and a fresh run shows the same.

What is deterministic in them is compared to the last character, and the rest by its kind.
"""

from __future__ import annotations

import base64
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from tests.conftest import wait_for_ends
from tests.lan import PLAIN, PYTHON, REPOSITORY, Lan
from tests.notebooks.execute import (
    as_text,
    execute,
    find_private,
    find_sources,
    is_deterministic,
    read_source,
    shown_by,
)
from tests.pools import NODES, SCRATCH, TWO_EACH, check_nothing_left, write_hosts

pytestmark = [
    pytest.mark.usefixtures("event_loop"),
    # Of the client's own event loop, and of its kernel's sockets.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]

SOURCES = {source.stem: source for source in find_sources()}
ON_HOSTS = ("01_pi", "05_your_own_problem")

MOST_IMAGE_BYTES = 60_000
MOST_BYTES = 400_000

#: A kernel, and of a pool a broker, an agent and two workers.
LEAST_PROCESSES = 5


@pytest.fixture
def place() -> Iterator[Path]:
    """Make a folder whose path is short enough for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="scoopsci-notebook-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


def read_stored(name: str) -> Any:
    path = SOURCES[name].with_suffix(".ipynb")
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def check_shows_the_same(notebook: Any, name: str) -> None:
    """Fail unless a run shows what is stored."""
    cells, stored = code_cells(notebook), code_cells(read_stored(name))
    for cell, expected in zip(cells, stored, strict=True):
        assert shown_by(cell) == shown_by(expected), cell.source


def show(*outputs: Any, tags: Sequence[str] = ()) -> Any:
    """Return a notebook of one cell that has shown something."""
    cell = new_code_cell(outputs=list(outputs), metadata={"tags": list(tags)})  # type: ignore[no-untyped-call]
    return new_notebook(cells=[cell])  # type: ignore[no-untyped-call]


def write(text: str) -> Any:
    return new_output("stream", text=text)  # type: ignore[no-untyped-call]


def draw(html: str) -> Any:
    return new_output("display_data", data={"text/html": html})  # type: ignore[no-untyped-call]


def test_what_is_private_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "my-machine")
    for text in ("my-machine", "/tmp/x", "('/home/someone/a')", "file:///root/x"):
        assert find_private(show(write(f"a {text} b")))
        assert find_private(show(draw(f"<td>{text}</td>")))
    assert find_private(show(write("1/2 of a/tmp, 5 µs/call"), draw("<td>localhost</td>"))) == []


def test_deterministic_outputs_are_compared_whole() -> None:
    def shown(*outputs: Any, tags: Sequence[str] = ()) -> list[Any]:
        return shown_by(show(*outputs, tags=tags).cells[0])

    for one, other in ((write("1"), write("2")), (draw("1"), draw("2"))):
        assert shown(one) == shown(other)
        assert shown(one, tags=["deterministic"]) != shown(other, tags=["deterministic"])
    assert shown(write("1")) != shown(draw("1"))
    assert shown(write("1")) != shown(write("1"), draw("1"))


def test_there_are_five() -> None:
    assert list(SOURCES) == [
        "01_pi",
        "02_map_reduce",
        "03_mergesort",
        "04_engines",
        "05_your_own_problem",
    ]


@pytest.mark.parametrize("name", SOURCES)
class TestStored:
    def test_pair_is_in_sync(self, name: str) -> None:
        stored, source = read_stored(name), SOURCES[name]
        assert jupytext.writes(stored, fmt="py:percent") == source.read_text("utf-8")
        assert [cell["id"] for cell in stored.cells] == [
            cell["id"] for cell in read_source(source).cells
        ]

    def test_was_run_from_top_to_bottom(self, name: str) -> None:
        cells = code_cells(read_stored(name))
        assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
        for cell in cells:
            for output in cell.outputs:
                assert output.output_type != "error"
                assert output.get("name") != "stderr", output.text

    def test_is_small_and_holds_nothing_private(self, name: str) -> None:
        stored = read_stored(name)
        assert stored.metadata.kernelspec.name == "python3"
        assert find_private(stored) == []
        assert len(as_text(stored).encode()) < MOST_BYTES
        for cell in code_cells(stored):
            for output in cell.outputs:
                image = output.get("data", {}).get("image/png", "")
                assert len(base64.b64decode(image)) <= MOST_IMAGE_BYTES, cell.source

    def test_a_third_is_deterministic(self, name: str) -> None:
        shows = [cell for cell in code_cells(read_stored(name)) if cell.outputs]
        assert 3 * sum(map(is_deterministic, shows)) >= len(shows)
        for cell in filter(is_deterministic, shows):
            assert {output.output_type for output in cell.outputs} == {"stream"}

    def test_begins_with_a_title_and_ends_with_findings(self, name: str) -> None:
        cells = read_stored(name).cells
        assert cells[0].source.startswith("# ")
        assert "minute" in cells[0].source
        (last,) = [i for i, cell in enumerate(cells) if cell.source == "## What we found"]
        assert {cell.cell_type for cell in cells[last + 1 :]} == {"code"}
        assert all(cell.outputs for cell in cells[last + 1 :])


@pytest.mark.parametrize("name", SOURCES)
def test_a_fresh_run_shows_the_same(name: str, tmp_path: Path, place: Path) -> None:
    notebook, processes = execute(SOURCES[name], tmp_path, {"TMPDIR": str(place)})
    check_shows_the_same(notebook, name)
    assert len(processes) >= LEAST_PROCESSES
    wait_for_ends(processes)
    left = [*place.iterdir(), *tmp_path.iterdir()]
    assert left == []


@pytest.mark.cluster
@pytest.mark.parametrize("name", ON_HOSTS)
def test_on_three_hosts(name: str, lan: Lan, tmp_path: Path) -> None:
    lan.run(["mkdir", "-p", "-m", "1777", SCRATCH], check=True)
    variables = {
        "PYTHONPATH": str(REPOSITORY),
        "SCOOPSCI_HOSTFILE": str(write_hosts(lan, TWO_EACH)),
        "TMPDIR": str(SCRATCH),
    }
    run: list[str | Path] = [
        "env",
        *PLAIN,
        PYTHON,
        "-m",
        "tests.notebooks.execute",
        SOURCES[name],
        "--to",
        lan.folder,
    ]
    lan.run(run, env=variables, cwd=REPOSITORY, timeout=100, check=True)
    path = lan.folder / f"{name}.ipynb"
    notebook: Any = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    check_shows_the_same(notebook, name)
    tables = "".join(
        output.data["text/html"]
        for cell in code_cells(notebook)
        for output in cell.outputs
        if "text/html" in output.get("data", {})
    )
    assert all(f">{node}<" in tables for node in NODES)
    assert "6 workers" in tables
    check_nothing_left(lan)
