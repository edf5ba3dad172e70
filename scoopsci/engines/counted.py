"""Contexts of the whole process, for tasks or pools that are there at the same time."""

from __future__ import annotations

import threading

__all__ = ["CountedContext"]


class CountedContext:
    """A context that the first to enter begins and the last to leave ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_inside = 0

    def __enter__(self) -> None:
        with self._lock:
            self._n_inside += 1
            if self._n_inside == 1:
                self._begin()

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._n_inside -= 1
            if self._n_inside == 0:
                self._finish()

    def _begin(self) -> None:
        raise NotImplementedError

    def _finish(self) -> None:
        raise NotImplementedError
