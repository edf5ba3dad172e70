"""The ledger of a run: its finished ranges, in a file that outlives the run.

A ledger holds pickled results: open only one that you trust, as with any pickle.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import sqlite3
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cloudpickle

from scoopsci.basics.moved import load_recorded
from scoopsci.errors import LedgerError
from scoopsci.road.blocks import Range
from scoopsci.road.identity import describe_differences

__all__ = ["Ledger", "open_ledger"]

#: Identifies the file by its header as a ledger of scoopsci.
APPLICATION_ID = 0x5C005C1
VERSION = 2

TABLES = """
    BEGIN;
    CREATE TABLE identity (name TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE ranges (
        start INTEGER, stop INTEGER, inputs TEXT NOT NULL, partial BLOB NOT NULL,
        checksum INTEGER NOT NULL, PRIMARY KEY (start, stop)
    );
    CREATE TABLE task (frame INTEGER PRIMARY KEY, content BLOB NOT NULL);
    CREATE TABLE numerics (numpy TEXT, battery TEXT, host TEXT, PRIMARY KEY (numpy, battery));
    PRAGMA application_id = {application_id};
    PRAGMA user_version = {version};
    COMMIT;
"""


class Ledger:
    """Finished ranges of one run, a row each.

    An SQLite file with a write-ahead log, synchronised at every commit: rows survive a crash of
    the process or the machine. Any method raises a LedgerError if the file belongs to another run,
    is in use or damaged, or cannot be written.

    Parameters
    ----------
    path : path-like
        The file, created if it does not exist.
    identity : mapping or None
        What the partials depend on, as plain values: a ledger with another identity is refused.
        None to inspect an existing one.
    task : sequence of bytes, optional
        Pickled frames of what computes blocks from their indices, for `scoopsci.road.replay`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        identity: Mapping[str, Any] | None,
        task: Sequence[bytes] = (),
    ) -> None:
        self.path = Path(path).absolute()
        if identity is None and not self.path.exists():
            raise LedgerError(f"there is no ledger {self.path}; name the ledger of a run")
        if self.path.exists() and not self.path.is_file():
            raise LedgerError(f"{self.path} is not a regular file; name a file for the ledger")
        with self._telling():
            self._database = sqlite3.connect(
                self.path, timeout=0.0, isolation_level=None, check_same_thread=False
            )
        try:
            with self._telling():
                self._prepare(is_looked_into=identity is None)
            if identity is not None:
                self._check_identity(identity, task)
            self._inode = self.path.stat().st_ino
        except BaseException:
            self.close()
            raise

    def _prepare(self, *, is_looked_into: bool) -> None:
        run = self._database.execute
        # No other process may use it. Set first, this avoids the need for shared memory.
        run("PRAGMA locking_mode = EXCLUSIVE")
        (found,), (version,) = (
            run("PRAGMA application_id").fetchone(),
            run("PRAGMA user_version").fetchone(),
        )
        is_empty = not run("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if not is_empty and (found, version) != (APPLICATION_ID, VERSION):
            raise LedgerError(
                f"{self.path} is a database of something else, or of another version of scoopsci "
                f"(version {version}, this one needs {VERSION}); name another file"
            )
        if is_empty and is_looked_into:
            raise LedgerError(f"{self.path} is empty; name the ledger of a run")
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = FULL")
        if is_empty:
            self._database.executescript(
                TABLES.format(application_id=APPLICATION_ID, version=VERSION)
            )
        run("BEGIN IMMEDIATE")
        run("COMMIT")

    def _check_identity(self, identity: Mapping[str, Any], task: Sequence[bytes]) -> None:
        ours = {name: json.dumps(value, sort_keys=True) for name, value in identity.items()}
        with self._telling():
            theirs = dict(self._database.execute("SELECT name, value FROM identity").fetchall())
            if not theirs:
                with self._transaction():
                    rows = "INSERT INTO identity VALUES (?, ?)"
                    self._database.executemany(rows, ours.items())
                    rows = "INSERT INTO task (content) VALUES (?)"
                    self._database.executemany(rows, ((frame,) for frame in task))
                return
        if differences := describe_differences(theirs, ours):
            remedy = "repeat that run"
            if [*differences] == ["seed"]:
                remedy = f"repeat that run, with its seed {theirs['seed']}"
            raise LedgerError(
                f"{self.path} is the ledger of another run: {', '.join(differences.values())}; "
                f"{remedy}, or name another file"
            )

    def find_ranges(self, n_blocks: int | None = None) -> list[Range]:
        """Return the finished ranges, disjoint and in order; if given, of the first `n_blocks`."""
        with self._telling():
            rows = self._database.execute(
                "SELECT start, stop FROM ranges WHERE stop <= ? ORDER BY start, stop DESC",
                (sys.maxsize if n_blocks is None else min(n_blocks, sys.maxsize),),
            ).fetchall()
        found: list[Range] = []
        try:
            for row in map(Range._make, rows):
                if not found or row.check().start >= found[-1].stop:
                    found.append(row.check())
        except (TypeError, ValueError) as error:
            raise LedgerError(
                f"{self.path} is damaged ({error}); delete the file and run again"
            ) from error
        return found

    @property
    def identity(self) -> dict[str, Any]:
        """What the partials depend on."""
        with self._telling():
            rows = self._database.execute("SELECT name, value FROM identity ORDER BY rowid")
            return {name: json.loads(value) for name, value in rows}

    def find_rows(self) -> list[Range]:
        """Return the ranges of all rows, including those that lie within others."""
        with self._telling():
            rows = self._database.execute("SELECT start, stop FROM ranges ORDER BY start, stop")
            return [Range(*row) for row in rows]

    def read_task(self) -> list[bytes]:
        """Return the frames of what computes the blocks; none if that needs inputs."""
        with self._telling():
            rows = self._database.execute("SELECT content FROM task ORDER BY frame")
            return [content for (content,) in rows]

    def check_whole(self) -> None:
        """Let SQLite check the file."""
        with self._telling():
            told = [row[0] for row in self._database.execute("PRAGMA integrity_check")]
        if told != ["ok"]:
            raise LedgerError(
                f"{self.path} is damaged ({'; '.join(told)}); delete the file and run again"
            )

    def recall(self, blocks: Range) -> tuple[str, Any]:
        """Return the description of the inputs of a range of `find_rows`, and its partial."""
        with self._telling():
            row = self._database.execute(
                "SELECT inputs FROM ranges WHERE (start, stop) = (?, ?)", blocks
            ).fetchone()
        inputs = "" if row is None else row[0]
        return inputs, self.read(blocks, inputs)[0]

    def has(self, blocks: Range, inputs: str) -> bool:
        """Return whether a range is recorded with these inputs, given their hash."""
        with self._telling():
            found = self._database.execute(
                "SELECT 1 FROM ranges WHERE (start, stop, inputs) = (?, ?, ?)", (*blocks, inputs)
            )
            return found.fetchone() is not None

    def read(self, blocks: Range, inputs: str) -> tuple[Any, int]:
        """Return the partial of a finished range, and its size in the file in bytes.

        Parameters
        ----------
        blocks : Range
            One of `find_ranges`.
        inputs : str
            Hash, or description, of its present inputs: others raise a LedgerError.
        """
        with self._telling():
            recorded, pickled, checksum = self._database.execute(
                "SELECT inputs, partial, checksum FROM ranges WHERE (start, stop) = (?, ?)", blocks
            ).fetchone() or (inputs, b"", None)  # a damaged index may name a missing row
        where = f"blocks {blocks.start} to {blocks.stop - 1}"
        if recorded != inputs:
            raise LedgerError(
                f"{self.path} is the ledger of another run: the inputs of {where} were different; "
                "repeat that run, or name another file"
            )
        if zlib.crc32(pickled) != checksum:
            raise LedgerError(
                f"{self.path} is damaged: {where} cannot be read (its checksum is wrong); delete "
                "the file and run again"
            )
        try:
            return load_recorded(pickled), len(pickled)
        except Exception as error:
            raise LedgerError(
                f"{self.path} cannot be read here: the results of {where} cannot be loaded "
                f"({error}); run again, with another file"
            ) from error

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
        rows = []
        for blocks, inputs, partial in finished:
            pickled = _dump(partial)
            rows.append((*blocks, inputs, pickled, zlib.crc32(pickled)))
        self._check_place()
        with self._telling(), self._transaction():
            self._database.executemany("INSERT OR REPLACE INTO ranges VALUES (?, ?, ?, ?, ?)", rows)
            if numerics is not None:
                self._database.execute(
                    "INSERT OR IGNORE INTO numerics VALUES (:numpy, :battery, :host)", numerics
                )

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
        names = ("numpy", "battery", "host")
        with self._telling():
            rows = self._database.execute("SELECT numpy, battery, host FROM numerics").fetchall()
        return [dict(zip(names, row, strict=True)) for row in rows]

    def close(self) -> None:
        """Close the file, so that others can use it."""
        self._database.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Turn errors of SQLite into LedgerErrors that name a remedy."""
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError) as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
            what = _FAILURES.get(code, "cannot be used")
            raise LedgerError(f"{self.path} {what} ({error})") from error


_FAILURES = {
    sqlite3.SQLITE_BUSY: "is in use by another run; wait for its end, or name another file",
    sqlite3.SQLITE_LOCKED: "is in use by another run; wait for its end, or name another file",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; name a file in a folder that can be written",
    sqlite3.SQLITE_READONLY: "cannot be written; name a file that can",
    sqlite3.SQLITE_FULL: "does not fit on the disk; make room and run again, nothing is lost",
    sqlite3.SQLITE_IOERR: "cannot be read or written; check the disk and run again",
    sqlite3.SQLITE_CORRUPT: "is damaged; delete it and run again",
    sqlite3.SQLITE_NOTADB: "is not a ledger; name another file",
    sqlite3.SQLITE_TOOBIG: "cannot hold a partial of over 1 GB; return less from a block",
}


def _dump(partial: Any) -> bytes:
    try:
        return pickle.dumps(partial, protocol=5)  # by name, to recall the program's own classes
    except Exception:
        pass
    try:
        pickled: bytes = cloudpickle.dumps(partial, protocol=5)
    except Exception as error:
        raise LedgerError(f"a result cannot be pickled for the ledger: {error}") from error
    return pickled


@contextlib.contextmanager
def open_ledger(
    path: str | os.PathLike[str] | None, identity: Mapping[str, Any], task: Sequence[bytes] = ()
) -> Iterator[Ledger | None]:
    """Yield the ledger of a run and close it at the end, or yield None if `path` is None."""
    if path is None:
        yield None
        return
    with contextlib.closing(Ledger(path, identity, task)) as ledger:
        yield ledger
