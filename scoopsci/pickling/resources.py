"""What belongs to a process, such as a lock, is made anew in the namespace of a worker."""

from __future__ import annotations

import _thread
import contextvars
import threading
import weakref
from collections.abc import Callable
from typing import Any

__all__ = ["RESOURCES", "WEAK"]


def _make_variable(name: str, *default: Any) -> contextvars.ContextVar[Any]:
    return contextvars.ContextVar(name, default=default[0]) if default else _variable(name)


def _variable(name: str) -> contextvars.ContextVar[Any]:
    return contextvars.ContextVar(name)


def _reduce_variable(variable: contextvars.ContextVar[Any]) -> Any:
    try:  # in an empty context it has its default
        return _make_variable, (variable.name, contextvars.Context().run(variable.get))
    except LookupError:
        return _make_variable, (variable.name,)


def _reduce_weak_keys(values: weakref.WeakKeyDictionary[Any, Any]) -> Any:
    return weakref.WeakKeyDictionary, (dict(values),)


def _reduce_weak_values(values: weakref.WeakValueDictionary[Any, Any]) -> Any:
    return weakref.WeakValueDictionary, (dict(values),)


#: Types of which a module on a worker gets an object of its own, and how to pickle them for that.
RESOURCES: dict[type, Callable[[Any], Any]] = {
    _thread.LockType: lambda _: (_thread.allocate_lock, ()),
    type(threading.RLock()): lambda _: (threading.RLock, ()),
    threading.local: lambda _: (threading.local, ()),
    contextvars.ContextVar: _reduce_variable,
}

#: Types that have no reducer of their own, and can be sent anywhere.
WEAK: dict[type, Callable[[Any], Any]] = {
    weakref.WeakKeyDictionary: _reduce_weak_keys,
    weakref.WeakValueDictionary: _reduce_weak_values,
}
