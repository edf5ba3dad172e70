"""Lists, dicts and sets that a name stands for: a worker fills them once the name is defined.

What they hold may need the name to be made. When the program has changed a container in place, so
does the worker: closures and defaults may hold the same one.
"""

from __future__ import annotations

from typing import Any

from scoopsci.pickling.names import Key, find_namespace

__all__ = ["CONTAINERS", "Contents", "adopt"]

#: Exact types: a subclass may do more when it is filled.
CONTAINERS = (list, dict, set)

#: What this process has made, by name, with the number of the original.
_made: dict[Key, tuple[Any, Any]] = {}


class Contents:
    """Becomes a container when it is unpickled.

    Parameters
    ----------
    key : Key
        The name that stands for it.
    number : tuple
        Of the original: the same as long as that is the same object.
    value : list, dict or set
        The original.
    """

    def __init__(self, key: Key, number: Any, value: Any) -> None:
        self._original = type(value), key, number
        self._items = list(value.items() if isinstance(value, dict) else value)

    def __reduce__(self) -> Any:
        return _begin, self._original, self._items, None, None, _fill


def adopt(key: Key, value: Any) -> None:
    """Let what importing a module has made be filled, rather than replaced."""
    if type(value) in CONTAINERS:
        _made[key] = None, value


def _begin(kind: type, key: Key, number: Any) -> Any:
    known, value = _made.get(key, (number, None))
    if known not in (None, number) or type(value) is not kind:
        value = kind()
    _made[key] = number, value
    find_namespace(key[0])[key[1]] = value
    return value


def _fill(value: Any, items: list[Any]) -> None:
    value.clear()
    (value.extend if isinstance(value, list) else value.update)(items)
