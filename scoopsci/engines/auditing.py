"""Notices what user code in a worker is about to do, by Python's audit events."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

__all__ = ["notice"]


def notice(events: Iterable[str], act: Callable[[str, tuple[Any, ...]], None]) -> None:
    """Call a function just before each of these events; for worker processes.

    Parameters
    ----------
    events : iterable of str
        Names from Python's table of audit events.
    act : callable
        ``act(event, arguments)``.
    """
    _watched().update(dict.fromkeys(events, act))


@cache
def _watched() -> dict[str, Callable[[str, tuple[Any, ...]], None]]:
    actions: dict[str, Callable[[str, tuple[Any, ...]], None]] = {}

    # It outlives this module at the interpreter's end, and so uses no globals of it.
    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        act = actions.get(event)
        if act is not None:
            act(event, arguments)

    sys.addaudithook(hook)
    return actions
