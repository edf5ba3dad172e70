"""What all machines have in common: events in, actions out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["Machine"]


class Machine:
    """A side of the protocol, without sockets, threads, processes and clock.

    Whoever holds it, its shell, reports events one after another, and performs the actions in their
    order. The same events give the same actions.

    Attributes
    ----------
    now_s : float
        Time of the last event, on the clock of the shell.
    """

    #: For each class of events, the method that handles it.
    _handlers: Mapping[type[Any], Callable[..., None]]

    def __init__(self) -> None:
        self.now_s = 0.0
        self._actions: list[Any] = []

    @property
    def events(self) -> dict[str, type[Any]]:
        """The classes of its events by their names."""
        return {kind.__name__: kind for kind in self._handlers}

    def handle(self, now_s: float, event: Any) -> list[Any]:
        """Handle an event.

        Parameters
        ----------
        now_s : float
            When it happened, in seconds of a clock that never goes back.
        event : object
            One of those that the machine's module names.

        Returns
        -------
        list
            The actions to perform.
        """
        self.now_s = now_s
        self._actions = []  # a signal may have ended the last call
        self._handlers[type(event)](event)
        actions, self._actions = self._actions, []  # what they carry may be large
        return actions

    def act(self, action: Any) -> None:
        """Have an action performed after those before it."""
        self._actions.append(action)
