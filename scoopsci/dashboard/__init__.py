"""The live page of an engine: what runs, where, how far it is, and what was lost; read-only.

A page on loopback alone, behind a token. `board` is what users hold, `server` answers requests,
`pulse` sends news to those who watch, `feed` puts the news together, `record` remembers a run, and
`machine` looks at this one. The page itself is page.html, page.css and page.js, sent as one.
"""

from __future__ import annotations

from scoopsci.dashboard.board import Dashboard

__all__ = ["Dashboard"]
