"""Enumerations that are sent by value, and what their members hold."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any, NamedTuple

from scoopsci.pickling.attributes import delete_attribute
from scoopsci.pickling.sources import is_sent

__all__ = ["is_of_enum", "list_held", "make_enum", "reduce_enum"]


def is_of_enum(cls: type[Enum], name: str, value: Any) -> bool:
    """Tell whether an attribute is a member, or what `enum` keeps for itself."""
    return _is_reserved(name) or isinstance(value, cls)


def _is_reserved(name: str) -> bool:
    return name.startswith("_") and name.endswith("_")


def list_held(cls: type) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the names of an enumeration's members, each with the attributes that it was given."""
    if issubclass(cls, Enum):
        for name, member in cls.__members__.items():
            if member.name == name:  # no alias
                attributes = vars(member).items()
                yield name, {key: value for key, value in attributes if not _is_reserved(key)}


def reduce_enum(cls: type[Enum], state: dict[str, Any]) -> tuple[Any, ...]:
    """Return what `make_enum` makes an enumeration from, and the state that this leaves to set."""
    members = cls.__members__
    made = {name: _Made(_list_arguments(cls, each), each.value) for name, each in members.items()}
    rest = {name: value for name, value in state.items() if name not in members}
    return (cls.__bases__, cls.__name__, made), rest


def make_enum(bases: tuple[Any, ...], name: str, members: dict[str, Any]) -> type[Enum]:
    """Make an enumeration without what its own methods do when a member is made."""
    metaclass = type(bases[-1])
    maker = next(kind for kind in metaclass.__mro__ if not is_sent(kind.__module__))
    attributes: Any = metaclass.__prepare__(name, bases)
    for each, made in members.items():
        attributes[each] = made
    attributes["__new__"] = _make_member
    attributes["__init__"] = lambda member, *made: None
    cls: type[Enum] = maker.__new__(metaclass, name, bases, attributes)
    delete_attribute(cls, "__init__")
    return cls


class _Made(NamedTuple):
    """What a member is made from: arguments of the type mixed in, None for none, and its value."""

    arguments: tuple[Any, ...] | None
    value: Any


def _list_arguments(cls: Any, member: Any) -> tuple[Any, ...] | None:
    kind = cls._member_type_
    if kind.__new__ is object.__new__:
        return None
    if hasattr(kind, "__getnewargs__"):
        found: tuple[Any, ...] = kind.__getnewargs__(member)
        return found
    return member.value if isinstance(member.value, tuple) else (member.value,)


def _make_member(cls: Any, *made: Any) -> Any:
    arguments, value = made[0] if cls._member_type_ is tuple else made
    kind = object if arguments is None else cls._member_type_
    member = kind.__new__(cls, *(arguments or ()))
    member._value_ = value
    return member
