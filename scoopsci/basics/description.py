"""A description of values and of all that they refer to, as text that is hashed."""

from __future__ import annotations

import functools
import hashlib
import types
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

import numpy as np

from scoopsci.basics.bytecode import read_code
from scoopsci.basics.members import (
    NEVER,
    WEAK,
    find_ignored,
    find_inner,
    is_compiled,
    is_users,
    is_wrapper,
    list_arguments,
    list_cells,
    read_hook,
    reduce,
)
from scoopsci.basics.moved import former_name
from scoopsci.basics.ownership import is_users_module
from scoopsci.basics.randomness import GENERATORS, find_shared, is_distribution

__all__ = ["Description", "Findings"]

PLAIN = (type(None), bool, float, complex, str, bytes, range, np.generic)

#: Names within names, from which on attributes count for the object that has them.
DEEPEST = 16

#: Number of parts that are kept before they are hashed.
N_PARTS = 4096


class Findings:
    """What a walk encounters besides the values themselves."""

    def __init__(self) -> None:
        self.reaches_compiled = False
        self.generators: dict[str, str] = {}
        self._distributions: dict[str, str] = {}
        self._words: set[str] = set()

    def note_words(self, words: Iterable[str], attributes: Iterable[str]) -> None:
        """Note words of code, and names of attributes that it reads."""
        self._words.update({"random_state"}.intersection(words))
        self._words.update({"random_state", "rvs"}.intersection(attributes))

    def note_distribution(self, path: str) -> None:
        """Note a distribution of SciPy."""
        self._distributions[path] = "a distribution that draws without random_state=rng"

    def doubts(self) -> dict[str, str]:
        """Return generators; and distributions, if numbers are drawn without naming one."""
        return self.generators | (self._distributions if self._words == {"rvs"} else {})


class Description:
    """Walks through values and the objects they refer to, each of them once.

    Functions and classes of the user are described under their own names, and other objects under
    the name by which they are reached first.

    Parameters
    ----------
    has_names : bool
        Whether to keep a digest for each name.
    most_items : int, optional
        Look at no more items of each container: enough for what it encounters, and no hash.

    Attributes
    ----------
    names : dict
        If `has_names`, a digest for each name.
    found : Findings
        What it encountered.
    """

    def __init__(self, *, has_names: bool = False, most_items: int | None = None) -> None:
        self.names: dict[str, Any] = {}
        self.found = Findings()
        self._has_names, self._most_items = has_names, most_items
        self._digest = hashlib.sha256()
        self._parts: list[str] = []
        self._path = ""
        # Both keep the objects alive, so that no id is reused.
        self._seen: dict[int, tuple[str, Any]] = {}
        self._owned: dict[int, tuple[str, Any]] = {}
        self._n_seen: Counter[str] = Counter()
        self._globals: set[Any] = set()
        self._ignored: dict[type, frozenset[str]] = {}
        self._sets: dict[int, tuple[str, Any]] = {}
        self._within_distribution = False

    @property
    def hash(self) -> str:
        """The hash of all values that were added."""
        self._flush()
        return self._digest.hexdigest()

    def add(self, value: Any, path: str = "0") -> None:
        """Describe a value, independently of those before, but for the user's code."""
        self._path = path
        self._seen = dict(self._sets)
        if is_users(value):
            self._own(value, path)
            self._parts.append(type(value).__qualname__)
            self._describe_owned(value)
        else:
            self._describe(value)
        self._flush()

    def _flush(self) -> None:
        if self._parts:
            data = "\0".join([*self._parts, ""]).encode()
            self._parts.clear()
            self._digest.update(data)
            if self._has_names:
                self.names.setdefault(self._path, hashlib.sha256()).update(data)

    def _describe_at(self, path: str, describe: Callable[..., None], *values: Any) -> None:
        """Call a method so that what it describes counts for a name."""
        before = self._path
        after = before if path.count(".") > DEEPEST else path
        if self._has_names:
            self._flush()
        self._path = after
        describe(*values)
        if self._has_names:
            self._flush()
        self._path = before

    def _describe(self, value: Any) -> None:
        kind = type(value)
        if kind in PLAIN or isinstance(value, np.generic):
            self._parts.append(f"{kind.__name__} {value!r}")
        elif kind is int:
            self._parts.append(f"int {value:x}")  # decimal digits are limited
        elif id(value) in self._seen:
            self._parts.append(self._seen[id(value)][0])
        elif is_users(value):
            self._refer(value)
        else:
            self._seen[id(value)] = f"again {self._count(self._path)}", value
            self._parts.append(kind.__qualname__)
            self._describe_object(value)

    def _count(self, path: str) -> str:
        self._n_seen[path] += 1
        return f"{path} {self._n_seen[path]}"

    def _own(self, value: Any, path: str) -> None:
        self._owned[id(value)] = f"{type(value).__qualname__} {self._count(path)}", value

    def _refer(self, value: Any) -> None:
        """Name a function or class of the user, and describe it where it is named first."""
        is_new = id(value) not in self._owned
        if is_new:
            self._own(value, value.__qualname__)
        self._parts.append(self._owned[id(value)][0])
        if is_new:
            self._describe_at(value.__qualname__, self._describe_owned, value)

    def _describe_owned(self, value: Any) -> None:
        if isinstance(value, type):
            self._describe_class(value)
        else:
            self._describe_function(value)

    def _describe_object(self, value: Any) -> None:
        if type(value) in (np.ndarray, np.memmap) and not value.dtype.hasobject:
            data = hashlib.sha256(value.tobytes()).hexdigest()
            self._parts.append(f"{value.dtype.descr} {value.shape} {data}")
        elif type(value) in (list, tuple):
            self._parts.append(f"{len(value)}")
            self._describe_all(value)
        elif type(value) in (set, frozenset):
            self._describe_set(value)
        elif type(value) in (dict, types.MappingProxyType):
            self._describe_all(part for item in value.items() for part in item)
        elif isinstance(value, (bytearray, memoryview)):
            self._parts.append(bytes(value).hex())
        elif isinstance(value, types.CodeType):
            self._parts.append(read_code(value).text)
        elif not isinstance(value, WEAK):
            self._describe_behaviour(value)

    def _describe_behaviour(self, value: Any) -> None:
        """Describe what may be called, and any other object."""
        if is_compiled(value):
            self._describe_compiled(value)
        elif isinstance(value, functools.partial):
            self._describe_all((type(value), value.func))
            arguments = [("args", value.args), *value.keywords.items()]
            self._describe_members("argument", arguments)
            self._describe_members(
                "attribute", sorted(vars(value).items()), self._find_ignored(value)
            )
        elif isinstance(value, types.MethodType):
            self.found.note_words((), [value.__name__])
            self._describe(value.__func__)
            kind = type(value.__self__)
            home = kind.__qualname__ if is_users(kind) else self._path
            self._describe_at(home, self._describe, value.__self__)
        elif isinstance(value, (types.BuiltinMethodType, types.MethodWrapperType)) and not (
            isinstance(value.__self__, (types.ModuleType, type(None)))
        ):
            self._describe_all((value.__name__, value.__self__))
        elif (inner := find_inner(value)) is not None:
            self._describe_all(inner)
        elif isinstance(value, types.ModuleType) or (
            hasattr(value, "__qualname__") and not is_wrapper(value)
        ):
            home = str(getattr(value, "__module__", ""))
            self._parts.append(f"{former_name(home)} {former_name(value.__name__)}")
        elif isinstance(value, GENERATORS):
            self._describe_generator(value)
        else:
            self._describe_instance(value)

    def _describe_all(self, values: Iterable[Any]) -> None:
        for value in islice(values, self._most_items):
            if len(self._parts) > N_PARTS:
                self._flush()
            self._describe(value)

    def _describe_set(self, values: Any) -> None:
        """Describe each item by itself, as their order differs between processes."""
        hashes = []
        for value in islice(values, self._most_items):
            inner = Description(most_items=self._most_items)
            inner.found = self.found
            inner._sets = {**self._sets, id(values): self._seen[id(values)]}
            inner.add(value, self._path)
            hashes.append(inner.hash)
        self._parts.extend(sorted(hashes))

    def _describe_members(
        self,
        kind: str,
        members: Iterable[tuple[str, Any]],
        ignored: frozenset[str] = NEVER,
        has_names: bool = True,
    ) -> None:
        for name, value in members:
            if name not in ignored:
                path = f"{self._path}.{name}" if has_names else self._path
                self._describe_at(path, self._describe_member, f"{kind} {name}", value)

    def _describe_member(self, title: str, value: Any) -> None:
        self._parts.append(title)
        self._describe(value)

    def _describe_compiled(self, value: Any) -> None:
        self.found.reaches_compiled = True
        self._refer(value.py_func)
        self._describe_all((value.targetoptions, repr(value.locals)))
        self._parts.append("any" if value._can_compile else str(value.signatures))

    def _describe_function(self, fn: types.FunctionType) -> None:
        reading = read_code(fn.__code__)
        self.found.note_words(reading.words, reading.names)
        self._parts.append(reading.text)
        ignored = NEVER | read_hook(vars(fn))
        self._describe_members("default", list_arguments(fn), ignored)
        self._describe_members("closure", list_cells(fn), ignored)
        self._describe_members("attribute", sorted(vars(fn).items()), ignored)
        self._describe_globals(fn.__globals__, "", reading.global_names - ignored, reading.names)

    def _describe_globals(
        self, namespace: dict[str, Any], prefix: str, wanted: frozenset[str], names: frozenset[str]
    ) -> None:
        """Describe globals once each; and of the user's modules, the attributes that are named."""
        for name in sorted(wanted & namespace.keys()):
            value, path = namespace[name], prefix + name
            if (id(namespace), name) not in self._globals:
                self._globals.add((id(namespace), name))
                self._describe_at(path, self._describe_member, f"global {name}", value)
            is_own = isinstance(value, types.ModuleType) and is_users_module(value.__name__)
            if is_own and (id(value), names) not in self._globals:
                self._globals.add((id(value), names))
                self._describe_globals(vars(value), f"{path}.", names, names)

    def _describe_class(self, cls: type) -> None:
        self._parts.append(cls.__qualname__)
        ignored = find_ignored(cls)
        self._describe_members("attribute", sorted(vars(cls).items()), ignored)
        self._describe_all((type(cls), *cls.__bases__))

    def _describe_generator(self, value: Any) -> None:
        shared = find_shared(value)
        if not self._within_distribution:
            kind = f"a {type(value).__name__}" if shared is None else f"a method of {shared}"
            self.found.generators.setdefault(self._path, kind)
        if shared is None:
            self._describe_all(reduce(value)[0])
        else:
            self._parts.append(shared)  # whose state is not the function's

    def _describe_instance(self, value: Any) -> None:
        before = self._within_distribution
        if not before and is_distribution(value):
            self.found.note_distribution(self._path)
            self._within_distribution = True
        parts, attributes = reduce(value)
        self._describe_all(parts)
        has_names = is_users(type(value)) or is_wrapper(value)
        ignored = self._find_ignored(value)
        self._describe_members("attribute", sorted(attributes.items()), ignored, has_names)
        self._within_distribution = before

    def _find_ignored(self, value: Any) -> frozenset[str]:
        kind = type(value)
        if kind not in self._ignored:
            self._ignored[kind] = find_ignored(kind, of_instances=True)
        return self._ignored[kind] | read_hook(getattr(value, "__dict__", {}))
