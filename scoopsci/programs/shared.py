"""The module that a program imports as `scoop.shared`: named values for all processes."""

from __future__ import annotations

import time
from typing import Any

from scoopsci.programs.pickling import pack
from scoopsci.programs.session import current_session

__all__ = ["getConst", "setConst"]


def setConst(**kwargs: Any) -> None:  # noqa: N802
    """Set named values for all processes; they cannot be changed.

    Raises
    ------
    TypeError
        If a name is already in use.
    TaskError
        If a value cannot be pickled.
    """
    session = current_session()
    session.take_in(0.0)
    for name, value in kwargs.items():
        if name not in session.owners:
            session.set_constant(name, pack(value))
            while name not in session.owners:
                session.take_in(1.0)
            if session.owners[name] == session.name:
                continue
        raise TypeError(f"the constant {name!r} exists already; constants cannot be changed")


def getConst(name: str, timeout: float = 0.1) -> Any:  # noqa: N802
    """Return the value of a name, or None if none arrives within `timeout` seconds."""
    session = current_session()
    deadline_s = time.monotonic() + timeout
    session.take_in(0.0)
    while name not in session.constants and (left_s := deadline_s - time.monotonic()) > 0:
        session.take_in(min(left_s, 1.0))
    return session.constants[name]() if name in session.constants else None
