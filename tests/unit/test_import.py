"""What `import scoopsci` brings in, and what its files may be called."""

import ast
import importlib
import json
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import scoopsci
from tests.conftest import REPOSITORY
from tests.publicnames import PUBLIC_MODULES, ROOT_MODULES, public_names

(FOLDER,) = map(Path, scoopsci.__path__)

#: ``from scoopsci… import …``, in a text or in a notebook's JSON.
IMPORT = re.compile(r"from (scoopsci[\w.]*) import ([\w, ]+)")

#: Engines' packages, plotting, and what takes long to import.
HEAVY = [
    *("scipy", "numba", "matplotlib", "pandas", "jinja2", "rich", "IPython", "ipywidgets"),
    *("pytest", "_pytest"),
    *("loky", "scoop", "zmq", "greenlet", "psutil", "multiprocessing", "asyncio"),
    *("dask", "distributed", "ray", "mpi4py", "celery", "rq", "redis", "Pyro5", "rpyc", "joblib"),
]


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    program = "import json, sys; import scoopsci; print(json.dumps(sorted(sys.modules)))"
    command = [sys.executable, "-W", "error", "-c", program]
    folder = tmp_path_factory.mktemp("elsewhere")
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    assert done.stderr == ""
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    ("modules", "drawing"),
    [
        ("scoopsci.cli, scoopsci.compare", "scoopsci.reporting.plots"),
        ("scoopsci.report", "matplotlib"),
    ],
)
def test_nothing_that_draws_is_imported_before_it_is_needed(modules: str, drawing: str) -> None:
    program = f"import sys; import {modules}; print({drawing!r} in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert done.stdout == b"False\n"


@pytest.mark.parametrize("name", HEAVY)
def test_import_is_light(name: str, imported: set[str]) -> None:
    assert "scoopsci" in imported
    assert sorted(module for module in imported if module.split(".")[0] == name) == []


def test_no_file_or_folder_hides_a_module() -> None:
    """Of a script, the folder comes first on the path of modules."""
    ours = {path.stem for path in FOLDER.iterdir() if path.suffix == ".py" or path.is_dir()}
    ours -= {"__init__", "__main__", "__pycache__"}
    theirs = (set(packages_distributions()) | set(sys.stdlib_module_names)) - {"scoopsci"}
    assert {"numpy", "zmq", "statistics"} <= theirs
    assert {"reporting", "mapreduce"} <= ours
    assert sorted(ours & theirs) == []


def test_the_root_holds_what_users_import_or_run() -> None:
    modules = {path.stem for path in FOLDER.glob("*.py")}
    assert modules == {"__init__", "__main__", "cli", *ROOT_MODULES}


def test_the_public_names_are_those_that_are_promised() -> None:
    """A name that is added or taken away changes what users may rely on."""
    promised = Path(__file__).with_name("public_names.txt").read_text().split()
    assert [".".join(name) for name in public_names()] == promised


@pytest.mark.parametrize(
    "texts", ["*.md", "docs/*.md", "examples/*.py", "notebooks/*.py", "notebooks/*.ipynb"]
)
def test_texts_for_users_import_public_names(texts: str) -> None:
    public = {("scoopsci", name) for name in (*scoopsci.__all__, *PUBLIC_MODULES)}
    for module in PUBLIC_MODULES:
        names = importlib.import_module(f"scoopsci.{module}").__all__
        public |= {(f"scoopsci.{module}", name) for name in names}
    for path in REPOSITORY.glob(texts):
        for place, names in IMPORT.findall(path.read_text("utf-8")):
            for name in re.findall(r"\w+", names):
                assert (place, name) in public, f"{path.name}: {place}.{name}"


def test_everything_named_is_there() -> None:
    assert sorted(set(scoopsci.__all__)) == sorted(scoopsci.__all__)
    assert [name for name in scoopsci.__all__ if not hasattr(scoopsci, name)] == []
    assert all(getattr(scoopsci, name).__doc__ for name in scoopsci.__all__)


def test_version_is_that_of_the_metadata() -> None:
    assert scoopsci.__version__.split(".")[0].isdigit()
    assert "scoopsci" in packages_distributions()


def find_imports(path: Path) -> set[str]:
    """Return the modules that a file names in its imports, wherever in it they stand."""
    found = set[str]()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} has a relative import"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def test_pytest_is_imported_by_the_tests_for_third_parties_alone() -> None:
    (folder,) = map(Path, scoopsci.__path__)
    imports = {path.relative_to(folder): find_imports(path) for path in folder.rglob("*.py")}
    imports.pop(Path("commands/simulate.py"))  # the simulation needs no pytest
    users = {
        path
        for path, names in imports.items()
        if any(
            f"{name}.".startswith(("pytest.", "_pytest.", "scoopsci.testing.")) for name in names
        )
    }
    assert Path("testing/engines.py") in users
    assert {path.parts[0] for path in users} == {"testing"}
    assert len(imports) > 100


@pytest.mark.parametrize("name", ["tasks", "bits", "simulation.runs"])
def test_what_workers_run_needs_no_pytest(name: str) -> None:
    program = f"import sys; import scoopsci.testing.{name}; assert 'pytest' not in sys.modules"
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
