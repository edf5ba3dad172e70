"""Enumerations that are sent by value, and what their members hold."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any

__all__ = ["complete_members", "is_of_enum", "list_held"]


def is_of_enum(name: str) -> bool:
    """Tell whether a name is one that `enum` keeps for itself."""
    return name.startswith("_") and name.endswith("_")


def list_held(cls: type) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the names of an enumeration's members, each with the attributes that it was given."""
    if issubclass(cls, Enum):
        for name, member in cls.__members__.items():
            if member.name == name:  # no alias
                attributes = vars(member).items()
                yield name, {key: value for key, value in attributes if not is_of_enum(key)}


def complete_members(
    cls: type[Enum], arguments: tuple[Any, ...], state: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Add the aliases to what cloudpickle makes an enumeration from."""
    members = {name: member.value for name, member in cls.__members__.items()}
    attributes = {name: value for name, value in state.items() if name not in members}
    return (*arguments[:3], members, *arguments[4:]), attributes
