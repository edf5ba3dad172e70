"""A hash of a user's code and of the values it refers to."""

from __future__ import annotations

import copyreg
import functools
import hashlib
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from scoopsci.basics.moved import former_name

__all__ = ["hash_code", "hash_values", "is_compiled", "is_users_module", "reaches_compiled"]

PLAIN = (type(None), bool, float, complex, str, bytes, range, np.generic)

#: Attributes of a class, besides methods, that count as constants; others may be caches.
CONSTANTS = (*PLAIN, int, tuple, frozenset, np.ndarray)


def hash_code(fn: Callable[..., object]) -> str:
    """Hash a user's code, to tell two receipts of different functions apart.

    Parameters
    ----------
    fn : callable
        A function, a `functools.partial`, a method, or an object of a class with ``__call__``.

    Returns
    -------
    str
        SHA-256 of its bytecode, defaults, closure, attributes and the globals that it names.
        References to the user's own modules are followed, as are those to functions compiled by
        numba, which may be inlined. The standard library, installed packages and scoopsci are
        identified by name. The same in every process of one minor version of Python.

    Examples
    --------
    >>> from functools import partial
    >>> hash_code(partial(pow, 2)) == hash_code(partial(pow, 3))
    False
    """
    return hash_values([fn])


def hash_values(values: Iterable[object]) -> str:
    """Hash the inputs of blocks, to tell whether two runs have the same inputs.

    Parameters
    ----------
    values : iterable
        Plain values, arrays, and containers or objects that hold such values.

    Returns
    -------
    str
        SHA-256; the same for a list, a range or an array slice of the same items.
    """
    digest = hashlib.sha256()
    for value in values:
        for part in _Description().describe(value):
            digest.update(part.encode() + b"\0")
    return digest.hexdigest()


def reaches_compiled(*values: object) -> bool:
    """Tell whether any of the values is, or refers to, a function compiled by numba.

    Parameters
    ----------
    *values
        Functions, and objects that hold functions.
    """
    description = _Description()
    for value in values:
        for _ in description.describe(value):
            pass
    return description.reaches_compiled


class _Description:
    """Walks through a value and the objects it refers to, each of them once.

    Attributes
    ----------
    reaches_compiled : bool
        Whether a function compiled by numba has been encountered.
    """

    def __init__(self) -> None:
        # Keeps the objects alive, so that no id is reused.
        self._seen: dict[int, tuple[int, Any]] = {}
        self.reaches_compiled = False

    def describe(self, value: Any) -> Iterator[str]:
        if type(value) in PLAIN or isinstance(value, np.generic):
            yield f"{type(value).__name__} {value!r}"
        elif type(value) is int:
            yield f"int {value:x}"  # decimal digits are limited
        elif id(value) in self._seen:
            yield f"again {self._seen[id(value)][0]}"
        else:
            self._seen[id(value)] = len(self._seen), value
            yield type(value).__qualname__
            yield from self._describe_object(value)

    def _describe_object(self, value: Any) -> Iterator[str]:
        if type(value) in (np.ndarray, np.memmap) and not value.dtype.hasobject:
            data = hashlib.sha256(value.tobytes()).hexdigest()
            yield f"{value.dtype.descr} {value.shape} {data}"
        elif type(value) in (list, tuple):
            yield f"{len(value)}"
            yield from self._describe_all(value)
        elif type(value) in (set, frozenset):
            yield from sorted("".join(_Description().describe(item)) for item in value)
        elif type(value) is dict:
            yield from self._describe_all(part for item in value.items() for part in item)
        elif isinstance(value, (bytearray, memoryview)):
            yield bytes(value).hex()
        elif isinstance(value, types.CodeType):
            yield from self._describe_code(value)
        elif is_compiled(value):
            self.reaches_compiled = True
            yield from self._describe_function(value.py_func)
            yield from self._describe_all((value.targetoptions, repr(value.locals)))
            yield "any" if value._can_compile else str(value.signatures)
        elif (inner := _find_inner(value)) is not None:
            yield from self._describe_all(inner)
        elif isinstance(value, types.FunctionType) and is_users_module(value.__module__):
            yield from self._describe_function(value)
        elif isinstance(value, type) and is_users_module(value.__module__):
            yield from self._describe_class(value)
        elif hasattr(value, "__qualname__") or isinstance(value, types.ModuleType):
            home = str(getattr(value, "__module__", ""))
            yield f"{former_name(home)} {former_name(value.__name__)}"
        else:
            yield from self._describe_all(_reduce(value))

    def _describe_all(self, values: Iterable[Any]) -> Iterator[str]:
        for value in values:
            yield from self.describe(value)

    def _describe_function(self, fn: types.FunctionType) -> Iterator[str]:
        yield from self.describe(fn.__code__)
        yield from self._describe_all((fn.__defaults__, fn.__kwdefaults__, fn.__dict__))
        for cell in fn.__closure__ or ():
            yield from self._describe_all(_contents(cell))
        names = sorted(_names(fn.__code__))
        for name in names:
            if name in fn.__globals__:
                yield name
                yield from self._describe_used(fn.__globals__[name], names)

    def _describe_used(self, value: Any, names: Iterable[str]) -> Iterator[str]:
        """Describe a value and, for a user's module, those of its attributes that are named."""
        is_new = id(value) not in self._seen
        yield from self.describe(value)
        if is_new and isinstance(value, types.ModuleType) and is_users_module(value.__name__):
            for name in names:
                if name in vars(value):
                    yield name
                    yield from self._describe_used(vars(value)[name], names)

    def _describe_class(self, cls: type) -> Iterator[str]:
        yield cls.__qualname__
        for name, member in sorted(vars(cls).items()):
            described = callable(member) or _find_inner(member) or isinstance(member, CONSTANTS)
            if described and name not in ("__module__", "__doc__", "__firstlineno__"):
                yield name
                yield from self.describe(member)
        yield from self._describe_all(cls.__bases__)

    def _describe_code(self, code: types.CodeType) -> Iterator[str]:
        yield f"{code.co_code.hex()} {code.co_exceptiontable.hex()}"
        yield from (*code.co_names, *code.co_varnames)
        yield from self._describe_all(code.co_consts)


def is_users_module(module_name: str | None) -> bool:
    """Tell whether a module is the user's own: not Python's, not ours, not an installed one.

    Parameters
    ----------
    module_name : str or None
        Its full name.
    """
    top, _, _ = (module_name or "").partition(".")
    if top in sys.stdlib_module_names or top == "scoopsci":
        return False
    place = getattr(sys.modules.get(module_name or ""), "__file__", None) or ""
    return "site-packages" not in place and "dist-packages" not in place


def is_compiled(value: object) -> bool:
    """Tell whether a value is a function that numba compiles."""
    return type(value).__module__.startswith("numba.") and hasattr(value, "py_func")


def _find_inner(value: Any) -> tuple[Any, ...] | None:
    """Return what a wrapper of functions wraps, or None for any other value."""
    if isinstance(value, functools.partial):
        return value.func, value.args, value.keywords
    if isinstance(value, types.MethodType):
        return value.__func__, value.__self__
    if isinstance(value, (types.BuiltinMethodType, types.MethodWrapperType)):
        is_function = isinstance(value.__self__, (types.ModuleType, type(None)))
        return None if is_function else (value.__name__, value.__self__)
    if isinstance(value, (classmethod, staticmethod)):
        return (value.__func__,)
    if isinstance(value, property):
        return value.fget, value.fset, value.fdel
    if not isinstance(value, types.FunctionType) and hasattr(value, "__wrapped__"):
        return (value.__wrapped__,)  # of functools.cache, say
    return None


def _names(code: types.CodeType) -> set[str]:
    inner = (const for const in code.co_consts if isinstance(const, types.CodeType))
    return set(code.co_names).union(*map(_names, inner))


def _contents(cell: types.CellType) -> list[Any]:
    try:
        return [cell.cell_contents]
    except ValueError:  # not assigned yet
        return []


def _reduce(value: Any) -> list[Any]:
    """Return the parts to which pickle would reduce an object, or its module if it cannot."""
    try:
        registered = copyreg.dispatch_table.get(type(value))
        parts: Any = registered(value) if registered else value.__reduce_ex__(4)
    except Exception:
        return [f"{type(value).__module__}"]
    if isinstance(parts, str):
        return [parts]
    return [list(part) if isinstance(part, Iterator) else part for part in parts]
