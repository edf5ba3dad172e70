"""The same project, wherever it lies and however it is started, prints the same.

Its package ``shapes`` is laid beside a script, in a zip file, where pip puts it, and elsewhere.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipapp
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faithful.running import BY_SCOOP, check_output, command_of, expected_of
from tests.faithful.ways import WAYS

PROJECT = Path(__file__).parent / "project"
SCRIPT = PROJECT / "main.py"
BACKEND = Path(__file__).parent / "backend.py"
EXPECTED = expected_of(SCRIPT)

#: What pip needs to know of the project.
BUILD = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""

OWN = [way for way in WAYS if way not in BY_SCOOP]

Place = Callable[[Path], tuple[list[str | Path], Path, dict[str, str]]]
PLACES: dict[str, tuple[Place, list[str]]] = {}


def place(ways: list[str]) -> Callable[[Place], Place]:
    """Register a function that lays the project out, and the ways that such a program is run."""

    def keep(lay_out: Place) -> Place:
        PLACES[lay_out.__name__] = lay_out, ways
        return lay_out

    return keep


def copy_script(folder: Path) -> Path:
    """Copy the script alone, into a folder of its own."""
    (folder / "scripts").mkdir()
    return Path(shutil.copy(SCRIPT, folder / "scripts"))


def copy_package(folder: Path) -> Path:
    """Copy the package, and return the folder in which it lies."""
    found = folder / "elsewhere"
    shutil.copytree(PROJECT / "shapes", found / "shapes")
    return found


def install(folder: Path, *options: str | Path) -> None:
    """Install the package from its sources, without the network."""
    sources = copy_package(folder)
    (sources / "pyproject.toml").write_text(BUILD)
    shutil.copy(BACKEND, sources)
    command = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    command += ["--no-index", "--disable-pip-version-check", *map(str, options)]
    subprocess.run([sys.executable, *command, str(sources)], check=True, cwd=folder)


@place(list(WAYS))
def beside_the_script(folder: Path) -> tuple[list[str | Path], Path, dict[str, str]]:
    shutil.copytree(PROJECT, folder / "project")
    return ["main.py"], folder / "project", {}


@place(list(WAYS))
def from_another_folder(folder: Path) -> tuple[list[str | Path], Path, dict[str, str]]:
    shutil.copytree(PROJECT, folder / "project")
    (folder / "here").mkdir()
    return [Path("..", "project", "main.py")], folder / "here", {}


@place(list(WAYS))
def on_the_path(folder: Path) -> tuple[list[str | Path], Path, dict[str, str]]:
    variables = {"PYTHONPATH": str(copy_package(folder))}
    return [copy_script(folder)], folder, variables


@place(OWN)
def as_module(folder: Path) -> tuple[list[str | Path], Path, dict[str, str]]:
    shutil.copytree(PROJECT / "shapes", folder / "shapes")
    shutil.copy(SCRIPT, folder / "shapes" / "__main__.py")
    return ["-m", "shapes"], folder, {}


@place(OWN)
def as_folder(folder: Path) -> tuple[list[str | Path], Path, dict[str, str]]:
    shutil.copytree(PROJECT, folder / "project")
    (folder / "project" / "main.py").rename(folder / "project" / "__main__.py")
    return ["project"], folder, {}


@place(OWN)
def as_zipapp(folder: Path) -> tuple[list[str | Path], Path, dict[str, str]]:
    shutil.copytree(PROJECT, folder / "project")
    (folder / "project" / "main.py").rename(folder / "project" / "__main__.py")
    zipapp.create_archive(folder / "project", folder / "project.pyz")
    shutil.rmtree(folder / "project")
    return ["project.pyz"], folder, {}


@place(OWN)
def as_command(folder: Path) -> tuple[list[str | Path], Path, dict[str, str]]:
    shutil.copytree(PROJECT / "shapes", folder / "shapes")
    return ["-c", SCRIPT.read_text()], folder, {}


@place([*OWN, "run"])
def installed_by_target(folder: Path) -> tuple[list[str | Path], Path, dict[str, str]]:
    install(folder, "--target", folder / "installed")
    shutil.rmtree(folder / "elsewhere")
    return [copy_script(folder)], folder, {"PYTHONPATH": str(folder / "installed")}


@place([*OWN, "run"])
def installed_editable(folder: Path) -> tuple[list[str | Path], Path, dict[str, str]]:
    """As into an environment, but one that the test removes."""
    install(folder, "--prefix", folder / "environment", "--editable")
    site = next((folder / "environment").rglob("site-packages"))
    text = f"import site; site.addsitedir({str(site)!r})\n"
    (folder / "custom").mkdir()
    (folder / "custom" / "sitecustomize.py").write_text(text)
    return [copy_script(folder)], folder, {"PYTHONPATH": str(folder / "custom")}


CASES = [
    pytest.param(name, way, marks=[pytest.mark.slow] if way in BY_SCOOP else [])
    for name, (_, ways) in PLACES.items()
    for way in ways
]


@pytest.mark.parametrize(("name", "way"), CASES)
def test_place(name: str, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What one test compiles is not what another imports.
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    lay_out, _ = PLACES[name]
    program, folder, variables = lay_out(tmp_path)
    check_output(EXPECTED, way, command_of(way, *program), folder, **variables)


def test_project_is_not_here() -> None:
    """The workers could import it from there otherwise."""
    assert str(PROJECT) not in [*sys.path, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
