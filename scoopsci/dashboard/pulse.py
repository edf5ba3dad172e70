"""Updates for open pages: the state is checked twice a second, and sent if it has changed."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

from scoopsci.reporting.receipts import as_plain

__all__ = ["Listener", "Pulse"]

PAUSE_S = 0.5

#: Time between heartbeats while nothing changes; the page waits for 2.5 times as long.
BEAT_S = 8.0


class Listener:
    """An open page."""

    def __init__(self) -> None:
        self._news = asyncio.Event()
        self.gone = False

    def wake(self) -> None:
        """Notify it of an update."""
        self._news.set()

    def leave(self) -> None:
        """Notify it for the last time."""
        self.gone = True
        self._news.set()

    async def wait(self) -> bool:
        """Wait for an update, up to the next heartbeat; return whether there was one."""
        try:
            await asyncio.wait_for(self._news.wait(), BEAT_S)
        except TimeoutError:
            return False
        self._news.clear()
        return True


class Pulse:
    """Takes snapshots while any page is open, and notifies all pages of new ones.

    Parameters
    ----------
    take : callable
        Returns the snapshot, ready for JSON.
    """

    def __init__(self, take: Callable[[], dict[str, Any]]) -> None:
        self._take = take
        self._text = ""
        self._listeners: set[Listener] = set()
        self._watched, self._left = asyncio.Event(), asyncio.Event()
        self._left.set()
        self.ended = False

    def join(self) -> Listener:
        """Return a new listener, which gets the state at once."""
        listener = Listener()
        self._listeners.add(listener)
        self._watched.set()
        self._left.clear()
        if self._text:
            listener.wake()
        return listener

    def part(self, listener: Listener) -> None:
        """Remove a listener."""
        self._listeners.discard(listener)
        if not self._listeners:
            self._watched.clear()
            self._left.set()
            self._text = ""  # it will be stale when the next page is opened

    async def wait_until_left(self) -> None:
        """Wait until no page is open."""
        await self._left.wait()

    def drop(self) -> None:
        """End all streams, as a broken connection does."""
        for listener in self._listeners:
            listener.leave()

    async def run(self) -> None:
        """Take snapshots until the task is cancelled."""
        while True:
            await self._watched.wait()
            self._look()
            await asyncio.sleep(PAUSE_S)

    def end(self) -> None:
        """Send the last state to all pages."""
        self.ended = True
        self._look()

    def _look(self) -> None:
        try:
            state = as_plain(self._take())
        except Exception as error:  # shown on the page, which would otherwise freeze
            state = {"failure": repr(error)}
        text = json.dumps(state, allow_nan=False)
        if text != self._text:
            self._text = text
            for listener in self._listeners:
                listener.wake()

    def write_event(self, *, is_new: bool) -> str:
        """Return an event with the current time, and the state if it is new."""
        state = f', "state": {self._text}' if is_new else ""
        return f'data: {{"now_s": {time.time()}{state}}}\n\n'
