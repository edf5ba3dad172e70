"""One thread of linear algebra for each task.

A library such as OpenBLAS splits a dot product among its threads, and the order of the sum depends
on their number: of 200 dot products of 50,000 numbers, 194 differed between one thread and two.
With one thread, hosts with any number of cores agree, and workers do not compete for cores.
"""

from __future__ import annotations

import json
import os
import sys
from functools import cache, lru_cache
from typing import Any

from threadpoolctl import ThreadpoolController

from scoopsci.engines.auditing import notice
from scoopsci.engines.counted import CountedContext

__all__ = ["limit_libraries_to_come", "limiting_variables", "one_thread"]

#: Set for workers that may use more threads: the bits then depend on the number.
LIMIT = int(os.environ.get("SCOOPSCI_THREADS", "1"))

#: Variables that libraries read when they are loaded.
VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")

#: Those that limit a worker from its start.
WORKERS_VARIABLES = (*VARIABLES, "NUMBA_NUM_THREADS", "SCOOPSCI_THREADS")

#: Holds the driver's values of the former, in JSON.
USERS = "SCOOPSCI_USERS_THREADS"

#: Audit events before a library is loaded, and before a program is started.
LOADING = ("import", "ctypes.dlopen")
STARTING = (
    "subprocess.Popen", "os.system", "os.posix_spawn", "os.exec", "os.fork", "os.forkpty",
)  # fmt: skip


def limiting_variables(n_threads: int) -> dict[str, str]:
    """Return variables for the start of workers on other machines.

    Parameters
    ----------
    n_threads : int
        The limit.

    Returns
    -------
    dict of str
        They limit libraries, and hold what programs that a task starts get instead.
    """
    users = json.dumps({name: os.environ.get(name) for name in VARIABLES})
    return {**dict.fromkeys(WORKERS_VARIABLES, str(n_threads)), USERS: users}


@cache
def limit_libraries_to_come() -> None:
    """Limit the libraries that this process has yet to load; for worker processes.

    They read the environment that programs which a task starts inherit. So the limit is in it while
    a module is imported, and when a program is started, the driver's values are, as they always are
    in `os.environ`.
    """
    given = os.environ.pop(USERS, None)
    if given is not None:
        for name, value in json.loads(given).items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
    environment = _Environment()
    environment.limit()
    notice(LOADING, lambda *_: environment.limit())
    notice(STARTING, lambda *_: environment.release())


class _Environment:
    """The process's own environment, of which `os.environ` is a copy."""

    def __init__(self) -> None:
        self._is_limited = False

    def limit(self) -> None:
        """Prepare for the loading of a library."""
        if not self._is_limited:
            self._is_limited = True
            for name in VARIABLES:
                os.putenv(name, str(LIMIT))

    def release(self) -> None:
        """Prepare for the start of a program."""
        if self._is_limited:
            self._is_limited = False
            for name in VARIABLES:
                value = os.environ.get(name)
                os.unsetenv(name) if value is None else os.putenv(name, value)


class _OneThread(CountedContext):
    """Limits the libraries that have been loaded."""

    _limiter: Any = None

    def _begin(self) -> None:
        libraries = _find_libraries(len(sys.modules))
        # Limiting and restoring costs ten times as much as checking.
        if any(library.num_threads != LIMIT for library in libraries.lib_controllers):
            self._limiter = libraries.limit(limits=LIMIT)
            self._limiter.__enter__()

    def _finish(self) -> None:
        if self._limiter is not None:
            self._limiter.__exit__(None, None, None)
            self._limiter = None


@lru_cache(maxsize=1)
def _find_libraries(n_modules: int) -> ThreadpoolController:
    # Inspecting all libraries of the process takes 1 ms, so it is done when the imports change.
    return ThreadpoolController()


one_thread = _OneThread()
