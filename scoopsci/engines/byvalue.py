"""The user's own modules, which hosts lack: their functions and classes are pickled by value.

So workers run a function from a file beside the notebook as the driver has it, even after it was
edited and reloaded.
"""

from __future__ import annotations

import sys
from types import ModuleType

import cloudpickle

from scoopsci.basics.members import is_users_module
from scoopsci.engines.counted import CountedContext

__all__ = ["users_modules"]


class _UsersModules(CountedContext):
    """Makes cloudpickle send the user's modules by value."""

    def __init__(self) -> None:
        super().__init__()
        self._n_modules = 0
        self._registered: set[str] = set()

    def _begin(self) -> None:
        self._register()

    def _finish(self) -> None:
        for name in self._registered & cloudpickle.list_registry_pickle_by_value():
            cloudpickle.unregister_pickle_by_value(ModuleType(name))
        self._registered.clear()

    def renew(self) -> None:
        """Register the modules imported since the last call."""
        if self._n_inside and len(sys.modules) != self._n_modules:
            with self._lock:
                self._register()

    def _register(self) -> None:
        self._n_modules = len(sys.modules)
        known = cloudpickle.list_registry_pickle_by_value()
        for name, module in list(sys.modules.items()):
            place = getattr(module, "__file__", None) or ""
            if name in known or name == "__main__" or not place.endswith(".py"):
                continue
            if module.__name__ == name and is_users_module(name):
                cloudpickle.register_pickle_by_value(module)
                self._registered.add(name)


users_modules = _UsersModules()
