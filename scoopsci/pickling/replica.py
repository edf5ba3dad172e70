"""The program as a worker has it: the driver's modules and definitions, installed as needed."""

from __future__ import annotations

import builtins
import contextlib
import importlib
import importlib.abc
import importlib.util
import io
import linecache
import pickle
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec
from importlib.readers import FileReader
from pathlib import Path
from types import ModuleType
from typing import Any

from scoopsci.basics.ownership import is_users_module
from scoopsci.pickling.attributes import delete_attribute, set_attribute
from scoopsci.pickling.containers import adopt
from scoopsci.pickling.entries import Deleted, Restored
from scoopsci.pickling.exceptions import find_builtin
from scoopsci.pickling.frames import Buffer, load
from scoopsci.pickling.functions import copy_function, is_one_definition
from scoopsci.pickling.marks import mark_value
from scoopsci.pickling.names import MAIN, TEXT, Key, find, hooks
from scoopsci.pickling.program import Row

__all__ = ["PROGRAM", "MissingError", "replicas"]

MISSING: Any = object()

#: The names of the program's own module: the second one is multiprocessing's.
PROGRAM = (MAIN, "__mp_main__")


class MissingError(LookupError):
    """A worker has not been sent yet what a task needs."""


class _Unpickler(pickle.Unpickler):
    """Resolves references to the values of names."""

    def persistent_load(self, key: Key) -> Any:
        return find(*key)


class _Loader(importlib.abc.ExecutionLoader):
    """Loads a module from its source in the driver."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.text, self.place, self.search = fields["text"], fields["place"], fields["search"]
        self.made: dict[str, Any] = {}

    def get_filename(self, fullname: str) -> str:
        return self.place or f"<{fullname}>"

    def get_source(self, fullname: str) -> str:
        return str(self.text)

    def is_package(self, fullname: str) -> bool:
        return self.search is not None

    @property
    def path(self) -> str:
        """The module's file, beside which are those of its package, where this host has them."""
        return self.place or ""

    def get_data(self, path: str) -> bytes:
        return Path(path).read_bytes()

    def get_resource_reader(self, fullname: str) -> FileReader | None:
        return FileReader(self) if self.place else None  # type: ignore[arg-type]

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        self.made = dict(vars(module))


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules of a replica."""

    def __init__(self, loaders: Mapping[str, _Loader]) -> None:
        self._loaders = loaders

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        loader = self._loaders.get(fullname)
        if loader is None:
            return None
        if loader.place is None:  # a package without a file of its own
            spec = ModuleSpec(fullname, loader, is_package=True)
            spec.submodule_search_locations = list(loader.search or ())
            return spec
        search = None if loader.search is None else list(loader.search)
        return importlib.util.spec_from_file_location(
            fullname, loader.place, loader=loader, submodule_search_locations=search
        )


class Replica:
    """The definitions of one driver in this process.

    Parameters
    ----------
    main : module
        The program's own module.
    made : mapping, optional
        What loading the program here has made in its modules, by their names.
    is_private : bool
        Whether modules that are in use here already are left alone, and imported once more.
    """

    def __init__(
        self,
        main: ModuleType,
        made: Mapping[str, dict[str, Any]] | None = None,
        *,
        is_private: bool = False,
    ) -> None:
        self.main = main
        self._made = made or {MAIN: dict(vars(main))}
        self.loaders: dict[str, _Loader] = {}
        self._finder = _Finder(self.loaders)
        self._is_private = is_private
        # Classes of children that were spawned by multiprocessing have the other name.
        self._modules = dict.fromkeys(PROGRAM, main)
        self._displaced: dict[str, ModuleType] = {}
        self._installed: dict[Key, Row] = {}
        self._rows: dict[int, list[Row]] = {}
        self._complete: set[int] = set()
        self._pending: dict[Key, tuple[Row, list[Buffer]]] = {}

    def has_defined(self, key: Key) -> bool:
        """Tell whether the driver has defined a name."""
        return key in self._installed or (key[0] == MAIN and key[1] in self._made[MAIN])

    def install(self, number: int, frames: Sequence[Buffer]) -> None:
        """Install what a task needs.

        Parameters
        ----------
        number : int
            Of the manifest.
        frames : sequence of buffer
            The rows of the manifest, and what they define; or nothing.

        Raises
        ------
        MissingError
            If this process has not been sent all that it does not have.
        """
        if number in self._complete:
            return
        if frames:
            self._rows[number] = pickle.loads(frames[0])
        elif number not in self._rows:
            raise MissingError(number)
        self._pending = self._take_new(self._rows[number], frames[1:])
        keys = list(self._pending)
        if any(key in self._installed for key in keys):
            self._complete.clear()
        modules = [key for key in keys if key[0] == TEXT or not key[1]]
        for key in modules:
            self.prepare(key)
        for name in dict.fromkeys(name for name, path in keys if path and name != TEXT):
            importlib.import_module(name)  # first, as it may change what is defined
        for key in keys:
            self.prepare(key)
        self._complete.add(number)

    def _take_new(
        self, rows: list[Row], frames: Sequence[Buffer]
    ) -> dict[Key, tuple[Row, list[Buffer]]]:
        """Return what is not installed in the version of a row, with its frames."""
        new, at = {}, 0
        for row in rows:
            found, at = [*frames[at : at + row.n_frames]], at + row.n_frames
            present = self._installed.get(row.key)
            if present is not None and present.version == row.version:
                continue
            if not found:
                raise MissingError(row.key)
            new[row.key] = row, found
        return new

    def prepare(self, key: Key) -> None:
        """Define a name if it is to be defined and has not been yet."""
        if key not in self._pending:
            return
        row, frames = self._pending.pop(key)
        module_name, path = key
        if module_name == TEXT:
            lines = load(frames)
            linecache.cache.setdefault(path, (sum(map(len, lines)), None, lines, path))
        elif not path:
            self._provide(module_name, load(frames))
        else:
            self._define(row, frames)
        self._installed[key] = row

    def _provide(self, module_name: str, fields: Mapping[str, Any]) -> None:
        """Make a module available under its name."""
        if "text" in fields:
            self._serve(module_name, _Loader(fields))
        elif "attributes" in fields:
            module = self.main
            if module_name != MAIN:
                module = sys.modules.setdefault(module_name, _make_module(module_name))
            vars(module).update(fields["attributes"])
            if fields["run_as"] is not None:
                module.__spec__ = ModuleSpec(fields["run_as"], None, origin=module.__file__)
        else:
            importlib.import_module(module_name)

    def _serve(self, module_name: str, loader: _Loader) -> None:
        is_own = module_name in self.loaders
        self.loaders[module_name] = loader
        module = sys.modules.get(module_name)
        if module is None or (_read_source(module) == loader.text and not self._is_private):
            return
        if is_own:
            importlib.reload(module)
            for key in [each for each in self._installed if each[0] == module_name]:
                del self._installed[key]
        else:  # another module of that name
            self._displaced[module_name] = sys.modules.pop(module_name)

    def enter(self) -> None:
        """Let its modules replace those of this process."""
        for name in self._modules:
            if name in sys.modules:
                self._displaced[name] = sys.modules[name]
        sys.modules.update(self._modules)
        sys.meta_path.insert(0, self._finder)
        hooks.prepare, hooks.has_defined = self.prepare, self.has_defined

    def leave(self) -> None:
        """Put back the modules that it has replaced."""
        names = [*PROGRAM, *self.loaders]
        self._modules = {name: sys.modules.pop(name) for name in names if name in sys.modules}
        sys.modules.update(self._displaced)
        sys.meta_path.remove(self._finder)
        hooks.prepare = hooks.has_defined = None

    def _define(self, row: Row, frames: list[Buffer]) -> None:
        module_name, path = key = row.key
        *owners, name = path.split(".")
        module = importlib.import_module(module_name)
        owner: Any = find(module_name, ".".join(owners)) if owners else module
        present = vars(owner).get(name, MISSING)
        before = self._installed.get(key)
        is_same = before is not None and before.number == row.number
        if present is not MISSING and before is None:
            made = present if owners else self._find_made(module).get(name, MISSING)
            if present is not made:
                return  # a task has set it
            if not owners:
                adopt(key, present)
                is_same = True
            is_method = bool(owners) and hasattr(type(present), "__get__")
            if not is_method and _has_mark(key, present, row.mark):
                return  # it is what the driver has
        value = _Unpickler(io.BytesIO(frames[0]), buffers=frames[1:]).load()
        if value is Deleted:
            if present is not MISSING:
                delete_attribute(owner, name)
        elif value is Restored:
            set_attribute(owner, name, self._find_made(module)[name])
        elif is_one_definition(present, value) and (
            path == value.__qualname__ if before is None else is_same
        ):
            copy_function(value, present)
            set_attribute(owner, name, present)
        elif is_same and row.number and _is_plain(value) and type(present) is type(value):
            vars(present).clear()  # in place: others may hold the same object
            vars(present).update(vars(value))
        else:
            set_attribute(owner, name, value)

    def _find_made(self, module: ModuleType) -> dict[str, Any]:
        """Return what loading a module has made; all that it has, if it was not loaded here."""
        if module is self.main:
            return self._made[MAIN]
        loader = getattr(module, "__loader__", None)
        if isinstance(loader, _Loader):
            return loader.made
        return self._made.get(module.__name__, vars(module))


def _make_module(module_name: str) -> ModuleType:
    module = ModuleType(module_name)
    vars(module)["__builtins__"] = builtins  # imports by C code look for it there
    return module


def _read_source(module: ModuleType) -> str | None:
    spec = getattr(module, "__spec__", None)
    try:
        text: str | None = spec.loader.get_source(spec.name)  # type: ignore[union-attr]
    except (AttributeError, ImportError, OSError):
        return None
    return text


def _is_plain(value: Any) -> bool:
    """Tell whether an object consists of its attributes."""
    kind = type(value)
    reduces = vars(object)["__reduce_ex__"] is getattr(kind, "__reduce_ex__", None)
    is_open = reduces and find_builtin(kind) is object and not hasattr(kind, "__slots__")
    return is_open and type(getattr(value, "__dict__", None)) is dict


def _has_mark(key: Key, value: Any, mark: bytes) -> bool:
    try:
        return mark_value(key, value) == mark
    except Exception:  # it cannot be pickled, and the driver's can
        return False


class Replicas:
    """The replicas in this process, of one driver or more; one is present at a time."""

    def __init__(self) -> None:
        self._replicas: dict[bytes, Replica] = {}
        self._present: Replica | None = None
        self._main: ModuleType | None = None
        self._made: dict[str, dict[str, Any]] | None = None
        self._lock = threading.RLock()

    def adopt(self, main: ModuleType) -> None:
        """Use a module that has been loaded here as the program's own, on a worker of SCOOP."""
        self._main = main
        modules = {name: sys.modules[name] for name in list(sys.modules) if is_users_module(name)}
        self._made = {name: dict(vars(module)) for name, module in {**modules, MAIN: main}.items()}

    def install(self, token: bytes, number: int, frames: Sequence[Buffer]) -> None:
        """Install what a task needs; see `Replica.install`.

        Parameters
        ----------
        token : bytes
            Of the driver.
        number, frames
            See `Replica.install`.
        """
        with self._lock:
            replica = self._replicas.get(token)
            if replica is None:
                if self._main is None and "SCOOP_WORKER" in sys.modules:
                    self.adopt(sys.modules["SCOOP_WORKER"])
                main = self._main or _make_module(MAIN)
                replica = self._replicas[token] = Replica(main, self._made)
            if replica is not self._present:
                self._switch(replica)
            replica.install(number, frames)

    @contextlib.contextmanager
    def visit(self, number: int, frames: Sequence[Buffer]) -> Iterator[None]:
        """Have what a recorded task needs, without a change to the modules of this process."""
        with self._lock:
            before = self._present
            try:
                visitor = Replica(_make_module(MAIN), is_private=True)
                self._switch(visitor)
                visitor.install(number, frames)
                yield
            finally:
                self._switch(before)

    def _switch(self, replica: Replica | None) -> None:
        if self._present is not None:
            self._present.leave()
        if replica is not None:
            replica.enter()
        self._present = replica


replicas = Replicas()
