"""Marks by which a worker recognises that what it has imported is what the driver has."""

from __future__ import annotations

import contextlib
import hashlib
import types
from collections.abc import Iterable, Iterator
from typing import Any

from scoopsci.basics.bytecode import read_code
from scoopsci.basics.members import find_inner
from scoopsci.pickling.classes import ATOMS, is_wrapper
from scoopsci.pickling.functions import list_cells
from scoopsci.pickling.names import Key
from scoopsci.pickling.pickler import HASH_BYTES, SETS, DefinitionPickler, digest_pickle

__all__ = ["mark_value"]


def mark_value(key: Key, value: Any) -> bytes:
    """Return a mark of what a name stands for, equal in all processes for equal values.

    Raises
    ------
    Exception
        Whatever pickling a value raises.
    """
    if not issubclass(type(value), (type, types.FunctionType)) and not is_wrapper(value):
        return _hash_marked(value, key)
    held = b""
    if isinstance(value, types.FunctionType):
        with contextlib.suppress(Exception):  # what it holds may be impossible to pickle
            held = _hash_marked((vars(value), value.__defaults__, value.__kwdefaults__))
    return _hash(*(text.encode() for text in sorted(_list_code(value))), held)


class _MarkPickler(DefinitionPickler):
    """Pickles sets in an order of its own: that of text differs between processes."""

    def persistent_id(self, obj: Any) -> Any:
        """Return what a set consists of; see `pickle.Pickler.persistent_id`."""
        if not issubclass(type(obj), SETS):
            return None
        return type(obj).__qualname__, _sort(obj), getattr(obj, "__dict__", None)


def _sort(items: Iterable[Any]) -> list[Any]:
    if all(type(item) is str for item in items):
        return sorted(items)
    return sorted(map(_hash_marked, items))


def _hash_marked(value: Any, key: Key | None = None) -> bytes:
    return digest_pickle(value, key, _MarkPickler)[0]


def _hash(*parts: bytes) -> bytes:
    return hashlib.blake2b(b"\0".join(parts), digest_size=HASH_BYTES).digest()


def _list_code(value: Any) -> Iterator[str]:
    """Yield the code of a function or class, with that of the functions and numbers within it."""
    if isinstance(value, types.FunctionType):
        yield read_code(value.__code__).text
        for inner in list_cells(value):
            if isinstance(inner, types.FunctionType) and inner is not value:
                yield from _list_code(inner)
    elif isinstance(value, type):
        yield value.__qualname__
        for name, member in vars(value).items():
            for inner in find_inner(member) or (member,):
                if isinstance(inner, types.FunctionType):
                    yield f"{name} {read_code(inner.__code__).text}"
            if type(member) in ATOMS and not name.startswith("__"):
                yield f"{name} {member!r}"
    elif is_wrapper(value):
        yield from _list_code(getattr(value, "__wrapped__", None) or value.py_func)
