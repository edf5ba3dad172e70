"""Attributes of classes, objects and modules, set without the program's own ``__setattr__``."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

__all__ = ["delete_attribute", "set_attribute"]


def set_attribute(owner: Any, name: str, value: Any) -> None:
    """Set what the program has set by itself: it may refuse that, or do more, only once."""
    _find_builtin(type(owner), "__setattr__")(owner, name, value)


def delete_attribute(owner: Any, name: str) -> None:
    """Delete an attribute in the same way."""
    _find_builtin(type(owner), "__delattr__")(owner, name)


def _find_builtin(kind: type, name: str) -> Callable[..., Any]:
    """Return the nearest method of a class that is not written in Python."""
    found = (vars(base)[name] for base in kind.__mro__ if name in vars(base))
    method: Callable[..., Any] = next(fn for fn in found if not isinstance(fn, FunctionType))
    return method
