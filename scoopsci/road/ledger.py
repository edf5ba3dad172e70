"""The ledger of a run: its finished ranges, in a file that outlives the run."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scoopsci.errors import LedgerError
from scoopsci.road.blocks import Range
from scoopsci.road.identity import describe_differences
from scoopsci.road.ledgerfile import LedgerFile, hash_rows
from scoopsci.road.partials import PLAIN, decode, encode, find_misfit, is_pickled

__all__ = ["Ledger", "find_disjoint", "open_ledger"]

#: What the bits that a host computes depend on, and a name for it.
NUMERICS = ("numpy", "battery", "host")


class Ledger:
    """Finished ranges of one run, a row each.

    An SQLite file with a write-ahead log, synchronised at every commit: rows survive a crash of
    the process or the machine. Any method raises a LedgerError if the file belongs to another run,
    is in use or damaged, or cannot be written. Nothing that the file brings is run, except by
    `read` and `recall`, where they say so.

    Parameters
    ----------
    path : path-like
        The file, created if it does not exist.
    identity : mapping or None
        What the partials depend on, as plain values: a ledger with another identity is refused.
        None to inspect an existing one, which is not modified.
    task : mapping of str to bytes, optional
        What computes blocks from their indices, encoded by `scoopsci.road.partials`, for
        `scoopsci.road.replay`.

    Attributes
    ----------
    identity : dict
        What the partials depend on.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        identity: Mapping[str, Any] | None,
        task: Mapping[str, bytes] | None = None,
    ) -> None:
        self.path = Path(path).absolute()
        if identity is None and not self.path.exists():
            raise LedgerError(f"there is no ledger {self.path}; name the ledger of a run")
        if self.path.exists() and not self.path.is_file():
            raise LedgerError(f"{self.path} is not a regular file; name a file for the ledger")
        self._file = LedgerFile(self.path, for_run=identity is not None)
        try:
            if identity is not None and self._file.is_new:
                self._begin(_as_text(identity), {} if task is None else task)
            found = self._find_identity()
            self.identity = self._load(found)
            if identity is not None:
                self._check_identity(found, _as_text(identity))
            self._inode = self.path.stat().st_ino
        except BaseException:
            self.close()
            raise

    def _begin(self, identity: Mapping[str, str], task: Mapping[str, bytes]) -> None:
        self._file.key = hash_rows(sorted(identity.items()), "identity")
        with self._file.transaction():
            self._file.create()
            self._file.insert("identity", identity.items())
            self._file.insert("task", task.items())

    def _find_identity(self) -> dict[str, str]:
        """Return the identity of the run, by which all rows are signed."""
        found = self._file.find("name, value", "identity", "ORDER BY name")
        try:
            self._file.key = hash_rows(found, "identity")
        except (TypeError, ValueError) as error:
            raise self.damaged(f"its identity cannot be read ({error})") from error
        return dict(self._file.select("identity"))

    def _check_identity(self, theirs: Mapping[str, str], ours: Mapping[str, str]) -> None:
        if differences := describe_differences(theirs, ours):
            remedy = "repeat that run"
            if [*differences] == ["seed"]:
                remedy = f"repeat that run, with its seed {theirs['seed']}"
            raise LedgerError(
                f"{self.path} is the ledger of another run: {', '.join(differences.values())}; "
                f"{remedy}, or name another file"
            )

    def _load(self, identity: Mapping[str, str]) -> dict[str, Any]:
        try:
            return {name: json.loads(value) for name, value in identity.items()}
        except (ValueError, RecursionError) as error:
            raise self.damaged(f"its identity cannot be read ({error})") from error

    def find_ranges(self, n_blocks: int | None = None) -> list[Range]:
        """Return the finished ranges, disjoint and in order; if given, of the first `n_blocks`.

        They are checked as they are read, and not before.
        """
        rows = self._file.find(
            "start, stop",
            "ranges",
            "WHERE stop <= ?",
            (sys.maxsize if n_blocks is None else min(n_blocks, sys.maxsize),),
        )
        return find_disjoint(map(self._as_range, rows))

    def find_rows(self) -> list[Range]:
        """Return the ranges of all rows, including those that lie within others."""
        rows = self._file.find("start, stop", "ranges", "ORDER BY start, stop")
        return [self._as_range(row) for row in rows]

    def _as_range(self, row: Sequence[Any]) -> Range:
        try:
            return Range(*row).check()
        except (TypeError, ValueError) as error:
            raise self.damaged(str(error)) from error

    def check_rows(self, *, trust: bool) -> Iterator[tuple[Range, bool]]:
        """Check all rows, and yield for each its range, and whether it holds a pickle.

        With `trust`, the pickles are loaded; without, the number of their items is not checked.
        """
        for start, stop, inputs, encoded in self._file.select("ranges", "ORDER BY start, stop"):
            blocks, pickled = self._as_range((start, stop)), is_pickled(encoded)
            if trust or not pickled:
                self._decode(blocks, inputs, encoded)
            yield blocks, pickled

    def read_task(self) -> dict[str, bytes]:
        """Return what computes the blocks, encoded; empty if that needs inputs."""
        found = dict(self._file.select("task"))
        if not found and self.identity.get("workload") in PLAIN:
            raise self.damaged("it does not hold what computes its blocks")
        return found

    def check_whole(self) -> None:
        """Let SQLite check the file."""
        self._file.check_whole()

    def damaged(self, what: str) -> LedgerError:
        """Return the error that says what is damaged."""
        return self._file.damaged(what)

    def recall(self, blocks: Range, *, trust: bool) -> tuple[str, Any]:
        """Return the description of the inputs of a range of `find_rows`, and its partial.

        With `trust`, it may be a pickle, which is loaded.
        """
        inputs, encoded = self._select(blocks)
        if is_pickled(encoded) and not trust:
            raise LedgerError(
                f"{self.path} holds a pickle for {_name(blocks)}, which can run code when it is "
                "loaded; pass --trust (trust=True) if you trust where the file comes from"
            )
        return inputs, self._decode(blocks, inputs, encoded)

    def has(self, blocks: Range, inputs: str) -> bool:
        """Return whether a range is recorded with these inputs, given their hash."""
        where = "WHERE (start, stop, inputs) = (?, ?, ?)"
        return bool(self._file.find("1", "ranges", where, (*blocks, inputs)))

    def read(self, blocks: Range, inputs: str) -> tuple[Any, int]:
        """Return the partial of a finished range, and its size in the file in bytes.

        If it is a pickle, it is loaded, unless the workload is one of ours that has none.

        Parameters
        ----------
        blocks : Range
            One of `find_ranges`.
        inputs : str
            Hash, or description, of its present inputs: others raise a LedgerError.
        """
        recorded, encoded = self._select(blocks)
        if recorded != inputs:
            raise LedgerError(
                f"{self.path} is the ledger of another run: the inputs of {_name(blocks)} were "
                "different; repeat that run, or name another file"
            )
        return self._decode(blocks, inputs, encoded), len(encoded)

    def _select(self, blocks: Range) -> tuple[str, bytes]:
        for row in self._file.select("ranges", "WHERE (start, stop) = (?, ?)", blocks):
            return row[2], row[3]
        raise self.damaged(f"{_name(blocks)} are missing")

    def _decode(self, blocks: Range, inputs: str, encoded: bytes) -> Any:
        """Return a partial whose row has been checked, if it fits its blocks."""
        workload = self.identity.get("workload")
        if is_pickled(encoded) and workload in PLAIN:
            raise self.damaged(f"{_name(blocks)} are a pickle, which {workload} never stores")
        try:
            partial = decode(encoded, may_unpickle=True)
        except Exception as error:
            raise LedgerError(
                f"{self.path} cannot be read here: the results of {_name(blocks)} cannot be loaded "
                f"({error}); run again, with another file"
            ) from error
        if why := find_misfit(workload, partial, blocks.size, inputs):
            raise self.damaged(f"{_name(blocks)} have {why}")
        return partial

    def add(
        self,
        finished: Iterable[tuple[Range, str, Any]],
        numerics: Mapping[str, str] | None = None,
    ) -> None:
        """Record finished ranges, all or none; they are on disk when the call returns.

        Parameters
        ----------
        finished : iterable of tuple of Range, str, object
            Ranges, the hashes of their inputs, and their partials.
        numerics : mapping, optional
            How the host that ran them computes; see `find_numerics`.
        """
        rows = [(*blocks, inputs, encode(partial)) for blocks, inputs, partial in finished]
        self._check_place()
        with self._file.transaction():
            self._file.insert("ranges", rows, "INSERT OR REPLACE")
            if numerics is not None:
                row = [numerics[name] for name in NUMERICS]
                self._file.insert("numerics", [row], "INSERT OR IGNORE")

    def _check_place(self) -> None:
        try:
            is_there = self.path.stat().st_ino == self._inode
        except OSError:
            is_there = False
        if not is_there:
            raise LedgerError(
                f"{self.path} was moved or deleted during the run; put it back, or run again"
            )

    def find_numerics(self) -> list[dict[str, str]]:
        """Return how the hosts that took part compute: ``numpy``, ``battery`` and ``host``."""
        found = [dict(zip(NUMERICS, row, strict=True)) for row in self._file.select("numerics")]
        if not found and self._file.find("1", "ranges", "LIMIT 1"):
            raise self.damaged("it does not say how its hosts compute")
        return found

    def close(self) -> None:
        """Close the file, so that others can use it."""
        self._file.close()


def _as_text(identity: Mapping[str, Any]) -> dict[str, str]:
    return {name: json.dumps(value, sort_keys=True) for name, value in identity.items()}


def find_disjoint(ranges: Iterable[Range]) -> list[Range]:
    """Return the ranges that do not lie within others, in order."""
    found: list[Range] = []
    for blocks in sorted(ranges, key=lambda each: (each.start, -each.stop)):
        if not found or blocks.start >= found[-1].stop:
            found.append(blocks)
    return found


def _name(blocks: Range) -> str:
    return f"blocks {blocks.start} to {blocks.stop - 1}"


@contextlib.contextmanager
def open_ledger(
    path: str | os.PathLike[str] | None,
    identity: Mapping[str, Any],
    task: Mapping[str, bytes] | None = None,
) -> Iterator[Ledger | None]:
    """Yield the ledger of a run and close it at the end, or yield None if `path` is None."""
    if path is None:
        yield None
        return
    with contextlib.closing(Ledger(path, identity, task)) as ledger:
        yield ledger
