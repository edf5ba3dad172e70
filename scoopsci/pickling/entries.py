"""What one name of the program stands for, as it is sent to workers."""

from __future__ import annotations

import itertools
import linecache
import operator
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

from scoopsci.basics.ownership import is_users_module
from scoopsci.pickling.classes import (
    has_changing_defaults,
    is_data,
    list_data,
    list_members,
    list_sent,
)
from scoopsci.pickling.containers import CONTAINERS, Contents
from scoopsci.pickling.frames import Buffer, count_bytes, dump, dump_by, view_of
from scoopsci.pickling.functions import list_cells
from scoopsci.pickling.groups import Group
from scoopsci.pickling.marks import mark_value
from scoopsci.pickling.names import MAIN, TEXT, Key, find_key, true_name
from scoopsci.pickling.pickler import (
    SETS,
    DefinitionPickler,
    Pickler,
    SharingPickler,
    digest_pickle,
    hash_pickle,
)
from scoopsci.pickling.reach import list_dependencies
from scoopsci.pickling.sources import find_source, is_made_here, is_sent, spec_of

__all__ = [
    "MISSING",
    "Deleted",
    "Entry",
    "Restored",
    "define",
    "define_together",
    "is_bound",
    "is_current",
    "name_data",
    "numbers",
]

#: Larger values are compared at the start of a map or run only.
LARGE_BYTES = 1 << 20

#: Attributes of the program's module that it has on a worker, too.
OF_MODULE = ("__file__", "__package__", "__doc__")

MISSING: Any = object()


class Deleted:
    """Stands for a value that the program has deleted."""


class Restored:
    """Stands for what importing the module has made, after the program has set it back."""


#: Of versions, manifests and objects.
numbers = itertools.count(1)


@dataclass(eq=False)
class Entry:
    """What one name stands for.

    Attributes
    ----------
    key : Key
        The name.
    frames : list of buffer
        What a worker needs to define it; empty if it needs nothing.
    mark : bytes
        See `scoopsci.pickling.marks`.
    reached : set of Key
        Names that it refers to.
    version : int
        Differs from that of any other entry of the program.
    """

    key: Key
    value: Any = None
    frames: list[Buffer] = field(default_factory=list)
    mark: bytes = b""
    reached: set[Key] = field(default_factory=set)
    parts: tuple[Any, ...] | None = None
    state: bytes = b""  # of what can be changed in place
    size: int = 0  # in bytes, of what that is computed from
    references: tuple[tuple[Key, int], ...] = ()  # to values of other names, with their ids
    epoch: int = 0  # when a large value was compared last
    object_number: int = field(default_factory=lambda: next(numbers))
    version: int = field(default_factory=lambda: next(numbers))

    @cached_property
    def n_bytes(self) -> int:
        """Size of the frames."""
        return count_bytes(self.frames)


def define(key: Key, names: Mapping[int, Key], before: Entry | None, token: bytes) -> Entry:
    """Return what a name stands for now.

    Parameters
    ----------
    key : Key
        The name.
    names : mapping of int to Key
        From `name_data`.
    before : Entry or None
        What it stood for.
    token : bytes
        Of the program.

    Raises
    ------
    TypeError
        If it cannot be sent.
    """
    module_name, path = key
    if module_name == TEXT:
        return _define_text(path)
    if not path:
        return _define_module(module_name)
    value = _look_up(key)
    entry = Entry(key, value)
    if before is not None and before.value is value:
        if isinstance(value, type):
            return _note_changes(before, value)
        entry.object_number = before.object_number
    was_sent = before is not None and bool(before.frames)
    if value is not MISSING:
        entry.reached.add((module_name, ""))
        _fill(entry, names, token)
        if _is_made_by_import(key, value):
            by_name = dump(Restored) if "." not in path else entry.frames
            entry.frames = by_name if was_sent else []
    elif was_sent or "." in path:
        entry.frames = dump(Deleted)
    return entry


def define_together(group: list[Entry], names: Mapping[int, Key], token: bytes) -> list[Entry]:
    """Return the entries of values that refer to each other; see `define`."""
    values = {entry.key: entry.value for entry in group}
    others = {number: key for number, key in names.items() if key not in values}
    number = token, next(numbers)

    def join(entry: Entry) -> Entry:
        reached = set(entry.reached)
        pickler = partial(SharingPickler, names=others, key=entry.key, sets=set())
        return replace(
            entry,
            frames=_copy_pickle(pickler, Group(number, values, entry.key), reached),
            reached=reached,
            references=(),
            object_number=0,  # the others refer to it, not to what a worker has already
            version=next(numbers),
        )

    return [join(entry) for entry in group]


def _copy_pickle(pickler: Callable[..., Pickler], value: Any, reached: set[Key]) -> list[Buffer]:
    """Pickle a value as it is now, in frames that are compared with others by their memory."""
    return [bytearray(view_of(frame)) for frame in dump_by(pickler, value, reached)]


def is_current(entry: Entry, epoch: int) -> bool:
    """Tell whether a name still stands for the same value, unchanged.

    Parameters
    ----------
    entry : Entry
        What it stood for.
    epoch : int
        A large value is compared once in each.
    """
    if not is_bound(entry) or not _has_same_parts(entry):
        return False
    if any(id(_look_up(key)) != number for key, number in entry.references):
        return False
    if not entry.state or (entry.size > LARGE_BYTES and entry.epoch == epoch):
        return True
    try:
        is_same = _has_same_frames(entry) or hash_pickle(entry.value, entry.key) == entry.state
    except Exception:  # it can no longer be pickled
        return False
    entry.epoch = epoch if is_same else entry.epoch
    return is_same


def _look_up(key: Key) -> Any:
    """Return what a name stands for in this process."""
    module_name, path = key
    module = sys.modules.get(module_name)
    found: Any = MISSING
    attributes: Mapping[str, Any] = {} if module is None else vars(module)
    for name in path.split("."):
        found = attributes.get(name, MISSING)
        attributes = getattr(found, "__dict__", {})
    return found


def is_bound(entry: Entry) -> bool:
    """Tell whether a name still stands for the same object."""
    module_name, path = entry.key
    if module_name == TEXT:
        return True
    return (_look_up(entry.key) if path else _identify_module(module_name)) is entry.value


def _has_same_frames(entry: Entry) -> bool:
    """Compare a large value with what was sent, which takes less time than a hash."""
    if entry.n_bytes <= LARGE_BYTES:
        return False
    pickler = partial(DefinitionPickler, key=entry.key)
    frames = [memoryview(frame) for frame in dump_by(pickler, entry.value)]
    return len(frames) == len(entry.frames) and all(map(operator.eq, entry.frames, frames))


def _identify_module(module_name: str) -> Any:
    """Return an object that is another one once a module has been loaded again."""
    if is_made_here(module_name):
        return sys.modules.get(module_name)
    return spec_of(module_name)


def name_data(module_names: Iterable[str]) -> dict[int, Key]:
    """Return the names of the values in modules that can be changed in place, by their ids."""
    found: dict[int, Key] = {}
    for name in sorted(module_names, key=lambda name: (name == MAIN, name)):
        if name in sys.modules and is_sent(name):
            values = vars(sys.modules[name]).items()
            for path, value in sorted(values, key=lambda item: item[0].startswith("_")):
                if _is_own(path) and is_data(value):
                    found.setdefault(id(value), (name, path))
    return found


def _is_own(name: str) -> bool:
    """Tell whether the program has given a name, rather than Python or a notebook, as `_1`."""
    return not name.startswith("__") and name.removeprefix("_")[:1].isalpha()


def _list_parts(value: Any) -> tuple[Any, ...]:
    """Return what a function or class consists of, to be compared by identity."""
    if isinstance(value, types.FunctionType):
        defaults = value.__defaults__, value.__kwdefaults__
        held = *defaults, *list_cells(value), *vars(value).values()
        return (value.__code__, *held, *list_dependencies(value))
    if isinstance(value, type):
        members = list_members(value)
        data = list_data(value, members)
        known = {name: MISSING if name in data else each for name, each in members.items()}
        return tuple(part for member in known.items() for part in member)
    return ()


def _has_same_parts(entry: Entry) -> bool:
    if entry.parts is None:
        return True
    parts = _list_parts(entry.value)
    return len(parts) == len(entry.parts) and all(map(_is_same_part, parts, entry.parts))


def _is_same_part(one: Any, other: Any) -> bool:
    return one is other or (type(one) in (int, str) and one == other)


def _define_text(place: str) -> Entry:
    """Keep the text of a file, for tracebacks and warnings on hosts that do not have it."""
    lines = linecache.getlines(place)
    frames = dump(lines) if lines else []
    return Entry((TEXT, place), frames=frames)


def _define_module(module_name: str) -> Entry:
    entry = Entry((module_name, ""), _identify_module(module_name))
    source = find_source(module_name)
    package = module_name.rpartition(".")[0]
    if package and find_source(package) is not None:  # imported first, whatever it imports
        entry.reached.add((package, ""))
    if source is not None:
        entry.reached.update((name, "") for name in source.imports)
        entry.frames = dump(source.as_fields())
    elif module_name not in sys.modules or not is_sent(module_name):
        entry.frames = dump({})
    elif is_made_here(module_name):
        module = sys.modules[module_name]
        spec = spec_of(module_name)
        attributes = {name: vars(module).get(name) for name in OF_MODULE}
        entry.frames = dump({"attributes": attributes, "run_as": spec and spec.name})
        # A worker may have imported the library's; a task may name them in a text only.
        entry.reached.update((name, "") for name in sys.stdlib_module_names if _is_hidden(name))
    return entry


def _is_hidden(name: str) -> bool:
    """Tell whether a module of the user's takes the place of the standard library's."""
    return name in sys.modules and is_users_module(name)


def _note_changes(before: Entry, cls: type) -> Entry:
    """Return the entry of a class of which attributes have been set: these are sent by name."""
    module_name, path = before.key
    parts = _list_parts(cls)
    old, new = (
        dict(zip(each[::2], each[1::2], strict=True)) for each in (before.parts or (), parts)
    )
    changed = {
        (module_name, f"{path}.{name}")
        for name in old.keys() | new.keys()
        if name not in old or name not in new or old[name] is not new[name]
    }
    return replace(before, reached=before.reached | changed, parts=parts)


def _fill(entry: Entry, names: Mapping[int, Key], token: bytes) -> None:
    """Pickle what a name stands for, and note what this refers to."""
    key, value = entry.key, entry.value
    if isinstance(value, types.ModuleType):
        entry.reached.add((true_name(value.__name__), ""))
        entry.frames = dump(value) if is_made_here(key[0]) else []
        return
    known = find_key(value) if isinstance(value, (type, types.FunctionType)) else None
    if known in (None, key):
        entry.parts = _list_parts(value)
    if isinstance(value, type) and known == key:
        entry.reached.update((key[0], f"{key[1]}.{name}") for name in list_sent(value))
    try:
        is_begun = type(value) in CONTAINERS and names.get(id(value)) == key and "." not in key[1]
        sent = Contents(key, (token, entry.object_number), value) if is_begun else value
        sets = {type(value)}.intersection(SETS)
        pickler = partial(SharingPickler, names=names, key=key, is_begun=is_begun, sets=sets)
        referred: set[Key] = set()
        frames = _copy_pickle(pickler, sent, referred)
        entry.reached |= referred
        entry.references = tuple(
            (each, id(_look_up(each))) for each in referred.intersection(names.values())
        )
        if is_data(value) or any(map(is_data, _list_held(value))):
            entry.state, entry.size = digest_pickle(value, key)
        has_order = is_data(value) and not sets and not entry.references
        entry.mark = entry.state if has_order else mark_value(key, value)
    except (Exception, SystemExit) as error:
        if is_made_here(key[0]):
            raise TypeError(_say_unsent(key, error)) from error
        return  # it is made by importing the module on a worker
    entry.frames = frames


def _list_held(value: Any) -> tuple[Any, ...]:
    """Return the defaults, closure and attributes of a function."""
    return _list_parts(value)[1:] if isinstance(value, types.FunctionType) else ()


def _is_made_by_import(key: Key, value: Any) -> bool:
    """Tell whether importing the module makes the same on a worker."""
    source = None if is_made_here(key[0]) else find_source(key[0])
    if source is None or find_key(value) != key:
        return False
    if isinstance(value, types.FunctionType):
        is_plain = not vars(value) and not has_changing_defaults(value)
        return is_plain and value.__code__ in source.codes
    return isinstance(value, type)


def _say_unsent(key: Key, error: BaseException) -> str:
    module_name, path = key
    return (
        f"global {path!r} of module {module_name!r}, which the task uses, cannot be sent to "
        f"workers: {error}; make it there, within the function or by the initializer= of the "
        "pool, or pass what it is made from"
    )
