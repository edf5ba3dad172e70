"""Names of values in the user's modules, and the values that they have in this process."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeAlias

from scoopsci.basics.members import is_compiled_class

__all__ = ["MAIN", "TEXT", "Hooks", "Key", "find", "find_key", "find_namespace", "hooks",
           "name_home", "true_name"]  # fmt: skip

#: The name of a module, and that of a value in it, or of an attribute of a class in it; an empty
#: name stands for the module itself, and a module `TEXT` for the text of the file with that name.
Key: TypeAlias = tuple[str, str]

MAIN, TEXT = "__main__", "<text>"

#: Further names of the program's own module: in its child processes, and in workers of SCOOP.
ALIASES = {"__mp_main__": MAIN, "SCOOP_WORKER": MAIN}


class Hooks:
    """What a worker does about names that the driver has defined.

    Attributes
    ----------
    prepare : callable or None
        Gets each key before it is looked up.
    has_defined : callable or None
        Tells whether the driver has defined a key, in a module without source.
    """

    prepare: Callable[[Key], object] | None = None
    has_defined: Callable[[Key], bool] | None = None


hooks = Hooks()


def true_name(module_name: str) -> str:
    """Return the name of a module by which other processes know it."""
    return ALIASES.get(module_name, module_name)


def find_key(value: Any) -> Key | None:
    """Return the module and name by which a function or class is found, or None."""
    named = value.__bases__[0] if is_compiled_class(value) else value
    module_name, path = getattr(named, "__module__", None), getattr(named, "__qualname__", None)
    if not isinstance(module_name, str) or not isinstance(path, str):
        return None
    found: Any = sys.modules.get(module_name)
    for name in path.split("."):
        found = getattr(found, name, None)
    return (true_name(module_name), path) if found is value else None


def name_home(fn: FunctionType) -> str | None:
    """Return the name of the module whose namespace holds a function's globals, or None."""
    name = fn.__globals__.get("__name__")
    module = sys.modules.get(name) if isinstance(name, str) else None
    is_home = module is not None and vars(module) is fn.__globals__
    return true_name(str(name)) if is_home else None


def find_namespace(module_name: str) -> dict[str, Any]:
    """Return the namespace of a module of this process."""
    return vars(importlib.import_module(module_name))


def find(module_name: str, path: str) -> Any:
    """Return the value of a name in a module of the user."""
    names = path.split(".")
    if hooks.prepare is not None:
        hooks.prepare((module_name, names[0]))
    found: Any = importlib.import_module(module_name)
    for name in names:
        found = getattr(found, name)
    return found
