"""A module that keeps a connection to a database."""

import sqlite3

_connections = {}


def connect():
    if not _connections:
        _connections["only"] = sqlite3.connect(":memory:")
    return _connections["only"]


def ask(x):
    return connect().execute("select ? + 1", (x,)).fetchone()[0]
