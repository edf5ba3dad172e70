"""Contexts of the whole process, shared by tasks or engines that overlap."""

from __future__ import annotations

import threading

__all__ = ["CountedContext"]


class CountedContext:
    """A context that begins when it is first entered, and ends when the last user leaves it."""

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
