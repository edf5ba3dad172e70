"""Small programs print the same whatever runs their tasks; their docstrings state what.

A program is a file of `programs`, in the folder of its subject, or a folder there with a file
``program.py`` and what lies beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faithful.running import check_program
from tests.faithful.ways import WAYS

PROGRAMS = Path(__file__).parent / "programs"

#: Each start of a pool under a command of SCOOP takes longer: CI runs one of so many.
ONE_IN = 9
SCOOPS = ("run", "futures", "scoop")


def find_programs() -> list[Path]:
    """Return all programs, sorted by subject and name."""
    files = [*PROGRAMS.glob("*/*.py"), *PROGRAMS.glob("*/*/program.py")]
    return sorted(files)


def name_of(program: Path) -> str:
    """Return the subject and the name of a program."""
    path = program.parent if program.name == "program.py" else program.with_suffix("")
    return path.relative_to(PROGRAMS).as_posix()


def find_cases() -> Iterator[Any]:
    """Yield each program with each way to run it, exceptions aside."""
    for i, program in enumerate(find_programs()):
        for k, way in enumerate(WAYS):
            if way in EXCEPTIONS.get(name_of(program), {}):
                continue
            slow = way in SCOOPS and (i + k) % ONE_IN != 0
            marks = [pytest.mark.slow] if slow else []
            yield pytest.param(program, way, marks=marks, id=f"{name_of(program)}-{way}")


COMMAND = "the command starts the workers: it has no initializer, and states their number"
LIFETIME = "the command's workers live as long as the program"
LOADS = "SCOOP's workers load the script, so that it needs a guard"
NOTEBOOK = "IPython replaces the script's module, which the command's workers have loaded"
OPENED = "the worker has opened the file, too, as it has loaded the script, or is the program"
NO_REPORT = "SCOOP's futures have no report"
ONE_THREAD = "SCOOP's futures are for the thread that runs the program only"
KEEPS = "SCOOP's workers keep what the script has made when they loaded it"
FOLDER = "its workers start in the working folder; an EngineError names the remedy"
NAMED = "SCOOP's workers name the script's module SCOOP_WORKER, which their children cannot import"
RELATIVE = "SCOOP's workers know the script by a relative path"
NO_KEY = "SCOOP's network is open: the program's authentication key is not sent by it"
IN_PROCESS = "its tasks are a part of the program, and what they change is the program's own"

#: The ways in which a program cannot be run, and why.
EXCEPTIONS: dict[str, dict[str, str]] = {
    "around/deleted_folder": {"processes": FOLDER, "scoop": FOLDER},
    "around/changed_by_tasks": {"serial": IN_PROCESS},
    "around/forked_driver": {"serial": IN_PROCESS},
    "around/left_open": dict.fromkeys(SCOOPS, LIFETIME),
    "around/managers": {"scoop": NO_KEY},
    "around/processors": dict.fromkeys(SCOOPS, COMMAND),
    "children/by_forkserver": {"scoop": NAMED},
    "children/by_spawn": {"scoop": NAMED},
    "children/of_modules": {"scoop": NAMED},
    "children/pickled_in_tasks": {"scoop": NAMED},
    "children/unguarded": dict.fromkeys(SCOOPS, LOADS),
    "files/own_names": {"scoop": RELATIVE},
    "names/cells": dict.fromkeys(SCOOPS, NOTEBOOK),
    "names/frozen_classes": {"futures": KEEPS},
    "names/main_module": {"scoop": NAMED},
    "names/patched": {"futures": KEEPS},
    "names/redefined": {"futures": KEEPS},
    "names/reloaded": {"futures": KEEPS},
    "names/sentinels": {"futures": KEEPS},
    "sizes/large_global": {"futures": NO_REPORT},
    "state/attributes_of_members": {"futures": KEEPS},
    "state/changed_defaults": {"futures": KEEPS},
    "state/callbacks": {"futures": KEEPS},
    "state/class_attributes": {"futures": KEEPS},
    "state/deleted": {"futures": KEEPS},
    "state/displayed_values": dict.fromkeys(SCOOPS, NOTEBOOK),
    "state/inner_classes": {"futures": KEEPS},
    "state/late_imports": {"futures": KEEPS},
    "state/locked_state": {"futures": ONE_THREAD},
    "state/sets_of_text": {"futures": KEEPS},
    "state/undone_patches": {"futures": KEEPS},
    "state/open_files": dict.fromkeys(("serial", *SCOOPS), OPENED),
    "state/kept_by_workers": {"futures": KEEPS},
    "state/rebound": {"futures": KEEPS},
    "state/initialized_module": dict.fromkeys(SCOOPS, COMMAND),
    "state/initializers": dict.fromkeys(SCOOPS, COMMAND),
}


def test_there_are_many() -> None:
    assert len(find_programs()) >= 60


def test_exceptions_are_of_programs() -> None:
    assert set(EXCEPTIONS) <= set(map(name_of, find_programs()))


@pytest.mark.parametrize(("program", "way"), list(find_cases()))
def test_prints_what_it_states(program: Path, way: str) -> None:
    check_program(program, way)
