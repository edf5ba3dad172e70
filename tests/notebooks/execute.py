"""Runs notebooks from their sources, with a kernel of this environment, from top to bottom.

As a program, `make notebooks`, it stores them with their outputs beside the sources, or in another
folder. The tests run them by the same functions.
"""

from __future__ import annotations

import argparse
import getpass
import hashlib
import os
import re
import socket
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import psutil
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[2] / "notebooks"

#: Seconds that a cell may take.
TIMEOUT_S = 100

#: Outputs of cells with this tag are the same in every run.
DETERMINISTIC = "deterministic"


def find_sources() -> list[Path]:
    """Return the notebooks, in the form that is reviewed."""
    return sorted(FOLDER.glob("[0-9]*.py"))


def read_source(path: Path) -> Any:
    """Return a notebook without outputs; its cells are named by what is in them."""
    notebook = jupytext.read(path, fmt="py:percent")
    notebook.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
    for i, cell in enumerate(notebook.cells):
        same_before = [before.source for before in notebook.cells[:i]].count(cell.source)
        name = f"{cell.source}{same_before}"
        cell["id"] = hashlib.sha256(name.encode()).hexdigest()[:8]
    return notebook


def execute(
    path: Path, folder: Path, variables: Mapping[str, str] | None = None
) -> tuple[Any, list[psutil.Process]]:
    """Run a notebook.

    Parameters
    ----------
    path : Path
        Its source.
    folder : Path
        Where it runs.
    variables : mapping, optional
        Added to the environment of the kernel.

    Returns
    -------
    notebook : NotebookNode
        With its outputs.
    processes : list of Process
        The kernel, and all that were seen below it at the end of a cell.
    """
    import matplotlib.font_manager  # noqa: F401  makes its cache, which a cell would tell of

    notebook = read_source(path)
    seen: dict[int, psutil.Process] = {}

    def look(**_: Any) -> None:
        kernel = psutil.Process(client.km.provisioner.pid)
        seen.update({process.pid: process for process in _family(kernel)})

    client: Any = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=TIMEOUT_S,
        resources={"metadata": {"path": str(folder)}},
        coalesce_streams=True,
        record_timing=False,
        on_cell_executed=look,
    )
    with tempfile.TemporaryDirectory() as own:
        client.create_kernel_manager()
        client.km.transport, client.km.ip = "ipc", f"{own}/kernel"  # nobody else can connect to it
        # The user's own settings, and history, are left alone.
        settings = {"IPYTHONDIR": own, "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
        client.execute(env={**os.environ, **settings, **(variables or {})})
    # What the kernel says of itself differs between versions of Python.
    notebook.metadata["language_info"] = read_source(path).metadata["language_info"]
    return notebook, list(seen.values())


def _family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def is_deterministic(cell: Any) -> bool:
    """Tell whether a cell shows the same in every run."""
    return DETERMINISTIC in cell.metadata.get("tags", ())


def shown_by(cell: Any) -> list[Any]:
    """Return what a cell shows: all of it if that is deterministic, else of what kinds it is."""
    shown = []
    for output in cell.outputs:
        kind = [output.output_type, output.get("name")]
        if is_deterministic(cell):
            shown.append([*kind, output.get("text"), output.get("data")])
        else:
            shown.append([*kind, sorted(output.get("data", ()))])
    return shown


def find_private(notebook: Any) -> list[str]:
    """Return what outputs tell of this machine, and nobody need know."""
    shown = [
        str(output.get("text", "")) + "".join(map(str, output.get("data", {}).values()))
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if "image/png" not in output.get("data", {})
    ]
    names = {socket.gethostname(), getpass.getuser()} - {"localhost"}
    patterns = [rf"\b{re.escape(name)}\b" for name in names]
    patterns += [r"(?<![\w<])/(?:tmp|home|root|work|srv|usr|opt|var|Users)\b\S*"]
    return [match for text in shown for p in patterns for match in re.findall(p, text)]


def as_text(notebook: Any) -> str:
    """Return a notebook as it is stored."""
    text: str = nbformat.writes(notebook)  # type: ignore[no-untyped-call]
    return text + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the notebooks that are named, or all, and write them with their outputs."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("sources", nargs="*", type=Path, metavar="SOURCE")
    parser.add_argument("--to", type=Path, default=FOLDER, metavar="FOLDER")
    given = parser.parse_args(arguments)
    if others := [str(source) for source in given.sources if source.suffix != ".py"]:
        parser.error(f"a source must be a .py file, got {', '.join(others)}")
    for source in given.sources or find_sources():
        start_s = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            notebook, _ = execute(source, Path(folder))
        if given.to == FOLDER and (private := find_private(notebook)):
            raise SystemExit(f"{source.name} shows what is of this machine alone: {private}")
        target = given.to / f"{source.stem}.ipynb"
        target.write_text(as_text(notebook), "utf-8")
        print(f"{target.name} {time.monotonic() - start_s:.1f} s, {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
