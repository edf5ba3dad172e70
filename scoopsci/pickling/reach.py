"""The names that a function reaches, as far as its bytecode tells."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator, Set
from typing import Any

from cloudpickle import cloudpickle

from scoopsci.pickling.code import list_references
from scoopsci.pickling.functions import list_cells
from scoopsci.pickling.names import MAIN, TEXT, Key, true_name
from scoopsci.pickling.sources import is_sent, list_imported

__all__ = ["list_dependencies", "list_reached"]


def list_reached(fn: types.FunctionType, home: str) -> set[Key]:
    """List the names in the user's modules that a function refers to.

    Parameters
    ----------
    fn : function
        A function of the user.
    home : str
        The module that holds its globals.

    Returns
    -------
    set of Key
        Its globals; the attributes of modules that it names; the modules that it imports, and the
        submodules of those that it names; and the file of its text.
    """
    references = list_references(fn.__code__)
    namespace = fn.__globals__
    found = {(home, ""), (TEXT, fn.__code__.co_filename)}
    found.update((home, name) for name in references.global_names)
    values = [namespace.get(name) for name in references.global_names] + list_cells(fn)
    for value in values:
        found.update(_list_attributes(value, references.attributes))
    submodules = cloudpickle._find_imported_submodules(fn.__code__, values)
    found.update((module.__name__, "") for module in submodules)
    for name in list_imported(fn.__code__, str(namespace.get("__package__") or "")):
        found.add((name, ""))
        found.update(_list_attributes(sys.modules.get(name), references.attributes))
    for _, name, taken in references.imports:
        if name == MAIN:  # which has no source
            found.update(_list_attributes(sys.modules[MAIN], references.attributes | {*taken}))
    return found


def list_dependencies(fn: types.FunctionType) -> list[Any]:
    """Return that of other modules on which `list_reached` depends, to be compared."""
    references = list_references(fn.__code__)
    found: list[Any] = [sys.modules.get(name) for _, name, _ in references.imports]
    for name in references.global_names:
        value = fn.__globals__.get(name)
        if type(value) is types.ModuleType:
            found.append(len(vars(value)))
    return found


def _list_attributes(value: Any, names: Set[str]) -> Iterator[Key]:
    """Yield the names of attributes of a module of the user, and of its submodules."""
    if not isinstance(value, types.ModuleType) or not is_sent(value.__name__):
        return
    module_name = true_name(value.__name__)
    yield module_name, ""
    for name in names & vars(value).keys():
        yield module_name, name
        if isinstance(vars(value)[name], types.ModuleType):
            yield from _list_attributes(vars(value)[name], names - {name})
