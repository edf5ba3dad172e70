"""What `import scoopsci` brings in, and what its files may be called."""

import json
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import scoopsci

#: Engines' packages, plotting, and what takes long to import.
HEAVY = [
    *("scipy", "numba", "matplotlib", "pandas", "jinja2", "rich", "IPython", "ipywidgets"),
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


def test_no_module_draws_before_it_is_asked_to() -> None:
    modules = "scoopsci.cli, scoopsci.compare, scoopsci.report"
    program = f"import sys; import {modules}; print('scoopsci.reporting.plots' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert done.stdout == b"False\n"


@pytest.mark.parametrize("name", HEAVY)
def test_import_is_light(name: str, imported: set[str]) -> None:
    assert "scoopsci" in imported
    assert sorted(module for module in imported if module.split(".")[0] == name) == []


def test_no_file_hides_a_module() -> None:
    (folder,) = map(Path, scoopsci.__path__)
    ours = {path.stem for path in folder.iterdir() if path.suffix == ".py" or path.is_dir()}
    ours -= {"__init__", "__main__", "__pycache__"}
    theirs = (set(packages_distributions()) | set(sys.stdlib_module_names)) - {"scoopsci"}
    assert {"numpy", "zmq", "statistics"} <= theirs
    assert sorted(ours & theirs) == []


def test_everything_named_is_there() -> None:
    assert sorted(set(scoopsci.__all__)) == sorted(scoopsci.__all__)
    assert [name for name in scoopsci.__all__ if not hasattr(scoopsci, name)] == []
    assert all(getattr(scoopsci, name).__doc__ for name in scoopsci.__all__)


def test_version_is_that_of_the_metadata() -> None:
    assert scoopsci.__version__.split(".")[0].isdigit()
    assert "scoopsci" in packages_distributions()
