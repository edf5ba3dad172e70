"""The source of the user's modules, which workers import under their true names."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.machinery import ModuleSpec
from typing import Any

import cloudpickle

from scoopsci.basics.ownership import is_users_file, is_users_module
from scoopsci.pickling.code import list_references
from scoopsci.pickling.names import MAIN, true_name

__all__ = ["Source", "find_source", "is_made_here", "is_sent", "list_imported", "spec_of"]


@dataclass(frozen=True)
class Source:
    """A module as text.

    Attributes
    ----------
    name, text : str
        Its name and source.
    place : str or None
        Its file in the driver.
    search : tuple of str or None
        Where the modules of a package are searched for.
    """

    name: str
    text: str
    place: str | None
    search: tuple[str, ...] | None

    def as_fields(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {"text": self.text, "place": self.place, "search": self.search}

    @cached_property
    def code(self) -> types.CodeType:
        """The compiled module."""
        return compile(self.text, self.place or self.name, "exec", dont_inherit=True)

    @cached_property
    def codes(self) -> frozenset[types.CodeType]:
        """The code of all its functions."""
        return frozenset(_walk(self.code))

    @cached_property
    def imports(self) -> frozenset[str]:
        """The user's modules that it imports anywhere, as far as the text tells."""
        package = self.name if self.search is not None else self.name.rpartition(".")[0]
        return frozenset(list_imported(self.code, package))


def _walk(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _walk(constant)


def list_imported(code: types.CodeType, package: str) -> set[str]:
    """Return the names of the user's modules that a code object imports.

    Parameters
    ----------
    code : code
        Of a module or function.
    package : str
        The package to which relative imports refer.
    """
    found: set[str] = set()
    for level, name, taken in list_references(code).imports:
        if level:
            base = package.rsplit(".", level - 1)[0] if level > 1 else package
            name = f"{base}.{name}".strip(".")
        found.update(_with_parents(name))
        found.update(f"{name}.{each}" for each in taken)
    return {name for name in found if name and find_source(name) is not None}


def _with_parents(name: str) -> Iterator[str]:
    while name:
        yield name
        name = name.rpartition(".")[0]


def is_sent(module_name: str | None) -> bool:
    """Tell whether workers get a module from the driver: the user's own, or a registered one.

    Parameters
    ----------
    module_name : str or None
        Its full name; see `cloudpickle.register_pickle_by_value`.
    """
    registered = cloudpickle.list_registry_pickle_by_value()
    by_value = bool(registered) and not registered.isdisjoint(_with_parents(module_name or ""))
    return by_value or is_users_module(module_name)


def spec_of(module_name: str) -> ModuleSpec | None:
    """Return the specification of a module that has been imported."""
    found = getattr(sys.modules.get(module_name), "__spec__", None)
    return found if isinstance(found, ModuleSpec) else None


def is_made_here(module_name: str) -> bool:
    """Tell whether only the driver can make a module: the program itself, or one without text."""
    name = true_name(module_name)
    if name == MAIN:
        return True
    spec = spec_of(module_name)
    if spec is None or not hasattr(spec.loader, "get_source"):
        return True
    return is_sent(module_name) and _read(spec) is UNREADABLE


def find_source(module_name: str) -> Source | None:
    """Return the source of a module, if it is the user's and has one, imported or not."""
    spec = spec_of(module_name)
    if module_name in sys.modules:
        if spec is None or is_made_here(module_name) or not is_sent(module_name):
            return None
        found = _read(spec)
        return None if found is UNREADABLE else found
    top = module_name.partition(".")[0]
    if top in sys.builtin_module_names or (top in sys.modules and not is_users_module(top)):
        return None
    return _search(module_name, tuple(sys.path))


def _search(module_name: str, path: tuple[str, ...]) -> Source | None:
    """Search for a module as an import would, without importing the packages that it is in."""
    parent, _, _ = module_name.rpartition(".")
    if parent:
        package = find_source(parent)
        if package is None or package.search is None:
            return None
        path = package.search
    spec = importlib.machinery.PathFinder.find_spec(module_name, list(path))
    if spec is None or not hasattr(spec.loader, "get_source"):
        return None
    if spec.origin is None or not is_users_file(spec.origin, module_name.count(".")):
        return None
    text = _read_text(spec)
    return None if text is UNREADABLE else text


#: Of a module whose text cannot be read.
UNREADABLE = Source("", "", None, None)

_known: dict[int, tuple[ModuleSpec, Source | None]] = {}


def _read(spec: ModuleSpec) -> Source | None:
    """Read the source once for each time that a module is loaded: it may be edited later."""
    if id(spec) not in _known:
        _known[id(spec)] = spec, _read_text(spec)
    return _known[id(spec)][1]


def _read_text(spec: ModuleSpec) -> Source | None:
    loader: Any = spec.loader
    try:
        text = loader.get_source(spec.name)
    except (ImportError, OSError):  # the file has been deleted
        return UNREADABLE
    search = spec.submodule_search_locations
    place = spec.origin if spec.has_location else None
    return (
        None
        if text is None
        else Source(spec.name, text, place, None if search is None else tuple(search))
    )
