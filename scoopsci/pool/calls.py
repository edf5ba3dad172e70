"""The calls of a pool's driver: those that wait, and those that the broker has."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from scoopsci.errors import EngineError, TaskError, WorkerLostError

__all__ = ["Call", "Calls", "Judge", "PoolFuture"]

#: Called at each loss; returns the error to end with, or None to resubmit the task.
Judge = Callable[[WorkerLostError], EngineError | TaskError | None]


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


@dataclass
class Call:
    """A task on its way.

    Attributes
    ----------
    future : PoolFuture
        Of its outcome.
    frames : sequence of buffer
        Sent once, and dropped then unless it may be resubmitted.
    timeout_s : float or None
        Seconds after which the worker that runs it is ended.
    judge : callable or None
        See `Judge`.
    """

    future: PoolFuture
    frames: Sequence[Any]
    timeout_s: float | None
    judge: Judge | None


class Calls:
    """Calls by their numbers, from any thread.

    Parameters
    ----------
    lock : RLock
        Of the driver.
    """

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        # Taking the first one from a plain dict takes longer the more have been taken.
        self._waiting: OrderedDict[bytes, Call] = OrderedDict()
        self._sent: dict[bytes, Call] = {}
        self.n_repeated = 0

    @property
    def n_waiting(self) -> int:
        """Number of calls that have not been sent."""
        return len(self._waiting)

    @property
    def n_sent(self) -> int:
        """Number of calls that the broker has."""
        return len(self._sent)

    def futures(self) -> list[PoolFuture]:
        """Return the futures of all of them."""
        return [call.future for call in [*self._sent.values(), *self._waiting.values()]]

    def add(self, number: bytes, call: Call) -> None:
        """Add a call that waits."""
        self._waiting[number] = call

    def next_to_send(self) -> tuple[bytes, Call] | None:
        """Return the call that has waited longest, and count it as sent."""
        with self._lock:
            if not self._waiting:
                return None
            number, call = self._waiting.popitem(last=False)
            self._sent[number] = call
            return number, call

    def find_sent(self, number: bytes) -> Call | None:
        """Return a call that the broker has."""
        return self._sent.get(number)

    def take_waiting(self, number: bytes) -> Call | None:
        """Remove and return a call that has not been sent."""
        return self._waiting.pop(number, None)

    def take_sent(self, number: bytes) -> Call | None:
        """Remove and return a call whose outcome has arrived."""
        with self._lock:
            return self._sent.pop(number, None)

    def repeat(self, number: bytes) -> None:
        """Resubmit a lost call, before all others."""
        with self._lock:
            self._waiting[number] = self._sent.pop(number)
            self._waiting.move_to_end(number, last=False)
            self.n_repeated += 1

    def fail_all(self, error: EngineError) -> None:
        """End all of them with an error."""
        with self._lock:
            futures = self.futures()
            self._sent.clear()
            self._waiting.clear()
        for future in futures:
            future.set_exception(error)
