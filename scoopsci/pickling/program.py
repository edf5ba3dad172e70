"""The program as the driver has it: what the names that a task refers to stand for, by version.

A manifest lists all that a task needs. A worker that has a version installed does not need it
again, and what its tasks change stays until the driver has another version.
"""

from __future__ import annotations

import os
import pickle
import secrets
import threading
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from scoopsci.pickling.classes import is_data
from scoopsci.pickling.entries import (
    Entry,
    define,
    define_together,
    is_bound,
    is_current,
    name_data,
    numbers,
)
from scoopsci.pickling.frames import Buffer
from scoopsci.pickling.groups import find_cycles
from scoopsci.pickling.names import TEXT, Key
from scoopsci.pickling.pickler import prune_cells

__all__ = ["Entry", "Manifest", "Program", "Row", "program"]

#: Manifests that are kept, for programs that submit ever new functions.
N_PLANS = 256

#: The value of an entry that has been forgotten.
GONE = object()


class Row(NamedTuple):
    """What a worker is told of an entry."""

    key: Key
    version: int
    n_frames: int  # 0 if they are not sent
    mark: bytes
    number: int  # the same as long as the value is the same object; 0 if it is always another


@dataclass(eq=False)
class Manifest:
    """What a task needs.

    Attributes
    ----------
    entries : list of Entry
        What workers define; modules come first, attributes of classes last.
    number : int
        Differs from that of any other manifest of the program.
    """

    entries: list[Entry]
    number: int = field(default_factory=lambda: next(numbers))

    def as_frames(self, sent: Container[Entry]) -> list[Buffer]:
        """Return the frames for a worker that has some entries already.

        Parameters
        ----------
        sent : container of Entry
            Those that it is sent.
        """
        rows: list[Row] = []
        frames: list[Buffer] = []
        for entry in self.entries:
            found = entry.frames if entry in sent else []
            rows.append(Row(entry.key, entry.version, len(found), entry.mark, entry.object_number))
            frames.extend(found)
        return [pickle.dumps(rows), *frames]


class Program:
    """What the driver's names stand for.

    Parameters
    ----------
    is_known : callable, optional
        Tells whether workers have what a key stands for by themselves.

    Attributes
    ----------
    token : bytes
        Distinguishes this process from others that have the same program.
    """

    def __init__(self, *, is_known: Callable[[Key], bool] = lambda _: False) -> None:
        self._is_known = is_known
        self._begin_anew()
        os.register_at_fork(after_in_child=self._begin_anew)

    def _begin_anew(self) -> None:
        self._lock = threading.RLock()
        self.token = secrets.token_bytes(8)
        self._entries: dict[Key, Entry] = {}
        self._plans: dict[frozenset[Key], tuple[list[Entry], Manifest]] = {}
        self._joined: dict[tuple[int, int], Manifest] = {}
        self._epoch = 0

    def refresh(self) -> None:
        """Have large values compared, too, when they are used next, and forget deleted ones."""
        with self._lock:
            self._epoch += 1
            prune_cells()
            entries = self._entries.items()
            gone = [key for key, each in entries if each.value is not GONE and not is_bound(each)]
            for key in gone:  # that it was sent counts if it is set back
                frames = self._entries[key].frames[:1] and [b""]
                self._entries[key] = Entry(key, GONE, frames=list(frames))
            if gone:
                self._plans.clear()
                self._joined.clear()

    def list_needed(self, keys: Iterable[Key], extra: Manifest | None = None) -> Manifest:
        """Return what a task needs that refers to names.

        Parameters
        ----------
        keys : iterable of Key
            The names.
        extra : Manifest, optional
            What it needs besides, as it is: of a run, which has begun.

        Raises
        ------
        TypeError
            If a value cannot be sent.
        """
        roots = frozenset(keys)
        entries, manifest = self._plans.get(roots, ([], None))
        if manifest is None or not all(is_current(entry, self._epoch) for entry in entries):
            entries, manifest = self._plan(roots)
            with self._lock:
                if len(self._plans) >= N_PLANS:
                    self._plans.clear()
                self._plans[roots] = entries, manifest
        return manifest if extra is None else self._join(extra, manifest)

    def _join(self, first: Manifest, second: Manifest) -> Manifest:
        if not second.entries:
            return first
        numbers = first.number, second.number
        joined = self._joined.get(numbers)
        if joined is None:
            known = {entry.key for entry in first.entries}
            more = [entry for entry in second.entries if entry.key not in known]
            joined = Manifest(sorted([*first.entries, *more], key=_rank))
            with self._lock:
                if len(self._joined) >= N_PLANS:
                    self._joined.clear()
                joined = self._joined.setdefault(numbers, joined)
        return joined

    def _plan(self, roots: frozenset[Key]) -> tuple[list[Entry], Manifest]:
        """Follow the names to all that they refer to."""
        found: dict[Key, Entry] = {}
        names: dict[int, Key] = {}
        modules: set[str] = set()
        ahead = list(roots)
        while ahead:
            key = ahead.pop()
            if key in found or self._is_known(key):
                continue
            entry = self._entries.get(key)
            if entry is None or not is_current(entry, self._epoch):
                known = {name for name, _ in [*ahead, *found, key]}
                if not known <= modules:
                    modules |= known
                    names = name_data(modules)
                entry = self._renew(entry, define(key, names, entry, self.token))
            found[key] = entry
            ahead.extend(entry.reached)
        for group in find_cycles(_list_references(found)):
            for entry in define_together([found[key] for key in group], names, self.token):
                found[entry.key] = self._renew(found[entry.key], entry)
        entries = sorted(found.values(), key=_rank)
        return entries, Manifest([entry for entry in entries if entry.frames])

    def _renew(self, before: Entry | None, entry: Entry) -> Entry:
        """Keep an entry, unless another thread has made the same meanwhile.

        No lock is held while the program's own code pickles its objects.
        """
        entry.epoch = self._epoch
        with self._lock:
            present = self._entries.get(entry.key)
            if present is not before and present is not None and present.value is entry.value:
                return present
            self._entries[entry.key] = entry
            return entry


def _list_references(entries: Mapping[Key, Entry]) -> dict[Key, list[Key]]:
    """Return to which others values refer."""
    return {
        key: [other for other, _ in entry.references]
        for key, entry in entries.items()
        if entry.references
    }


def _rank(entry: Entry) -> tuple[int, int]:
    """Return the place of an entry: what others are made by comes first, in order of definition."""
    module_name, path = entry.key
    if module_name == TEXT or not path:
        return 0, entry.version
    if "." in path:  # an attribute of a class
        return 3, entry.version
    return 1 + is_data(entry.value), entry.version


program = Program()
