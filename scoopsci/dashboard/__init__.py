"""The live page of an engine: its runs, hosts, progress and losses; read-only.

The page is served only on loopback, protected by a token. `board` is the handle that users hold,
`server` answers requests, `pulse` sends updates to open pages, `feed` assembles the state, `record`
holds the history of a run, and `machine` describes this machine. The page itself is page.html,
page.css and page.js, sent as one.
"""

from __future__ import annotations

from scoopsci.dashboard.board import Dashboard

__all__ = ["Dashboard"]
