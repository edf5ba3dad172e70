"""The log of a pool's losses, which is part of its status."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

__all__ = ["LossLog"]

#: Number of losses that are kept; older ones are dropped.
MOST_LOSSES = 200


class LossLog:
    """The last losses of a pool: workers that ended, and hosts that could not be reached."""

    def __init__(self) -> None:
        self._losses: deque[dict[str, Any]] = deque(maxlen=MOST_LOSSES)

    def add(self, host: str, pid: int | None, why: str) -> None:
        """Record a loss: of a worker, or of a host if no process is given."""
        self._losses.append({"at_s": time.time(), "host": host, "pid": pid, "why": why})

    def __iter__(self) -> Any:
        return iter(self._losses)
