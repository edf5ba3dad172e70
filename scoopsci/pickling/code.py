"""What a code object refers to by name."""

from __future__ import annotations

import dis
import types
from functools import lru_cache
from typing import NamedTuple

__all__ = ["References", "list_references"]

GLOBAL = ("LOAD_GLOBAL", "STORE_GLOBAL", "DELETE_GLOBAL", "LOAD_NAME")


class References(NamedTuple):
    """Names in a code object and in those inside it.

    Attributes
    ----------
    global_names : frozenset of str
        Globals that it reads, sets or deletes.
    attributes : frozenset of str
        Names of attributes, and of what it imports from modules.
    imports : frozenset of tuple of int, str, tuple of str
        Each import: how many dots it begins with, the module, and the names taken from it.
    """

    global_names: frozenset[str]
    attributes: frozenset[str]
    imports: frozenset[tuple[int, str, tuple[str, ...]]]


@lru_cache(maxsize=4096)
def list_references(code: types.CodeType) -> References:
    """List the names in a code object, in the bytecode of this version of Python."""
    global_names: set[str] = set()
    attributes: set[str] = set()
    imports: set[tuple[int, str, tuple[str, ...]]] = set()
    constants: list[object] = []
    for step in dis.get_instructions(code):
        if step.opname in GLOBAL:
            global_names.add(step.argval)
        elif step.opname == "IMPORT_NAME":
            level, names = constants[-2:]
            assert isinstance(level, int)
            imports.add((level, step.argval, names if isinstance(names, tuple) else ()))
        if step.opname == "LOAD_CONST":
            constants.append(step.argval)
        elif step.opname not in GLOBAL and isinstance(step.argval, str):
            attributes.add(step.argval)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            inner = list_references(constant)
            global_names |= inner.global_names
            attributes |= inner.attributes
            imports |= inner.imports
    return References(frozenset(global_names), frozenset(attributes), frozenset(imports))
