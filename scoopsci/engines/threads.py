"""One thread of linear algebra for each task.

A library such as OpenBLAS splits a dot product among its threads, and the order of the sum depends
on their number: of 200 dot products of 50,000 numbers, 194 differed between one thread and two.
With one thread, hosts with any number of cores agree, and workers do not compete for cores.
"""

from __future__ import annotations

import os
import sys
from functools import cache, lru_cache
from typing import Any

from threadpoolctl import ThreadpoolController

from scoopsci.engines.counted import CountedContext

__all__ = ["limit_libraries_to_come", "one_thread"]

#: Set for workers that may use more threads: the bits then depend on the number.
LIMIT = int(os.environ.get("SCOOPSCI_THREADS", "1"))

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")


@cache
def limit_libraries_to_come() -> None:
    """Limit the libraries that this process has yet to load; for worker processes."""
    os.environ.update(dict.fromkeys(VARIABLES, str(LIMIT)))


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
