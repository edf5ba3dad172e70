"""The file of a ledger: an SQLite database, of which every row proves itself.

Each row ends with a checksum of the others of its columns, keyed by the run that it belongs to. So
whatever is damaged, or comes from another ledger, is noticed when it is read: here, and only here.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from scoopsci.errors import LedgerError

__all__ = ["LedgerFile", "hash_rows"]

#: Identifies the file by its header as a ledger of scoopsci.
APPLICATION_ID = 0x5C005C1
VERSION = 3

TABLES = {
    "identity": "name TEXT PRIMARY KEY, value TEXT",
    "numerics": "numpy TEXT, battery TEXT, host TEXT",
    "ranges": "start INTEGER, stop INTEGER, inputs TEXT, partial BLOB",
    "task": "name TEXT PRIMARY KEY, content BLOB",
}
KEYS = {"numerics": ", PRIMARY KEY (numpy, battery)", "ranges": ", PRIMARY KEY (start, stop)"}
SCHEMA = [
    f"CREATE TABLE {table} ({columns}, checksum BLOB NOT NULL{KEYS.get(table, '')}) WITHOUT ROWID"
    for table, columns in TABLES.items()
]
TYPES = {
    table: [{"TEXT": str, "BLOB": bytes, "INTEGER": int}[column.split()[1]]
            for column in columns.split(", ")]
    for table, columns in TABLES.items()
}  # fmt: skip
CHECKSUM_BYTES = 16

REMEDY = "use a copy of it, or delete it and run again"


def hash_rows(rows: Iterable[Sequence[Any]], table: str, key: bytes = b"") -> bytes:
    """Hash rows of integers, text and bytes; any two different lists of rows are told apart.

    Raises
    ------
    TypeError
        If a value is of another type.
    """
    digest = hashlib.blake2b(b"%s\0" % table.encode(), digest_size=CHECKSUM_BYTES, key=key)
    for row in rows:
        for value in row:
            kind = type(value)
            if kind is bytes:
                content = value
            elif kind is str or kind is int:
                content = str(value).encode()
            else:
                raise TypeError(f"a row holds integers, text and bytes, got {value!r:.80}")
            digest.update(b"%s %d\0" % (kind.__name__.encode(), len(content)))
            digest.update(content)
    return digest.digest()


class LedgerFile:
    """Rows of tables, checked when they are read.

    Every method raises a LedgerError if the file is damaged, in use, or cannot be used.

    Parameters
    ----------
    path : Path
        The file.
    for_run : bool
        Whether a run is to add to it: it is created if it does not exist. Otherwise it is not
        modified, and may lie where nothing can be written.

    Attributes
    ----------
    key : bytes
        Key of the checksums, of up to 64 bytes, set by the caller.
    is_new : bool
        Whether it has no tables yet; see `create`.
    """

    def __init__(self, path: Path, *, for_run: bool) -> None:
        self.path = path
        self.key = b""
        self._scratch = contextlib.ExitStack()
        try:
            with self.telling():
                self._database = self._connect(for_run=for_run)
                self._scratch.callback(self._database.close)
                self._prepare(for_run=for_run)
        except BaseException:
            self.close()
            raise

    def _connect(self, *, for_run: bool) -> sqlite3.Connection:
        if for_run or all(os.access(place, os.W_OK) for place in (self.path, self.path.parent)):
            return _open(self.path)
        log = Path(f"{self.path}-wal")
        if not log.exists() or not log.stat().st_size:
            return _open(f"{self.path.as_uri()}?mode=ro&immutable=1", uri=True)
        # A run was killed: its last rows are in the log, which cannot be read without writing.
        folder = self._scratch.enter_context(tempfile.TemporaryDirectory(prefix="scoopsci-"))
        copy = Path(folder, "ledger")
        shutil.copyfile(self.path, copy)
        shutil.copyfile(log, f"{copy}-wal")
        return _open(copy)

    def _prepare(self, *, for_run: bool) -> None:
        run = self._database.execute
        # No other process may use it. Set first, this avoids the need for shared memory.
        run("PRAGMA locking_mode = EXCLUSIVE")
        run("PRAGMA trusted_schema = OFF")
        run("PRAGMA cell_size_check = ON")
        (found,), (version,) = (
            run("PRAGMA application_id").fetchone(),
            run("PRAGMA user_version").fetchone(),
        )
        schema = [row[0] for row in run("SELECT sql FROM sqlite_schema ORDER BY name")]
        self.is_new = not schema and found == version == 0
        if self.is_new and not for_run:
            raise LedgerError(f"{self.path} is empty; name the ledger of a run")
        if not self.is_new:
            self._check_kind(found, version, schema)
        if for_run:
            run("PRAGMA journal_mode = WAL")
            run("PRAGMA synchronous = FULL")
            run("BEGIN IMMEDIATE")
            run("COMMIT")

    def _check_kind(self, found: int, version: int, schema: list[Any]) -> None:
        if found == APPLICATION_ID and version in range(1, VERSION):
            raise LedgerError(
                f"{self.path} is the ledger of a former version of scoopsci: its layout is "
                f"{version}, whose rows cannot be checked, and this one needs {VERSION}; finish "
                "its run with that version, or name another file"
            )
        if (found, version) != (APPLICATION_ID, VERSION):
            raise LedgerError(
                f"{self.path} is a database of something else, or of another version of scoopsci "
                f"(version {version}, this one needs {VERSION}); name another file"
            )
        if schema != SCHEMA:
            raise self.damaged("it has other tables than a ledger")

    def create(self) -> None:
        """Create the tables, within a transaction."""
        for statement in SCHEMA:
            self._database.execute(statement)
        self._database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        self._database.execute(f"PRAGMA user_version = {VERSION}")

    def damaged(self, what: str, remedy: str = REMEDY) -> LedgerError:
        """Return the error that says what is damaged."""
        return LedgerError(f"{self.path} is damaged: {what}; {remedy}")

    def select(self, table: str, where: str = "", values: Sequence[Any] = ()) -> Iterator[Any]:
        """Yield rows, without their checksums, which are checked.

        Parameters
        ----------
        table, where : str
            Name of the table, and the end of the statement.
        values : sequence
            Its parameters.
        """
        with self.telling():
            rows = self._database.execute(f"SELECT * FROM {table} {where}", values)
            for *row, checksum in rows:
                self._check(table, row, checksum)
                yield row

    def _check(self, table: str, row: list[Any], checksum: Any) -> None:
        has_types = [*map(type, row)] == TYPES[table]
        if has_types and hash_rows([row], table, self.key) == checksum:
            return
        if table != "ranges" or type(row[0]) is not int or type(row[1]) is not int:
            raise self.damaged(f"its {table} cannot be read (a checksum is wrong)")
        start, stop = row[:2]
        statement = f"DELETE FROM ranges WHERE (start, stop) = ({start}, {stop})"
        raise self.damaged(
            f"blocks {start} to {stop - 1} cannot be read (their checksum is wrong)",
            f"use a copy of it, or compute these blocks again: sqlite3 "
            f"{shlex.quote(str(self.path))} '{statement}'",
        )

    def find(self, columns: str, table: str, where: str = "", values: Sequence[Any] = ()) -> Any:
        """Return some columns of rows, unchecked: only to decide which rows to select."""
        with self.telling():
            statement = f"SELECT {columns} FROM {table} {where}"
            return self._database.execute(statement, values).fetchall()

    def insert(self, table: str, rows: Iterable[Sequence[Any]], how: str = "INSERT") -> None:
        """Add rows, within a transaction.

        Parameters
        ----------
        table : str
            Name of the table.
        rows : iterable of sequence
            Integers, text and bytes.
        how : str
            What to do if there is such a row: ``INSERT OR REPLACE``, ``INSERT OR IGNORE``.
        """
        signed = [(*row, hash_rows([row], table, self.key)) for row in rows]
        if signed:
            marks = ", ".join("?" * len(signed[0]))
            self._database.executemany(f"{how} INTO {table} VALUES ({marks})", signed)

    def check_whole(self) -> None:
        """Let SQLite check the file."""
        with self.telling():
            told = [row[0] for row in self._database.execute("PRAGMA integrity_check")]
        if told != ["ok"]:
            raise self.damaged("; ".join(map(str, told)))

    def close(self) -> None:
        """Close the file, so that others can use it."""
        self._scratch.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit all that is inserted, or none of it."""
        with self.telling():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def telling(self) -> Iterator[None]:
        """Turn errors of SQLite into LedgerErrors that name a remedy."""
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError) as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
            what = _FAILURES.get(code, f"is damaged, or cannot be used; {REMEDY}")
            raise LedgerError(f"{self.path} {what} ({error})") from error


def _open(place: Path | str, *, uri: bool = False) -> sqlite3.Connection:
    return sqlite3.connect(
        place, timeout=0.0, isolation_level=None, check_same_thread=False, uri=uri
    )


_FAILURES = {
    sqlite3.SQLITE_BUSY: "is in use by another run; wait for its end, or name another file",
    sqlite3.SQLITE_LOCKED: "is in use by another run; wait for its end, or name another file",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; name a file in a folder that can be written",
    sqlite3.SQLITE_READONLY: "cannot be written; name a file that can",
    sqlite3.SQLITE_FULL: "does not fit on the disk; make room and run again, nothing is lost",
    sqlite3.SQLITE_IOERR: "cannot be read or written; check the disk and run again",
    sqlite3.SQLITE_CORRUPT: f"is damaged; {REMEDY}",
    sqlite3.SQLITE_NOTADB: "is not a ledger; name another file",
    sqlite3.SQLITE_TOOBIG: "cannot hold a partial of over 1 GB; return less from a block",
}
