"""Whose a module is: the user's own, or an installed one."""

from __future__ import annotations

import csv
import os
import sys
import sysconfig
from functools import cache
from pathlib import Path

__all__ = ["is_users_file", "is_users_module"]

#: Names of folders that hold installed packages.
SITES = {"site-packages", "dist-packages"}

_STANDARD = tuple(
    {
        os.path.join(form(sysconfig.get_path(name)), "")
        for name in ("stdlib", "platstdlib")
        for form in (os.path.normpath, os.path.realpath)
    }
)


def is_users_module(module_name: str | None) -> bool:
    """Tell whether a module is the user's own: not Python's, not ours, not an installed one.

    Parameters
    ----------
    module_name : str or None
        Its full name. Its file or folder decides, or its name if it has none.
    """
    name = module_name or ""
    top, _, _ = name.partition(".")
    if top == "scoopsci":
        return False
    module = sys.modules.get(name)
    place = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), None)
    if place:
        return name == "__main__" or is_users_file(place, name.count("."))
    return top not in sys.stdlib_module_names


@cache
def is_users_file(place: str, depth: int) -> bool:
    """Tell whether the file of a module is the user's own.

    Parameters
    ----------
    place : str
        Its path.
    depth : int
        Number of packages that the module is in.
    """
    # The working folder may have been deleted.
    path = os.path.normpath(place if os.path.isabs(place) else os.path.abspath(place))
    parts = Path(path).parts
    if not SITES.isdisjoint(parts) or path.startswith(_STANDARD):
        return False
    is_package = parts[-1].startswith("__init__.")
    folder = Path(path).parents[depth + is_package]
    return str(Path(path).relative_to(folder)) not in _list_installed(str(folder))


@cache
def _list_installed(folder: str) -> frozenset[str]:
    """Return the files that pip has installed in a folder of its own, as by ``--target``."""
    found: set[str] = set()
    for record in Path(folder).glob("*.dist-info/RECORD"):
        with record.open(newline="", encoding="utf-8") as lines:
            found.update(os.path.normpath(row[0]) for row in csv.reader(lines) if row)
    return frozenset(found)
