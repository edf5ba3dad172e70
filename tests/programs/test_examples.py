"""The examples of SCOOP's own distribution: `scoopsci run` prints what plain SCOOP prints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.programs.examples import (
    CURED,
    EXAMPLES,
    LEFT_OUT,
    LONG,
    TYPED,
    fetch_examples,
    normalize,
)
from tests.programs.test_run import RUN, SCOOP, run

#: pickle's error for a function that no module contains, up to Python 3.12 and since.
UNPICKLABLE = re.compile("Can't (?:pickle|get local object)")


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fetch_examples(tmp_path_factory.mktemp("scoop"))


def test_no_example_is_forgotten(examples: Path) -> None:
    found = {str(path.relative_to(examples)) for path in examples.rglob("*.py")}
    assert found == {*EXAMPLES, *LONG, *CURED, *LEFT_OUT}


@pytest.mark.parametrize(
    "name", [*EXAMPLES, *(pytest.param(name, marks=pytest.mark.slow) for name in LONG)]
)
def test_example(examples: Path, name: str) -> None:
    program = examples / name
    command = ["-n", "2", program.name]
    theirs = run([*SCOOP, *command], program.parent)
    ours = run([*RUN, *command], program.parent)
    assert (theirs.returncode, ours.returncode) == (0, 0), ours.stderr
    assert "Traceback" not in theirs.stdout + theirs.stderr + ours.stderr
    assert normalize(ours.stdout) == normalize(theirs.stdout)
    assert ours.stdout


@pytest.mark.parametrize("name", CURED)
def test_example_that_fails_under_scoop(examples: Path, name: str) -> None:
    command = ["-n", "2", name]
    theirs = run([*SCOOP, *command], examples, TYPED)
    ours = run([*RUN, *command], examples, TYPED)
    assert UNPICKLABLE.search(theirs.stdout + theirs.stderr)
    assert not UNPICKLABLE.search(ours.stdout + ours.stderr)
    assert ours.returncode == 0
    assert ours.stdout.endswith(CURED[name])
