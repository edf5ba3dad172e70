"""What objects consist of, and whose they are, as far as a hash of code can see."""

from __future__ import annotations

import contextlib
import copyreg
import functools
import types
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

from scoopsci.basics.bytecode import UNREAD
from scoopsci.basics.ownership import is_users_module

__all__ = [
    "IGNORE",
    "NEVER",
    "WEAK",
    "find_ignored",
    "find_inner",
    "is_compiled",
    "is_compiled_class",
    "is_users",
    "is_wrapper",
    "list_arguments",
    "list_cells",
    "read_hook",
    "reduce",
]

#: Name of the attribute by which a function, class or object names what does not count, say a
#: cache that calls fill.
IGNORE = "__scoopsci_ignore__"

#: What weak references lead to is kept, and so described, elsewhere; if not, they are caches.
WEAK = (weakref.ref, weakref.WeakKeyDictionary, weakref.WeakValueDictionary, weakref.WeakSet)

#: Attributes that do not count: text and places, what pickle keeps of a class, and the members that
#: an enumeration adds as its flags are combined.
NEVER = UNREAD | {
    *(IGNORE, "__module__", "__dict__", "__weakref__"),
    *("__slotnames__", "_value2member_map_"),
}


def find_ignored(kind: type, *, of_instances: bool = False) -> frozenset[str]:
    """Return the names of attributes of a class, or of its instances, that do not count.

    Parameters
    ----------
    kind : type
        The class.
    of_instances : bool
        Whether instances are meant: the values of their cached properties do not count, either.
    """
    found: set[str] = set()
    for base in kind.__mro__:
        found |= read_hook(vars(base))
        if of_instances:
            members = vars(base).items()
            found.update(
                name for name, member in members if isinstance(member, functools.cached_property)
            )
    return NEVER | found


def read_hook(attributes: Mapping[str, Any]) -> set[str]:
    """Return the names that a function, class or object excludes, given its dictionary."""
    names = attributes.get(IGNORE, ())
    return {names} if isinstance(names, str) else set(names)


def is_users(value: object) -> bool:
    """Tell whether a value is a function or class of the user."""
    if isinstance(value, types.FunctionType):
        # A decorator may have named a module other than that of the code.
        home = value.__globals__.get("__name__")
        return is_users_module(value.__module__) or is_users_module(home)
    return isinstance(value, type) and is_users_module(value.__module__)


def is_compiled(value: object) -> bool:
    """Tell whether a value is a function that numba compiles."""
    return type(value).__module__.startswith("numba.") and hasattr(value, "py_func")


def is_compiled_class(value: object) -> bool:
    """Tell whether a value is a class that numba compiles, which it derives from the user's."""
    return type(value).__module__ == "numba.experimental.jitclass.base" and isinstance(value, type)


def is_wrapper(value: Any) -> bool:
    """Tell whether an object has its name from what it wraps, as by `functools.update_wrapper`."""
    if isinstance(value, (type, types.FunctionType)):
        return False
    return not {"__wrapped__", "__qualname__"}.isdisjoint(getattr(value, "__dict__", ()))


def find_inner(value: Any) -> tuple[Any, ...] | None:
    """Return the functions in a descriptor of a class, or None for any other value."""
    if isinstance(value, (classmethod, staticmethod)):
        return (value.__func__,)
    if isinstance(value, property):
        return value.fget, value.fset, value.fdel
    if isinstance(value, functools.cached_property):
        return (value.func,)
    return None


def list_arguments(fn: types.FunctionType) -> list[tuple[str, Any]]:
    """Return the names of arguments that have defaults, with these."""
    defaults = fn.__defaults__ or ()
    positional = fn.__code__.co_varnames[: fn.__code__.co_argcount]
    names = positional[len(positional) - len(defaults) :]
    return [*zip(names, defaults, strict=False), *sorted((fn.__kwdefaults__ or {}).items())]


def list_cells(fn: types.FunctionType) -> list[tuple[str, Any]]:
    """Return the names of closure variables, with their values."""
    found = []
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=False):
        with contextlib.suppress(ValueError):  # not assigned yet
            found.append((name, cell.cell_contents))
    return found


def reduce(value: Any) -> tuple[list[Any], dict[str, Any]]:
    """Return the parts to which pickle would reduce an object, and its attributes.

    A wrapper or an object of the user that pickle refuses, or finds by its name, has those of its
    dictionary.
    """
    own = getattr(value, "__dict__", {})
    is_open = is_users_module(type(value).__module__) or is_wrapper(value)
    attributes = (_as_names(dict(own)) or {}) if is_open else {}
    try:
        registered = copyreg.dispatch_table.get(type(value))
        parts: Any = registered(value) if registered else value.__reduce_ex__(4)
    except Exception:
        return [type(value), type(value).__module__], attributes
    if isinstance(parts, str):
        return [parts], attributes
    state = parts[2] if len(parts) > 2 else None
    names = _as_names(state)
    rest = parts if names is None else (*parts[:2], *parts[3:])
    return [list(part) if isinstance(part, Iterator) else part for part in rest], names or {}


def _as_names(state: Any) -> dict[str, Any] | None:
    """Return a state as attributes by name, or None if it is of another kind."""
    if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict):  # with slots
        state = {**(state[0] or {}), **state[1]} if isinstance(state[0], dict | None) else None
    return state if type(state) is dict and all(type(name) is str for name in state) else None
