"""Marks by which a worker recognises that what it has imported is what the driver has."""

from __future__ import annotations

import contextlib
import hashlib
import types
from collections.abc import Iterator
from typing import Any

from scoopsci.basics.bytecode import read_code
from scoopsci.basics.members import find_inner
from scoopsci.pickling.classes import is_wrapper
from scoopsci.pickling.functions import list_cells
from scoopsci.pickling.names import Key
from scoopsci.pickling.pickler import HASH_BYTES, hash_pickle

__all__ = ["mark_value"]


def mark_value(key: Key, value: Any) -> bytes:
    """Return a mark of what a name stands for, equal in all processes for equal values.

    Raises
    ------
    Exception
        Whatever pickling a value raises.
    """
    if type(value) in (set, frozenset):  # the order of text differs between processes
        return _hash(*sorted(hash_pickle(item) for item in value))
    if not issubclass(type(value), (type, types.FunctionType)) and not is_wrapper(value):
        return hash_pickle(value, key)
    held = b""
    if isinstance(value, types.FunctionType):
        with contextlib.suppress(Exception):  # what it holds may be impossible to pickle
            held = hash_pickle((vars(value), value.__defaults__, value.__kwdefaults__))
    return _hash(*(text.encode() for text in sorted(_list_code(value))), held)


def _hash(*parts: bytes) -> bytes:
    return hashlib.blake2b(b"\0".join(parts), digest_size=HASH_BYTES).digest()


def _list_code(value: Any) -> Iterator[str]:
    """Yield the code of a function or class, with that of the functions within it."""
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
    elif is_wrapper(value):
        yield from _list_code(getattr(value, "__wrapped__", None) or value.py_func)
