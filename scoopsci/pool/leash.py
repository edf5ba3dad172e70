"""How an agent asks its workers to end as programs do, and knows which ones cannot."""

from __future__ import annotations

import mmap
import os

__all__ = ["Leash"]


class Leash:
    """A pipe from the agent to a worker, and a byte in which the worker tells that it is busy.

    It is made before the fork; each side calls its own methods.
    """

    def __init__(self) -> None:
        self._worker_end, self._agent_end = os.pipe()
        self._state = mmap.mmap(-1, 1)

    # --- the agent's

    def hold(self) -> None:
        """Close what is the worker's."""
        os.close(self._worker_end)

    def let_go(self) -> bool:
        """Ask the worker to end, and return whether it can: one that runs a task cannot."""
        self.drop()
        return self._state[0] == 0

    def drop(self) -> None:
        """Close what is the agent's: also in a worker, of others."""
        if self._agent_end >= 0:
            os.close(self._agent_end)
        self._agent_end = -1

    # --- the worker's

    def fileno(self) -> int:
        """Return the descriptor that is ready to be read when the worker is to end."""
        return self._worker_end

    def mark(self, *, busy: bool) -> None:
        """Tell whether a task runs."""
        self._state[0] = busy
