"""Which of the workers of an engine have been sent what of the program."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

from scoopsci.engines.mapped import MappedFrame, is_large
from scoopsci.pickling.program import Entry, Manifest

__all__ = ["Delivery"]

#: Up to this size an entry is sent with each task until all workers have it.
SMALL_BYTES = 1 << 14


class Delivery:
    """Decides what to send along with tasks: which worker takes one is not known.

    A worker that lacks something says so, and gets the task again with all that it needs.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._receivers: WeakKeyDictionary[Entry | Manifest, set[Any]] = WeakKeyDictionary()
        self._n_sent: WeakKeyDictionary[Entry, int] = WeakKeyDictionary()
        self._mapped: WeakKeyDictionary[Entry, dict[int, MappedFrame]] = WeakKeyDictionary()

    def choose(self, manifest: Manifest | None, n_workers: int) -> list[Entry] | None:
        """Return what of a manifest to send; None if all workers have all of it.

        Parameters
        ----------
        manifest : Manifest or None
            What a task needs.
        n_workers : int
            Number of workers; 0 if it is not known.
        """
        if manifest is None or self._is_known(manifest, n_workers):
            return None
        with self._lock:
            chosen = [entry for entry in manifest.entries if self._is_due(entry, n_workers)]
            for entry in chosen:
                self._n_sent[entry] = self._n_sent.get(entry, 0) + 1
        return chosen

    def _is_known(self, what: Entry | Manifest, n_workers: int) -> bool:
        return 0 < n_workers <= len(self._receivers.get(what, ()))

    def _is_due(self, entry: Entry, n_workers: int) -> bool:
        if self._is_known(entry, n_workers):
            return False
        return entry.n_bytes <= SMALL_BYTES or self._n_sent.get(entry, 0) < max(1, n_workers)

    def map_large(self, entries: Iterable[Entry]) -> dict[int, MappedFrame]:
        """Return the large frames of entries as files, by the ids of the frames.

        Parameters
        ----------
        entries : iterable of Entry
            What is sent; its files exist as long as it does.
        """
        found: dict[int, MappedFrame] = {}
        for entry in entries:
            with self._lock:
                if entry not in self._mapped:
                    large = filter(is_large, entry.frames)
                    self._mapped[entry] = {id(frame): MappedFrame(frame) for frame in large}
                found |= self._mapped[entry]
        return found

    def close(self) -> None:
        """Free the files."""
        with self._lock:
            self._mapped.clear()

    def confirm(self, manifest: Manifest, future: Any) -> None:
        """Note the worker that has run a task."""
        if not future.report:
            return
        worker = future.report["host"], future.report["pid"]
        received: list[Entry | Manifest] = [manifest, *manifest.entries]
        with self._lock:
            if worker not in self._receivers.get(manifest, ()):
                for what in received:
                    self._receivers.setdefault(what, set()).add(worker)
