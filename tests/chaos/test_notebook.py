"""A pool in a live Jupyter kernel: opened, used, interrupted, and left by a restart."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from scoopsci import pi
from tests.conftest import wait_for_ends

pytestmark = [
    pytest.mark.usefixtures("event_loop"),
    # From the client's own event loop, and its kernel's ports.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]


class Notebook:
    """Runs cells one by one."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def run(self, source: str) -> str:
        """Run a cell, and return its text output."""
        shown = [output.get("text") or output["data"]["text/plain"] for output in self.show(source)]
        return "".join(shown).strip()

    def show(self, source: str) -> list[dict[str, Any]]:
        """Run a cell, and return its outputs."""
        cell = new_code_cell(source)  # type: ignore[no-untyped-call]
        self.client.nb.cells.append(cell)
        outputs: list[dict[str, Any]] = self.client.execute_cell(
            cell, len(self.client.nb.cells) - 1
        ).outputs
        return outputs

    def processes(self) -> list[psutil.Process]:
        """Return the kernel's process and all below it."""
        kernel = psutil.Process(self.client.km.provisioner.pid)
        return [kernel, *kernel.children(recursive=True)]


@pytest.fixture
def notebook(tmp_path: Path) -> Iterator[Notebook]:
    folder = {"metadata": {"path": str(tmp_path)}}
    empty = new_notebook()  # type: ignore[no-untyped-call]
    client = NotebookClient(empty, timeout=60, allow_errors=True, resources=folder)
    client.create_kernel_manager()
    with client.setup_kernel(cwd=str(tmp_path)):
        yield Notebook(client)


def test_functions_of_the_notebook_are_those_of_the_last_run(notebook: Notebook) -> None:
    notebook.run("import scoopsci; pool = scoopsci.Pool(2)")
    notebook.run("def shift(x): return x + 1")
    assert notebook.run("list(pool.map(shift, range(3)))") == "[1, 2, 3]"
    notebook.run("def shift(x): return x + offset\noffset = 10")
    assert notebook.run("list(pool.map(shift, range(3)))") == "[10, 11, 12]"
    assert notebook.run("offset = 20; list(scoopsci.map(shift, range(3), engine=pool))") == (
        "[20, 21, 22]"
    )
    assert notebook.run("list(pool.map(lambda x: x * offset, range(3)))") == "[0, 20, 40]"
    assert notebook.run("scoopsci.pi(100_000, seed=7, engine=pool).value") == repr(
        pi(100_000, seed=7, engine="serial").value
    )
    below = notebook.processes()[1:]
    assert len(below) == 4, "a broker, an agent and two workers"
    notebook.run("pool.shutdown()")
    wait_for_ends(below)


def test_modules_next_to_the_notebook_are_sent_along(notebook: Notebook, tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("FACTOR = 2\ndef scale(x): return FACTOR * x\n")
    notebook.run("import importlib, scoopsci; pool = scoopsci.Pool(1); import beside")
    assert notebook.run("pool.submit(beside.scale, 4).result()") == "8"
    (tmp_path / "beside.py").write_text("FACTOR = 30\ndef scale(x): return FACTOR + x\n")
    notebook.run("importlib.reload(beside)")
    assert notebook.run("pool.submit(beside.scale, 4).result()") == "34"


def test_an_interrupt_ends_the_cell_and_not_the_pool(notebook: Notebook, tmp_path: Path) -> None:
    notebook.run("import pathlib, scoopsci, time; pool = scoopsci.Pool(2)")
    notebook.run(
        f"def idle(x):\n    pathlib.Path({str(tmp_path / 'begun')!r}).touch()\n    time.sleep(x)"
    )

    def interrupt() -> None:
        deadline_s = time.monotonic() + 60
        while not (tmp_path / "begun").exists() and time.monotonic() < deadline_s:
            time.sleep(0.05)
        notebook.processes()[0].send_signal(signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    outputs = notebook.show("list(scoopsci.map(idle, [5] * 8, engine=pool))")
    thread.join()
    assert outputs[-1]["ename"] == "KeyboardInterrupt"
    assert notebook.run("list(pool.map(abs, [-1, -2]))") == "[1, 2]"


def test_its_live_page_is_a_link_and_ends_with_the_pool(notebook: Notebook) -> None:
    notebook.run("import scoopsci; pool = scoopsci.Pool(1)")
    (shown,) = notebook.show("page = pool.dashboard(); page")
    url = notebook.run("print(page.url)")
    assert f'href="{url}"' in shown["data"]["text/html"]
    parts = urlsplit(url)
    with closing(HTTPConnection(parts.netloc, timeout=60)) as connection:
        connection.request("GET", f"/?{parts.query}")
        assert connection.getresponse().status == 200
    assert notebook.run("scoopsci.pi(100_000, seed=7, engine=pool).value") == repr(
        pi(100_000, seed=7, engine="serial").value
    )
    notebook.run("pool.shutdown()")
    with pytest.raises(ConnectionRefusedError):
        HTTPConnection(parts.netloc, timeout=60).connect()
    assert "closed" in notebook.run("page")


def test_a_restart_in_mid_run_leaves_nothing(notebook: Notebook) -> None:
    notebook.run("import scoopsci, time; pool = scoopsci.Pool(2)")
    folder = Path(notebook.run("print(pool._driver._folder)"))
    assert folder.is_dir()
    notebook.run("futures = [pool.submit(time.sleep, 1000) for _ in range(4)]")
    before = notebook.processes()
    assert len(before) == 5
    run_sync(notebook.client.km.restart_kernel)(now=True)
    wait_for_ends(before)
    assert not folder.exists()
