"""A hash of a user's code and of the values that it carries."""

from __future__ import annotations

import functools
import hashlib
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

__all__ = ["hash_code"]

PLAIN = (type(None), bool, int, float, complex, str, bytes, np.generic)


def hash_code(fn: Callable[..., object]) -> str:
    """Hash a user's code, to tell two receipts of different functions apart.

    Parameters
    ----------
    fn : callable
        A function, a `functools.partial`, a method, or an object of a class with ``__call__``.

    Returns
    -------
    str
        SHA-256 of its bytecode, defaults, closure and attributes, and of the globals that it
        names: functions of its own module are followed, those of others stand by name. The same
        in every process of one minor version of Python.

    Examples
    --------
    >>> hash_code(lambda x: x + 1) == hash_code(lambda x: x + 2)
    False
    """
    digest = hashlib.sha256()
    for part in _Description(getattr(fn, "__module__", None)).describe(fn):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()


class _Description:
    """Walks through a value and what it refers to, each object once."""

    def __init__(self, module: str | None) -> None:
        self._module = module
        self._seen: dict[int, Any] = {}  # holds the objects, or an identity could be used again

    def describe(self, value: Any) -> Iterator[str]:
        if isinstance(value, PLAIN):
            yield f"{type(value).__name__} {value!r}"
        elif id(value) in self._seen:
            yield "again"
        else:
            self._seen[id(value)] = value
            yield type(value).__qualname__
            yield from self._describe_object(value)

    def _describe_object(self, value: Any) -> Iterator[str]:
        if isinstance(value, np.ndarray) and not value.dtype.hasobject:
            yield f"{value.dtype.str} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}"
        elif isinstance(value, (list, tuple, np.ndarray)):
            yield from self._describe_all(value)
        elif isinstance(value, (set, frozenset)):
            yield from sorted("".join(self.describe(item)) for item in value)
        elif isinstance(value, dict):
            yield from self._describe_all(part for item in value.items() for part in item)
        elif isinstance(value, functools.partial):
            yield from self._describe_all((value.func, value.args, value.keywords))
        elif isinstance(value, types.MethodType):
            yield from self._describe_all((value.__func__, value.__self__))
        elif isinstance(value, types.CodeType):
            yield from self._describe_code(value)
        elif isinstance(value, types.FunctionType) and value.__module__ == self._module:
            yield from self._describe_function(value)
        elif isinstance(value, type) and value.__module__ == self._module:
            members = sorted(vars(value).items())
            yield from self._describe_all(member for _, member in members if callable(member))
        elif hasattr(value, "__qualname__") or isinstance(value, types.ModuleType):
            yield f"{getattr(value, '__module__', '')} {value.__name__}"
        else:
            yield from self.describe(type(value))
            yield from self._describe_all(_state(value))

    def _describe_all(self, values: Any) -> Iterator[str]:
        for value in values:
            yield from self.describe(value)

    def _describe_function(self, fn: types.FunctionType) -> Iterator[str]:
        yield from self.describe(fn.__code__)
        yield from self._describe_all((fn.__defaults__, fn.__kwdefaults__))
        for cell in fn.__closure__ or ():
            yield from self._describe_all(_contents(cell))
        for name in sorted(_names(fn.__code__)):
            if name in fn.__globals__:
                yield name
                yield from self.describe(fn.__globals__[name])

    def _describe_code(self, code: types.CodeType) -> Iterator[str]:
        yield code.co_code.hex()
        yield from (*code.co_names, *code.co_varnames)
        yield from self._describe_all(code.co_consts)


def _names(code: types.CodeType) -> set[str]:
    inner = (const for const in code.co_consts if isinstance(const, types.CodeType))
    return set(code.co_names).union(*map(_names, inner))


def _contents(cell: types.CellType) -> list[Any]:
    try:
        return [cell.cell_contents]
    except ValueError:  # not assigned yet
        return []


def _state(value: Any) -> Iterator[Any]:
    slots = [name for cls in type(value).__mro__ for name in getattr(cls, "__slots__", ())]
    for name in sorted({*getattr(value, "__dict__", ()), *slots}):
        if hasattr(value, name):
            yield name
            yield getattr(value, name)
