"""How a program of this folder is run, by any of the ways, and what it must print."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.conftest import end_session
from tests.faithful.ways import WAYS

__all__ = ["BY_SCOOP", "check_output", "check_program", "command_of", "expected_of"]

HERE = Path(__file__).parent
GENEROUS_S = 100.0

#: What precedes the program: nothing but Python where it opens its own engine.
BY_SCOOP = {
    "run": ["-m", "scoopsci", "run", "--quiet", "-n", "2"],
    "futures": ["-m", "scoopsci", "run", "--quiet", "-n", "2"],
    "scoop": ["-m", "scoop", "--quiet", "-n", "2"],
}


def command_of(way: str, *program: str | Path) -> list[str]:
    """Return the command that runs a program."""
    assert way in WAYS
    return [sys.executable, *BY_SCOOP.get(way, []), *map(str, program)]


def expected_of(program: Path) -> str:
    """Return what a program prints: the paragraphs of its docstring after the first."""
    words = ast.get_docstring(ast.parse(program.read_bytes())) or ""
    _, _, expected = words.partition("\n\n")
    assert expected, f"{program} must state what it prints"
    return f"{textwrap.dedent(expected)}\n"


def check_output(
    expected: str,
    way: str,
    command: list[str],
    folder: Path,
    **variables: str,
) -> None:
    """Fail unless a command prints what is expected, and nothing else goes wrong."""
    known = os.pathsep.join([str(HERE), *filter(None, [variables.pop("PYTHONPATH", "")])])
    environment = {**os.environ, "PYTHONPATH": known, "WAY": way, **variables}
    with subprocess.Popen(
        command, cwd=folder, env=environment, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            out, err = process.communicate(timeout=GENEROUS_S)
        except subprocess.TimeoutExpired:
            end_session(process)
            pytest.fail(f"{way}: no end within {GENEROUS_S:g} s")
    assert out == expected, f"{way}: {err[-4000:]}"
    assert process.returncode == 0, f"{way}: {err[-4000:]}"


def check_program(program: Path, way: str) -> None:
    """Fail unless a program prints what its docstring states."""
    check_output(expected_of(program), way, command_of(way, program.name), program.parent)
