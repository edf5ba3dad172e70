"""Engines that tell whatever a test wants, for live pages; and requests to these."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from scoopsci.dashboard import Dashboard
from scoopsci.reporting.progress import Progress, ProgressCallback
from tests.conftest import becomes

GENEROUS_S = 60.0

#: Names and reasons come from elsewhere: a page must show them as they are.
HOSTILE = "<img src=x onerror=\"document.title='harmed'\"><b>bold</b>&amp;\u202e</script>"


class StatedEngine:
    """Tells what it is told to tell."""

    name = "pool"

    def __init__(
        self, status: dict[str, Any] | Exception | None = None, n_workers: int = 2
    ) -> None:
        self.told = status
        self.n_workers = n_workers
        self.watchers: list[ProgressCallback] = []

    def status(self) -> dict[str, Any] | None:
        if isinstance(self.told, Exception):
            raise self.told
        return self.told

    def run(self, **told: Any) -> None:
        """Let a run on it tell something."""
        state = make_progress(**told)
        for watch in self.watchers:
            watch(state)


def make_progress(**told: Any) -> Progress:
    """Return what a run tells, of which the test names a part."""
    facts = {"n_done": 1, "n_blocks": 10, "n_in_flight": 2, "n_lost": 0, "elapsed_s": 1.0}
    return Progress(**{**facts, **told})


def make_status(n_hosts: int = 4, n_workers: int = 25, label: str = "node{}") -> dict[str, Any]:
    """Return the status of a pool of many workers, each in some state."""
    rng = random.Random(7)
    states = ["running"] * 8 + ["idle", "starting", "stopped", "ending"]
    hosts = [
        {
            "label": label.format(number),
            "name": f"node{number}",
            "connected": True,
            "n_wanted": n_workers,
            "load": 3.25 * number,
            "n_cores": 32,
            "memory_bytes": 64 << 30,
            "available_bytes": (60 - 10 * number) << 30,
            "workers": [
                {
                    "pid": 10_000 * (number + 1) + i,
                    "state": rng.choice(states),
                    "memory_bytes": rng.randrange(10**8, 10**9),
                    "n_done": rng.randrange(5_000),
                }
                for i in range(n_workers)
            ],
        }
        for number in range(n_hosts)
    ]
    return {
        "hosts": hosts,
        "losses": [
            {"at_s": 1.8e9 + i, "host": label.format(i % 4), "pid": 4_000 + i, "why": f"ended {i}"}
            for i in range(30)
        ],
        "tasks": {"waiting": 12_345, "running": 67, "done": 89_012, "lost": 30, "repeated": 4},
    }


def ask(
    board: Dashboard,
    path: str = "/",
    *,
    method: str = "GET",
    token: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> http.client.HTTPResponse:
    """Ask a page for something, by its own token unless another one is given."""
    parts = urlsplit(board.url)
    given = f"?{parts.query}" if token is None else token
    connection = http.client.HTTPConnection(parts.netloc, timeout=GENEROUS_S)
    with contextlib.closing(connection):
        connection.request(method, path + given, headers=dict(headers or {}))
        response = connection.getresponse()
        if "event-stream" not in (response.headers["Content-Type"] or "") or method == "HEAD":
            response.body = response.read()  # type: ignore[attr-defined]
    return response


@contextlib.contextmanager
def listen(board: Dashboard) -> Iterator[Iterator[dict[str, Any]]]:
    """Yield the events of a page."""
    parts = urlsplit(board.url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=GENEROUS_S)
    with contextlib.closing(connection):
        connection.request("GET", f"/events?{parts.query}")
        with connection.getresponse() as response:
            assert response.status == 200
            yield (
                json.loads(line.removeprefix(b"data: "))
                for line in response
                if line.startswith(b"data: ")
            )


def look(board: Dashboard) -> dict[str, Any]:
    """Return what a page shows to who opens it now."""
    assert becomes(lambda: not board._pulse._listeners)  # who came before shares the last look
    with listen(board) as events:
        state: dict[str, Any] = next(events)["state"]
        return state
