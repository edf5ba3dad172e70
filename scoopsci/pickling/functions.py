"""Functions that are sent by value, and how they are made from it.

A function gets the namespace of its module as its globals: on a worker, as here, all functions of
a module share one.
"""

from __future__ import annotations

import itertools
import secrets
import types
from typing import Any

from cloudpickle import cloudpickle

from scoopsci.pickling.names import Key, find_namespace

__all__ = [
    "NamespaceOf",
    "list_cells",
    "make_function",
    "number_cell",
    "reduce_code",
    "set_function_state",
    "take_state",
]

#: Attributes that are set once a function has been made.
STATE = ("__name__", "__qualname__", "__annotations__", "__kwdefaults__", "__defaults__",
         "__module__", "__doc__")  # fmt: skip

#: The closures of the program's own functions: cells that these share, by number.
_process = secrets.token_bytes(8)
_count = itertools.count()
_numbers: dict[int, tuple[bytes, types.CellType]] = {}
_cells: dict[bytes, types.CellType] = {}


class NamespaceOf:
    """Becomes the namespace of a module when it is unpickled."""

    def __init__(self, module_name: str) -> None:
        self._module_name = module_name

    def __reduce__(self) -> Any:
        return find_namespace, (self._module_name,)


def list_cells(fn: types.FunctionType) -> list[Any]:
    """Return the contents of a function's closure; a cell that is not assigned has none."""
    return [cloudpickle._get_cell_contents(cell) for cell in fn.__closure__ or ()]


def number_cell(cell: types.CellType) -> Any:
    """Return how to pickle a cell of the program so that a worker has it once, at first empty."""
    if id(cell) not in _numbers:  # the cell is kept, so that its id is not reused
        _numbers[id(cell)] = _process + next(_count).to_bytes(8, "big"), cell
    return _find_cell, (_numbers[id(cell)][0],)


def _find_cell(number: bytes) -> types.CellType:
    return _cells.setdefault(number, types.CellType())


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
    fn = types.FunctionType(code, namespace, closure=cells)
    if key is not None:
        namespace[key[1]] = fn
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
    for cell, value in closure:
        if value is not cloudpickle._empty_cell_value:
            cell.cell_contents = value
