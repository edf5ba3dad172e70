"""Ledgers for tests: small ones, and some whose rows are changed and signed again."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from scoopsci.road.ledgerfile import TABLES, hash_rows


def craft(path: Path, table: str, change: Callable[[list[Any]], list[Any] | None]) -> None:
    """Change the rows of a table, or drop those changed to None, and sign all rows again."""
    with closing(sqlite3.connect(path)) as database, database:
        rows = {
            each: [list(row[:-1]) for row in database.execute(f"SELECT * FROM {each}")]
            for each in TABLES
        }
        rows[table] = [changed for row in rows[table] if (changed := change(row)) is not None]
        key = hash_rows(sorted(rows["identity"]), "identity")
        for each, those in rows.items():
            database.execute(f"DELETE FROM {each}")
            for row in those:
                marks = ", ".join("?" * (len(row) + 1))
                signed = (*row, hash_rows([row], each, key))
                database.execute(f"INSERT INTO {each} VALUES ({marks})", signed)


def shrink(path: Path) -> bytes:
    """Store a ledger in pages of 512 bytes, few of which are unused, and return the file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        for statement in (
            "PRAGMA journal_mode = DELETE",
            "PRAGMA page_size = 512",
            "VACUUM",
            "PRAGMA journal_mode = WAL",
        ):
            database.execute(statement)
    return path.read_bytes()
