"""The future of one task of a pool."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any, Protocol

__all__ = ["PoolFuture"]


class _Sender(Protocol):
    def take_back(self, number: bytes, *, kill: bool) -> None:
        """Cancel a task if it has not started, or end its worker."""


class PoolFuture(Future[Any]):
    """The future of one task of a pool."""

    def __init__(self, driver: _Sender, number: bytes) -> None:
        super().__init__()
        self._driver = driver
        self._number = number

    def cancel(self, *, kill: bool = False) -> bool:
        """Cancel the task unless it has started, or end the worker that runs it.

        Parameters
        ----------
        kill : bool
            Cancel it even if it runs: its worker is ended, and replaced.

        Returns
        -------
        bool
            Whether the task has been cancelled.
        """
        if self.done():
            return self.cancelled()
        self._driver.take_back(self._number, kill=kill)
        return self.cancelled()  # it may just have ended

    def settle_cancelled(self) -> None:
        """Cancel it: the task will not run."""
        super().cancel()
        self.set_running_or_notify_cancel()
