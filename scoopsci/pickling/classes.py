"""Classes that are sent by value."""

from __future__ import annotations

import contextlib
import copyreg
import functools
import os
import secrets
import types
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from types import FunctionType
from typing import Any, NamedTuple

from cloudpickle import cloudpickle

from scoopsci.basics.members import NEVER, find_inner, is_compiled, is_compiled_class
from scoopsci.pickling.attributes import set_attribute
from scoopsci.pickling.enums import is_of_enum, list_held, make_enum, reduce_enum
from scoopsci.pickling.names import Key, find_namespace
from scoopsci.pickling.sources import find_source, is_sent

__all__ = [
    "ATOMS",
    "has_changing_defaults",
    "is_data",
    "is_wrapper",
    "list_data",
    "list_members",
    "list_sent",
    "reduce_class",
]

#: Values that cannot be changed in place.
ATOMS = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis), type(NotImplemented))

#: Attributes of classes that Python changes by itself.
UNWATCHED = {"__annotations__", "__abstractmethods__", "_abc_impl"}

#: The name of the method that a class has called for each subclass.
HOOK = "__init_subclass__"

_origin = secrets.token_bytes(8)


def _begin_anew() -> None:
    global _origin
    _origin = secrets.token_bytes(8)


os.register_at_fork(after_in_child=_begin_anew)


def is_data(value: Any) -> bool:
    """Tell whether a value may be changed in place: not code, not a module, not a number."""
    if type(value) in (tuple, frozenset):
        return any(map(is_data, value))
    # By its type: an object that stands for another one may make that when it is looked at.
    kind = type(value)
    code = (type, FunctionType, types.BuiltinFunctionType, types.ModuleType)
    return not issubclass(kind, (*ATOMS, *code)) and not is_wrapper(value)


def is_wrapper(value: Any) -> bool:
    """Tell whether an object stands for a function: by `functools.cache`, or compiled by numba."""
    return type(value) is functools._lru_cache_wrapper or is_compiled(value)


def has_changing_defaults(fn: FunctionType) -> bool:
    """Tell whether a default of a function may be changed in place."""
    return any(map(is_data, (*(fn.__defaults__ or ()), *(fn.__kwdefaults__ or {}).values())))


def list_members(cls: type) -> dict[str, Any]:
    """Return the attributes of a class, by dotted names also those of classes and members in it."""
    if is_compiled_class(cls):
        return {}
    found = {
        name: value
        for name, value in dict(vars(cls)).items()  # isinstance adds to those of a protocol
        if name not in NEVER and name not in UNWATCHED
    }
    if issubclass(cls, Enum):
        found = {key: each for key, each in found.items() if not is_of_enum(cls, key, each)}
    for name, value in list(found.items()):
        if isinstance(value, type) and value.__qualname__ == f"{cls.__qualname__}.{name}":
            inner = list_members(value).items()
            found.update((f"{name}.{path}", member) for path, member in inner)
    for name, attributes in list_held(cls):
        found.update((f"{name}.{path}", value) for path, value in attributes.items())
    return found


def list_data(cls: type, members: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the attributes, listed before or not, that may be changed in place, say a list."""
    return {
        path: value
        for path, value in (list_members(cls) if members is None else members).items()
        if _is_value(path, value) and not isinstance(value, cls) and is_data(value)
    }


def _is_value(path: str, value: Any) -> bool:
    """Tell whether an attribute is neither code nor Python's own."""
    is_own = path.rpartition(".")[2].startswith("__")
    return not is_own and not hasattr(type(value), "__get__")


def list_sent(cls: type) -> Iterator[str]:
    """Yield the names of the attributes of a class that are sent by themselves.

    These are functions with defaults that may be changed in place. Of a class that a worker
    imports, they are also values, and functions that are not its source's.
    """
    source = find_source(cls.__module__)
    if source is None:
        yield from list_data(cls)
    for path, value in list_members(cls).items():
        inner = find_inner(value) or (value,)
        functions = [fn for fn in inner if isinstance(fn, FunctionType)]
        own = f"{cls.__qualname__}.{path}"
        if functions:
            changed = source is not None and any(
                fn.__code__ not in source.codes or fn.__qualname__ != own for fn in functions
            )
            if changed or any(map(has_changing_defaults, functions)):
                yield path
        elif source is not None and _is_value(path, value):
            yield path


def reduce_class(cls: type, key: Key | None) -> Any:
    """Return how to pickle a class by value.

    Parameters
    ----------
    cls : type
        The class.
    key : Key or None
        The name that it defines; what can be changed in place is then sent by itself.
    """
    _, arguments, (state, _), _, _, _ = cloudpickle._dynamic_class_reduce(cls)
    held = dict(list_held(cls))
    if _has_own_slots(cls):  # without them, instances would have a __dict__
        with_slots = {**arguments[3], "__slots__": cls.__slots__}  # type: ignore[attr-defined]
        arguments = (*arguments[:3], with_slots, *arguments[4:])
    if key is not None:
        data = list_data(cls)
        state = {name: value for name, value in state.items() if name not in data}
    maker: Callable[..., type] = _make_class
    if issubclass(cls, Enum):
        maker, (parts, state) = _make_enum, reduce_enum(cls, state)
        arguments = (*parts, cls.__qualname__, cls.__module__, arguments[5])
    arguments = (*arguments, key)
    reducer = copyreg.dispatch_table.get(cls)
    return maker, arguments, (_origin, key, reducer, state, held), None, None, _set_class_state


def _has_own_slots(cls: type) -> bool:
    makes_them = issubclass(cls, Enum) or NamedTuple in getattr(cls, "__orig_bases__", ())
    return "__slots__" in vars(cls) and not makes_them


def _make_class(
    metaclass: Any,
    name: str,
    bases: tuple[Any, ...],
    attributes: dict[str, Any],
    tracker_id: str,
    _: None,
    key: Key | None,
) -> type:
    """Make a class without what the user's own code does when one is defined: that is done."""
    resolved = types.resolve_bases(bases)
    if resolved is not bases:
        attributes = {**attributes, "__orig_bases__": bases}
    maker = next(kind for kind in metaclass.__mro__ if not is_sent(kind.__module__))
    with _without_hook(resolved):
        cls: type = maker.__new__(metaclass, name, resolved, dict(attributes))
    return _enter_class(cls, tracker_id, key)


def _make_enum(
    bases: tuple[Any, ...],
    name: str,
    members: dict[str, Any],
    qualname: str,
    module_name: str,
    tracker_id: str,
    key: Key | None,
) -> type:
    with _without_hook(bases):
        cls = make_enum(bases, name, members)
    set_attribute(cls, "__qualname__", qualname)
    set_attribute(cls, "__module__", module_name)
    return _enter_class(cls, tracker_id, key)


def _enter_class(cls: type, tracker_id: str, key: Key | None) -> type:
    known: type = cloudpickle._lookup_class_or_track(tracker_id, cls)
    if key is not None:
        find_namespace(key[0])[key[1]] = known
    return known


@contextlib.contextmanager
def _without_hook(bases: tuple[Any, ...]) -> Iterator[None]:
    """Keep a class of the user from being told of a new subclass."""
    ancestors: list[type] = [kind for base in bases for kind in base.__mro__]
    owner = next(kind for kind in (*ancestors, object) if HOOK in vars(kind))
    if not is_sent(owner.__module__):
        yield
        return
    hook = vars(owner)[HOOK]
    set_attribute(owner, HOOK, classmethod(lambda cls, **options: None))
    try:
        yield
    finally:
        set_attribute(owner, HOOK, hook)


def _set_class_state(cls: type, state: tuple[Any, ...]) -> None:
    origin, key, reducer, attributes, held = state
    if origin == _origin:
        return  # it has come back
    if key is not None:
        find_namespace(key[0])[key[1]] = cls
    registered = attributes.pop("_abc_impl", ())
    # Setting the module deletes the line.
    for name in sorted(attributes, key="__firstlineno__".__eq__):
        set_attribute(cls, name, attributes[name])
    for other in registered:
        cls.register(other)  # type: ignore[attr-defined]
    for name, attributes in held.items():
        vars(cls.__members__[name]).update(attributes)  # type: ignore[attr-defined]
    if reducer is not None:
        copyreg.pickle(cls, reducer)
