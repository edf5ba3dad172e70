"""The server of the page: access control, and what is sent.

Every request is refused unless it uses the page's own address and token. The Host header is
checked, since a foreign name may be made to resolve to this machine (DNS rebinding).
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable
from importlib.resources import files
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream, StreamClosedError
from tornado.web import Application, HTTPError, RequestHandler

from scoopsci.dashboard.pulse import Listener, Pulse

__all__ = ["PageServer", "make_page"]

#: Limit of open connections, so that strangers cannot exhaust the program's descriptors; at the
#: limit, connections that have not shown the token yet are closed first.
MOST_CONNECTIONS = 64

#: An idle connection is closed after this.
PATIENCE_S = 20.0

#: Milliseconds after which a browser reconnects.
RETRY_MS = 1000

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def make_page() -> tuple[str, str]:
    """Return the page, and the policy that forbids a browser to load anything else.

    Returns
    -------
    tuple of str
        HTML with its style and script in it, and the header ``Content-Security-Policy``.
    """
    folder = files("scoopsci.dashboard")
    style, script = (folder.joinpath(f"page.{kind}").read_text("utf-8") for kind in ("css", "js"))
    html = folder.joinpath("page.html").read_text("utf-8")
    page = html.replace("/* page.css */", style).replace("/* page.js */", script)
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    return page, policy


def _hash(source: str) -> str:
    digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
    return f"'sha256-{digest}'"


class _Guarded(RequestHandler):
    """Answers requests that have the token, and refuses all others alike."""

    def initialize(self, port: int, token: bytes, admit: Callable[[IOStream], None]) -> None:
        self._admit = admit
        self._names = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
        self._token = token

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        for name, value in HEADERS.items():
            self.set_header(name, value)

    def prepare(self) -> None:
        # Read from the headers: tornado substitutes its own name for a missing one.
        if self.request.headers.get("Host") not in self._names:
            raise HTTPError(403)
        if self.request.method not in ("GET", "HEAD"):
            raise HTTPError(405)
        given = self.request.query_arguments.get("token", [b""])
        if not secrets.compare_digest(given[-1], self._token):
            raise HTTPError(403)
        self._admit(self.request.connection.stream)  # type: ignore[union-attr]

    def write_error(self, status_code: int, **_: Any) -> None:
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        if status_code == 405:
            self.set_header("Allow", "GET, HEAD")
        self.finish("" if self.request.method == "HEAD" else f"{status_code}\n")

    def log_exception(self, *_: Any) -> None:
        """Log nothing: addresses contain the token."""

    def compute_etag(self) -> None:
        return None


class _Page(_Guarded):
    def initialize(self, page: str, policy: str, **guard: Any) -> None:  # type: ignore[override]
        super().initialize(**guard)
        self._page, self._policy = page, policy

    def get(self) -> None:
        self.set_header("Content-Security-Policy", self._policy)
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish("" if self.request.method == "HEAD" else self._page)

    head = get


class _Events(_Guarded):
    _listener: Listener | None = None

    def initialize(self, pulse: Pulse, **guard: Any) -> None:  # type: ignore[override]
        super().initialize(**guard)
        self._pulse = pulse

    async def get(self) -> None:
        self.set_header("Content-Type", "text/event-stream; charset=utf-8")
        self._listener = listener = self._pulse.join()
        try:
            self.write(f"retry: {RETRY_MS}\n\n")
            await self.flush()
            while not listener.gone:
                is_new = await listener.wait()
                if listener.gone:
                    break
                self.write(self._pulse.write_event(is_new=is_new))
                await self.flush()
                if self._pulse.ended:
                    break
        except StreamClosedError:
            pass
        finally:
            self._pulse.part(listener)

    def head(self) -> None:
        self.set_header("Content-Type", "text/event-stream; charset=utf-8")
        self.finish()

    def on_connection_close(self) -> None:
        if self._listener is not None:
            self._listener.leave()


class _Nothing(_Guarded):
    def get(self) -> None:
        raise HTTPError(404)

    head = get


class PageServer(HTTPServer):
    """Serves the page and its events.

    Parameters
    ----------
    pulse : Pulse
        Source of the updates.
    port : int
        Port of the socket that it will serve.
    token : str
        Token that every address must contain.
    """

    def initialize(self, pulse: Pulse, port: int, token: str) -> None:  # type: ignore[override]
        """Set up the server; this base class calls it in place of ``__init__``."""
        page, policy = make_page()
        self._strangers: OrderedDict[IOStream, None] = OrderedDict()
        guard = {"port": port, "token": token.encode(), "admit": self._admit}
        application = Application(
            [
                ("/", _Page, {**guard, "page": page, "policy": policy}),
                ("/events", _Events, {**guard, "pulse": pulse}),
            ],
            default_handler_class=_Nothing,
            default_handler_args=guard,
            log_function=lambda handler: None,
        )
        super().initialize(
            application,
            no_keep_alive=True,
            idle_connection_timeout=PATIENCE_S,
            body_timeout=PATIENCE_S,
            max_header_size=1 << 14,
            max_body_size=1 << 14,
        )

    def handle_stream(self, stream: IOStream, address: Any) -> None:
        """Serve a connection; at the limit, close the oldest one without a token."""
        for closed in [known for known in self._strangers if known.closed()]:
            del self._strangers[closed]
        if len(self._connections) >= MOST_CONNECTIONS:
            if not self._strangers:
                stream.close()
                return
            oldest, _ = self._strangers.popitem(last=False)
            oldest.close()
        self._strangers[stream] = None
        super().handle_stream(stream, address)

    def _admit(self, stream: IOStream) -> None:
        self._strangers.pop(stream, None)
