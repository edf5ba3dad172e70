"""The connection of a process to the pool, in the origin and in each worker."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from typing import Any, Generic, Protocol, TypeVar

from scoopsci.errors import EngineError
from scoopsci.pool.lifetime import check_owner
from scoopsci.programs.pickling import unpack

__all__ = ["Arrivals", "Session", "Watched", "current_session", "do_nothing", "open_session"]


class Watched(Protocol):
    """What a session knows about a future: whether it has ended, and who must be notified."""

    watchers: list[Arrivals[Any]]

    @property
    def isDone(self) -> bool:  # noqa: N802, SCOOP's name
        """Whether it has ended."""


F = TypeVar("F", bound=Watched)


class Arrivals(Generic[F]):
    """Futures in the order in which they end.

    Parameters
    ----------
    futures : iterable of Future
        The futures to wait for.
    """

    def __init__(self, futures: Iterable[F]) -> None:
        self.ended: deque[F] = deque()
        #: Called when a future ends; set by the waiting thread.
        self.wake: Callable[[], None] = do_nothing
        self._futures = list(futures)
        for future in self._futures:
            if future.isDone:
                self.ended.append(future)
            else:
                future.watchers.append(self)

    def leave(self) -> None:
        """Stop watching the futures, which programs may query many times."""
        for future in self._futures:
            with contextlib.suppress(ValueError):
                future.watchers.remove(self)

    def note_end(self, future: F) -> None:
        """Record a future that has ended."""
        self.ended.append(future)
        self.wake()


def do_nothing() -> None:
    """Do nothing, when nobody waits."""


class Session(ABC, Generic[F]):
    """Sends tasks and takes their outcomes, all in the thread that runs the program.

    Attributes
    ----------
    constants : dict
        The constants of `scoop.shared`: name to a function that returns the value.
    owners : dict
        Name to the process that has set it.
    glance_s : float
        Time to wait when only checking whether a future has ended.
    """

    glance_s = 0.0

    def __init__(self) -> None:
        #: A socket belongs to one thread, and a forked process has only the thread that forked.
        self.place = os.getpid(), threading.get_ident()
        self.constants: dict[str, Callable[[], Any]] = {}
        self.owners: dict[str, bytes] = {}

    @property
    @abstractmethod
    def name(self) -> bytes:
        """The name of this process at the broker."""

    @abstractmethod
    def send(self, future: F, frames: Sequence[Any]) -> None:
        """Send a task; its outcome settles the future."""

    @abstractmethod
    def cancel(self, future: F) -> bool:
        """Take a task back that has not started, and tell whether that was possible."""

    @abstractmethod
    def set_constant(self, name: str, frames: Sequence[Any]) -> None:
        """Name a value for all processes."""

    @abstractmethod
    def take_in(self, timeout_s: float) -> None:
        """Process what has arrived, or else wait some time for something to arrive."""

    def note_constant(self, name: str, owner: bytes, frames: Sequence[Any]) -> None:
        """Record a value, which is not unpickled before the program asks for it."""
        if name not in self.owners:
            self.owners[name], self.constants[name] = owner, cache(partial(unpack, frames))

    def wait(self, arrivals: Arrivals[F], deadline_s: float | None = None) -> F | None:
        """Return the next future that has ended, or None once the deadline has passed."""
        left_s = _time_left(deadline_s)
        while not arrivals.ended:
            self.wait_a_while(arrivals, max(left_s, self.glance_s))
            left_s = _time_left(deadline_s)
            if left_s == 0.0 and not arrivals.ended:
                arrivals.leave()
                return None
        return arrivals.ended.popleft()

    def wait_a_while(self, arrivals: Arrivals[F], timeout_s: float) -> None:
        """Wait until something has changed, or the time has expired."""
        self.take_in(timeout_s)


def _time_left(deadline_s: float | None) -> float:
    return float("inf") if deadline_s is None else max(0.0, deadline_s - time.monotonic())


_session: Session[Any] | None = None


def open_session(session: Session[Any] | None) -> None:
    """Make it the session of this process."""
    global _session
    _session = session


def current_session() -> Session[Any]:
    """Return the session of this process.

    Raises
    ------
    EngineError
        If there is none, as while a worker loads the script, or it belongs to another thread.
    """
    if _session is None:
        raise EngineError(
            "scoop.futures must not be used while a worker loads the script; put the program's own "
            "work under: if __name__ == '__main__'"
        )
    check_owner(_session.place[0], "scoop.futures")
    if _session.place != (os.getpid(), threading.get_ident()):
        raise EngineError(
            "scoop.futures must be used only by the thread that runs the program or the task"
        )
    return _session
