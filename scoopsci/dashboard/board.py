"""The user's handle of a live page: its address, and a way to close it."""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import socket
import threading
import weakref
from contextlib import suppress
from html import escape
from typing import Any, Protocol, Self

from scoopsci.basics.arguments import check_count
from scoopsci.dashboard.feed import Feed
from scoopsci.dashboard.pulse import Pulse
from scoopsci.dashboard.server import PageServer
from scoopsci.reporting.progress import ProgressCallback

__all__ = ["Dashboard"]

#: Number of random bytes in a token.
TOKEN_BYTES = 24

#: Time given to open pages to receive the last state.
PARTING_S = 1.0

#: Time to wait for a page's thread to end.
CLOSING_S = 10.0

#: Pages of this process; its forks must close what they inherit, see `_forget_all`.
_open: weakref.WeakSet[Dashboard] = weakref.WeakSet()


class Watched(Protocol):
    """An engine, as far as a page needs it."""

    name: str
    watchers: list[ProgressCallback]

    @property
    def n_workers(self) -> int:
        """Number of workers; 0 if unknown."""

    def status(self) -> dict[str, Any] | None:
        """Return the state of hosts, workers and tasks, or None."""


class Dashboard:
    """A live page of an engine's runs, accessible only from this machine.

    It is closed with its engine at the latest. Use it as a context manager, or call `close`.

    Parameters
    ----------
    engine : Engine
        Engine to show.
    port : int
        Port on 127.0.0.1; by default any free one.

    Attributes
    ----------
    url : str
        Its address. The token in it grants read-only access: keep it secret.

    Raises
    ------
    OSError
        If the port is in use.
    ValueError, TypeError
        If the port is invalid.

    Examples
    --------
    >>> import scoopsci
    >>> with scoopsci.open_engine("serial") as engine, engine.dashboard() as page:
    ...     page.url.partition("token=")[0].startswith("http://127.0.0.1:")
    True
    """

    def __init__(self, engine: Watched, port: int = 0) -> None:
        self._socket = _listen(port)
        self._port = self._socket.getsockname()[1]
        self._token = secrets.token_urlsafe(TOKEN_BYTES)
        self.url = f"http://127.0.0.1:{self._port}/?token={self._token}"
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._closed = False
        # A weak reference, so that an engine without other references is closed.
        watched = weakref.ref(engine)
        self._feed = Feed(engine.name, lambda: _ask(watched), lambda: _count(watched))
        self._watchers = engine.watchers
        self._watchers.append(self._feed.note)
        started = threading.Event()
        name = f"live-page-{self._port}"
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=lambda: self._run(started), daemon=True, name=name)
        self._thread.start()
        started.wait()
        if self._failure is not None:
            self._watchers.remove(self._feed.note)
            self._socket.close()
            raise self._failure
        _open.add(self)
        self._finalizer = weakref.finalize(engine, self.close)

    def __repr__(self) -> str:
        return f"<Dashboard {self.url}{', closed' if self._closed else ''}>"

    def _repr_html_(self) -> str:
        if self._closed:
            return "live page, closed"
        link = f'<a href="{escape(self.url)}" target="_blank" rel="noopener noreferrer">'
        return f"{link}live page</a>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Send the last state to open pages, and stop serving."""
        if os.getpid() != self._pid:
            return
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._finalizer.detach()
        with suppress(ValueError):
            self._watchers.remove(self._feed.note)
        self._loop.call_soon_threadsafe(self._stop.set)
        # An engine may be finalised in the page's own thread.
        if threading.current_thread() is not self._thread:
            self._thread.join(CLOSING_S)

    # --- the thread

    def _run(self, started: threading.Event) -> None:
        try:
            asyncio.run(self._serve(started))
        except BaseException as failure:
            self._failure = failure
        finally:
            started.set()

    async def _serve(self, started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._pulse = Pulse(self._feed.take)
        self._server = PageServer(self._pulse, self._port, self._token)
        self._server.add_socket(self._socket)
        taking = asyncio.create_task(self._pulse.run())
        started.set()
        await self._stop.wait()
        self._server.stop()
        taking.cancel()
        self._feed.end()
        self._pulse.end()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._pulse.wait_until_left(), PARTING_S)
        for connection in list(self._server._connections):
            connection.stream.close()  # even with requests pending
        await self._server.close_all_connections()

    def _forget(self) -> None:
        """Close what a forked child has inherited, so that the port is released with its parent."""
        self._socket.close()
        for connection in list(self._server._connections):
            if (inherited := connection.stream.socket) is not None:  # None once it is closed
                inherited.close()


def _listen(port: int) -> socket.socket:
    if check_count("port", port, least=0) > 65535:
        raise ValueError(f"port must be at most 65535, got {port}")
    try:
        listening = socket.create_server(("127.0.0.1", port))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise OSError(
            error.errno, f"port {port} is in use on this machine; choose another, or 0 for any"
        ) from None
    listening.setblocking(False)
    return listening


def _ask(watched: weakref.ref[Watched]) -> dict[str, Any] | None:
    engine = watched()
    return None if engine is None else engine.status()


def _count(watched: weakref.ref[Watched]) -> int:
    engine = watched()
    return 0 if engine is None else engine.n_workers


def _forget_all() -> None:
    for board in list(_open):
        board._forget()


os.register_at_fork(after_in_child=_forget_all)
