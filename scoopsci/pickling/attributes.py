"""Attributes of classes, objects and modules, set without the program's own ``__setattr__``."""

from __future__ import annotations

from typing import Any

from scoopsci.pickling.sources import is_sent

__all__ = ["delete_attribute", "set_attribute"]


def set_attribute(owner: Any, name: str, value: Any) -> None:
    """Set what the program has set by itself: it may refuse that, or do more, only once."""
    _find_base(owner).__setattr__(owner, name, value)


def delete_attribute(owner: Any, name: str) -> None:
    """Delete an attribute in the same way."""
    _find_base(owner).__delattr__(owner, name)


def _find_base(owner: Any) -> Any:
    """Return the nearest base of an object's class that is not the user's."""
    return next(kind for kind in type(owner).__mro__ if not is_sent(kind.__module__))
