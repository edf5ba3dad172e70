"""The machines of the protocol do nothing themselves."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from scoopsci import protocol

#: Sockets, processes, threads, clocks, files and chance.
FORBIDDEN = {
    "asyncio", "concurrent", "ctypes", "datetime", "io", "multiprocessing", "numpy", "os",
    "pathlib", "psutil", "random", "secrets", "select", "selectors", "shutil", "signal", "socket",
    "subprocess", "sys", "tempfile", "threading", "time", "uuid", "zmq",
}  # fmt: skip

(ROOM,) = map(Path, protocol.__path__)


def find_imports(path: Path) -> set[str]:
    nodes = ast.walk(ast.parse(path.read_text("utf-8")))
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("path", sorted(ROOM.glob("*.py")), ids=lambda path: path.stem)
def test_a_machine_imports_nothing_that_acts(path: Path) -> None:
    roots = {name.partition(".")[0] for name in find_imports(path)}
    assert not roots & FORBIDDEN


@pytest.mark.parametrize("path", sorted(ROOM.glob("*.py")), ids=lambda path: path.stem)
def test_a_machine_opens_no_file(path: Path) -> None:
    calls = (node.func for node in ast.walk(ast.parse(path.read_text("utf-8")))
             if isinstance(node, ast.Call))  # fmt: skip
    assert not {"open", "print", "input"} & {
        call.id for call in calls if isinstance(call, ast.Name)
    }
