"""The pickler of calls and results: cloudpickle's, which knows the user's modules by name."""

from __future__ import annotations

import copyreg
import hashlib
import io
import itertools
import pickle
import secrets
import sys
import types
from collections import ChainMap
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import cloudpickle

from scoopsci.basics.members import is_compiled_class
from scoopsci.pickling.classes import is_data, is_wrapper, reduce_class
from scoopsci.pickling.exceptions import reduce_exception
from scoopsci.pickling.functions import (
    NamespaceOf,
    find_cell,
    make_function,
    reduce_code,
    set_function_state,
    take_state,
)
from scoopsci.pickling.names import Key, find, find_key, hooks, name_home, true_name
from scoopsci.pickling.reach import list_reached
from scoopsci.pickling.reducers import PARAMETERS, REDUCERS, reduce_compiled_class
from scoopsci.pickling.resources import RESOURCES, WEAK
from scoopsci.pickling.sources import is_made_here, is_sent

__all__ = [
    "HASH_BYTES",
    "SETS",
    "DefinitionPickler",
    "Pickler",
    "SharingPickler",
    "digest_pickle",
    "hash_pickle",
    "pickle_exception",
    "prune_cells",
]


HASH_BYTES = 16

SETS = (set, frozenset)


class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickles functions and classes of the user by name, and what has no name by value.

    Attributes
    ----------
    reached : set of Key
        The names in the user's modules to which the pickle refers.
    """

    dispatch_table: ClassVar[Any] = ChainMap(
        {
            **WEAK,
            **REDUCERS,
            types.CodeType: reduce_code,
            types.CellType: lambda _: (types.CellType, ()),  # a function's state has the contents
        },
        cloudpickle.Pickler.dispatch_table,
    )
    with_cause = True

    def __init__(
        self, file: io.BytesIO, *, buffer_callback: Callable[[Any], Any] | None = None
    ) -> None:
        super().__init__(file, protocol=5, buffer_callback=buffer_callback)
        self.reached: set[Key] = set()
        self._defined: Key | None = None
        self._namespaces: dict[str, NamespaceOf] = {}

    def reducer_override(self, obj: Any) -> Any:
        """Return how to pickle an object; see `pickle.Pickler.reducer_override`."""
        if isinstance(obj, BaseException):
            return reduce_exception(obj, with_cause=self.with_cause)
        if isinstance(obj, types.ModuleType):
            self._note_module(obj)
        elif type(obj) in PARAMETERS:
            return self._reduce_parameter(obj)
        is_class = isinstance(obj, type)
        if is_compiled_class(obj):
            return self._reduce_compiled(obj)
        if is_class and type(obj) in copyreg.dispatch_table:
            return NotImplemented  # its metaclass defines how
        if not is_class and not isinstance(obj, types.FunctionType) and not is_wrapper(obj):
            return super().reducer_override(obj)
        key = find_key(obj)
        if key is None:
            return self._reduce_value(obj, None)
        return self._refer(obj, key) if is_sent(key[0]) else super().reducer_override(obj)

    def _reduce_compiled(self, cls: Any) -> Any:
        """Reduce a class that numba compiles, and does not let pickle find by name."""
        key = find_key(cls)
        if key is None:
            return self._reduce_value(cls, None)
        reduced = self._refer(cls, key) if is_sent(key[0]) else NotImplemented
        return (find, key) if reduced is NotImplemented else reduced

    def _refer(self, obj: Any, key: Key) -> Any:
        module_name, path = key
        if self._defined is not None and _is_part(key, self._defined):
            return self._reduce_value(obj, key if key == self._defined else None)
        top = module_name, path.partition(".")[0]
        if not is_made_here(module_name):
            self.reached.add(top)
            return NotImplemented  # pickle does it by name
        if not self.is_known(top):
            return self._reduce_value(obj, None)
        self.reached.add(top)
        return find, key

    def _note_module(self, module: types.ModuleType) -> None:
        """Note all names of a module: which of them are used is not known."""
        if is_sent(module.__name__):
            self.reached.add((true_name(module.__name__), ""))
            if not is_made_here(module.__name__):
                names = [name for name in vars(module) if not name.startswith("__")]
                self.reached.update((module.__name__, name) for name in names)

    def _reduce_parameter(self, obj: Any) -> Any:
        """Reduce what annotations are made from, which pickle knows by name only."""
        module = sys.modules.get(obj.__module__)
        key = true_name(str(obj.__module__)), str(obj.__name__)
        is_found = getattr(module, obj.__name__, None) is obj
        if not is_found or not is_made_here(key[0]) or not self.is_known(key):
            return super().reducer_override(obj)
        if key == self._defined:
            return PARAMETERS[type(obj)](obj)
        self.reached.add(key)
        return find, key

    def is_known(self, key: Key) -> bool:
        """Tell whether the other side knows a name of a module that only the driver can make."""
        return hooks.has_defined is None or hooks.has_defined(key)

    def _reduce_value(self, obj: Any, key: Key | None) -> Any:
        if isinstance(obj, types.FunctionType):
            home = name_home(obj)
            if home is None:
                return self._reduce_homeless(obj)
            return self._reduce_function(obj, home, key)
        if is_compiled_class(obj):
            return reduce_compiled_class(obj)
        reduced = super().reducer_override(obj)
        is_dynamic = isinstance(reduced, tuple) and len(reduced) > 2
        return reduce_class(obj, key) if isinstance(obj, type) and (is_dynamic or key) else reduced

    def _reduce_function(self, fn: types.FunctionType, home: str, key: Key | None) -> Any:
        if is_sent(home):
            self.reached.update(list_reached(fn, home))
        namespace = self._namespaces.setdefault(home, NamespaceOf(home))
        arguments = fn.__code__, namespace, fn.__closure__, key
        return make_function, arguments, take_state(fn), None, None, set_function_state

    def _reduce_homeless(self, fn: types.FunctionType) -> Any:
        """Reduce a function whose globals are those of no module: it takes along what it reads."""
        namespace = self._function_getnewargs(fn)[1]
        known = cloudpickle.cloudpickle._function_getstate(fn)[1]["__globals__"]
        arguments = fn.__code__, namespace, fn.__closure__, None
        return make_function, arguments, (*take_state(fn), known), None, None, set_function_state


def _is_part(key: Key, whole: Key) -> bool:
    return key[0] == whole[0] and f"{key[1]}.".startswith(f"{whole[1]}.")


class _Numbers:
    """Numbers the cells of closures that the program's own functions share.

    A version stands for contents: they are set on a worker when they are another object here, or
    have been changed in place.
    """

    def __init__(self) -> None:
        self._process = secrets.token_bytes(8)
        self._count = itertools.count()
        self._known: dict[int, tuple[bytes, types.CellType]] = {}
        self._objects: dict[int, tuple[bytes, Any]] = {}
        self._within: set[int] = set()

    def reduce(self, cell: types.CellType) -> Any:
        """Return how to pickle a cell, without its contents."""
        if id(cell) not in self._known:  # the cell is kept, so that its id is not reused
            self._known[id(cell)] = self._number(), cell
        return find_cell, (self._known[id(cell)][0], self._find_version(cell))

    def _number(self) -> bytes:
        return self._process + next(self._count).to_bytes(8, "big")

    def prune(self) -> None:
        """Forget cells that no function has any more."""
        for number in [key for key, known in self._known.items() if sys.getrefcount(known[1]) < 3]:
            del self._known[number]
            self._objects.pop(number, None)

    def _find_version(self, cell: types.CellType) -> bytes:
        contents = cloudpickle.cloudpickle._get_cell_contents(cell)
        if is_data(contents) and id(cell) not in self._within:
            self._within.add(id(cell))
            try:
                return hash_pickle(contents)
            finally:
                self._within.discard(id(cell))
        version, known = self._objects.get(id(cell), (b"", cell))
        if known is not contents:
            version = self._number()
            self._objects[id(cell)] = version, contents
        return version


_numbers = _Numbers()
prune_cells = _numbers.prune


class DefinitionPickler(Pickler):
    """Pickles what a name in a module that only the driver can make stands for.

    Parameters
    ----------
    file, buffer_callback
        See `pickle.Pickler`.
    key : Key, optional
        The name.
    """

    dispatch_table: ClassVar[Any] = ChainMap(
        {types.CellType: _numbers.reduce}, RESOURCES, Pickler.dispatch_table
    )

    def __init__(
        self,
        file: io.BytesIO,
        *,
        key: Key | None = None,
        buffer_callback: Callable[[Any], Any] | None = None,
    ) -> None:
        super().__init__(file, buffer_callback=buffer_callback)
        self._defined = key


def digest_pickle(
    value: Any, key: Key | None = None, make_pickler: type[DefinitionPickler] = DefinitionPickler
) -> tuple[bytes, int]:
    """Return a hash that differs once a value has been changed in place, and of how many bytes.

    Parameters
    ----------
    value : object
        The value.
    key : Key, optional
        The name that stands for it.
    make_pickler : type
        How it is pickled.
    """
    file, buffers = io.BytesIO(), list[pickle.PickleBuffer]()
    make_pickler(file, key=key, buffer_callback=buffers.append).dump(value)
    parts = [file.getbuffer(), *(buffer.raw() for buffer in buffers)]
    digest = hashlib.sha256()  # processors have instructions for it
    for part in parts:
        digest.update(b"%d " % part.nbytes)
        digest.update(part)
    return digest.digest()[:HASH_BYTES], sum(part.nbytes for part in parts)


def hash_pickle(value: Any, key: Key | None = None) -> bytes:
    """Return the hash of `digest_pickle`."""
    return digest_pickle(value, key)[0]


class SharingPickler(DefinitionPickler):
    """The same, with references to the values of other names, which are not sent again.

    Parameters
    ----------
    names : mapping of int to Key
        The names of values by their ids.
    is_begun : bool
        Whether the value itself is defined before what is pickled is loaded.
    sets : set of type
        The types of the sets in it are added.
    """

    def __init__(
        self,
        file: io.BytesIO,
        *,
        names: Mapping[int, Key],
        is_begun: bool = False,
        sets: set[type],
        **how: Any,
    ) -> None:
        super().__init__(file, **how)
        self._names = names
        self._is_begun = is_begun
        self._sets = sets

    def persistent_id(self, obj: Any) -> Key | None:
        """Return the name of a value; see `pickle.Pickler.persistent_id`."""
        if issubclass(type(obj), SETS):
            self._sets.add(type(obj))
        key = self._names.get(id(obj))
        if key is None or (key == self._defined and not self._is_begun):
            return None
        self.reached.add(key)
        return key


def pickle_exception(error: BaseException, *, with_cause: bool = True) -> bytes:
    """Pickle an exception.

    Parameters
    ----------
    error : BaseException
        The exception.
    with_cause : bool
        Whether to keep its causes.
    """
    file = io.BytesIO()
    pickler = Pickler(file)
    pickler.with_cause = with_cause
    pickler.dump(error)
    return file.getvalue()
