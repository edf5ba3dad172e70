"""The user's own modules, which hosts do not have: what is in them travels by value.

So a function of a file beside the notebook reaches the workers as it is in the driver, also after
it has been changed and loaded again.
"""

from __future__ import annotations

import sys
import threading
from types import ModuleType, TracebackType

import cloudpickle

from scoopsci.codehash import is_users_module

__all__ = ["users_modules"]


class _UsersModules:
    """Has cloudpickle send the user's modules by value, from the first to enter to the last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_inside = 0
        self._n_modules = 0
        self._registered: set[str] = set()

    def __enter__(self) -> None:
        with self._lock:
            self._n_inside += 1
        self.renew()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._lock:
            self._n_inside -= 1
            if self._n_inside == 0:
                for name in self._registered & cloudpickle.list_registry_pickle_by_value():
                    cloudpickle.unregister_pickle_by_value(ModuleType(name))
                self._registered.clear()
                self._n_modules = 0

    def renew(self) -> None:
        """Take note of the modules that have been imported since the last call."""
        if not self._n_inside or len(sys.modules) == self._n_modules:
            return
        with self._lock:
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
