"""Functions that are sent by value, and how they are made from it.

A function gets the namespace of its module as its globals: on a worker, as here, all functions of
a module share one.
"""

from __future__ import annotations

import builtins
import contextlib
import operator
import sys
import types
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

from cloudpickle import cloudpickle

from scoopsci.pickling.names import Key, find_namespace

__all__ = [
    "NamespaceOf",
    "copy_function",
    "find_cell",
    "is_one_definition",
    "list_cells",
    "make_function",
    "reduce_code",
    "set_function_state",
    "take_state",
]

#: The contents of a cell that has not been assigned.
EMPTY = cloudpickle._empty_cell_value

#: Attributes that are set once a function has been made.
STATE = ("__name__", "__qualname__", "__annotations__", "__kwdefaults__", "__defaults__",
         "__module__", "__doc__")  # fmt: skip

#: Cells of closures that the program's own functions share, by number, with their versions.
_cells: dict[bytes, tuple[types.CellType, bytes]] = {}


class NamespaceOf:
    """Becomes the namespace of a module when it is unpickled."""

    def __init__(self, module_name: str) -> None:
        self._module_name = module_name

    def __reduce__(self) -> Any:
        return find_namespace, (self._module_name,)


def list_cells(fn: types.FunctionType) -> list[Any]:
    """Return the contents of a function's closure; a cell that is not assigned has none."""
    return [cloudpickle._get_cell_contents(cell) for cell in fn.__closure__ or ()]


def find_cell(number: bytes, version: bytes) -> types.CellType:
    """Return a cell of the program, which is empty if its contents have another version."""
    cell, present = _cells.get(number, (types.CellType(), b""))
    if version != present:
        for other in [each for each, known in _cells.items() if sys.getrefcount(known[0]) < 3]:
            del _cells[other]  # of functions that are gone
        with contextlib.suppress(ValueError):  # it is empty
            del cell.cell_contents
        _cells[number] = cell, version
    return cell


def reduce_code(code: types.CodeType) -> Any:
    """Return how to pickle a code object: with its true file, which cloudpickle leaves out."""
    make, arguments = cloudpickle._code_reduce(code)
    at = arguments.index("<dynamic-code>")
    return make, (*arguments[:at], code.co_filename, *arguments[at + 1 :])


def take_state(fn: types.FunctionType) -> tuple[dict[str, Any], dict[str, Any], list[Any]]:
    """Return a function's attributes of its own, those of any function, and its closure."""
    # Copies, so that the pickle does not depend on which strings are interned.
    own = {"".join(name): value for name, value in vars(fn).items()}
    state = {name: getattr(fn, name) for name in STATE}
    if type_params := getattr(fn, "__type_params__", ()):
        state["__type_params__"] = type_params
    return own, state, list(zip(fn.__closure__ or (), list_cells(fn), strict=True))


def make_function(
    code: types.CodeType,
    namespace: dict[str, Any],
    cells: tuple[types.CellType, ...] | None,
    key: Key | None,
) -> types.FunctionType:
    """Make a function without its state, and enter it under the name that it defines."""
    namespace.setdefault("__builtins__", builtins)  # imports by C code look for it there
    fn = types.FunctionType(code, namespace, closure=cells)
    if key is not None:
        find_namespace(key[0])[key[1]] = fn
    return fn


def set_function_state(
    fn: types.FunctionType,
    state: tuple[Any, ...],
) -> None:
    """Set what `take_state` has returned, and perhaps globals."""
    own, attributes, closure, *more = state
    fn.__globals__.update(*more)
    vars(fn).update(own)
    for name, value in attributes.items():
        setattr(fn, name, value)
    known = [cloudpickle._get_cell_contents(cell) for cell, _ in closure]
    for (cell, value), present in zip(closure, known, strict=True):
        if present is EMPTY and value is not EMPTY:  # else another function has set it already
            cell.cell_contents = value
    for present in known if EMPTY in known else ():
        if isinstance(present, (WeakKeyDictionary, WeakValueDictionary)):
            present.clear()  # a cache of what has just changed


def is_one_definition(one: Any, other: Any) -> bool:
    """Tell whether two values are functions that differ in their state only."""
    if not isinstance(one, types.FunctionType) or not isinstance(other, types.FunctionType):
        return False
    names = [(fn.__module__, fn.__qualname__, fn.__code__) for fn in (one, other)]
    cells = one.__closure__ or (), other.__closure__ or ()
    return names[0] == names[1] and all(map(operator.is_, *cells))


def copy_function(source: types.FunctionType, target: types.FunctionType) -> None:
    """Let a function, which may be held anywhere, have the state of another one."""
    for name in STATE:
        setattr(target, name, getattr(source, name))
    vars(target).clear()
    vars(target).update(vars(source))
