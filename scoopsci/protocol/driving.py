"""The events and the actions of the driver's machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from scoopsci.errors import EngineError, TaskError, WorkerLostError

__all__ = [
    "Answered",
    "BrokerEnded",
    "Cancelled",
    "CheckSetup",
    "Fail",
    "Hear",
    "Judge",
    "Message",
    "NoteHosts",
    "NoteStatus",
    "Post",
    "Send",
    "Settle",
    "Stop",
    "Submit",
    "TakeBack",
    "Tick",
]

#: Called at each loss; returns the error to end with, or None to resubmit the task.
Judge = Callable[[WorkerLostError], EngineError | TaskError | None]


# --- events


class Submit(NamedTuple):
    """The program has submitted a task."""

    number: bytes
    frames: Sequence[Any]
    timeout_s: float | None = None
    judge: Judge | None = None


class TakeBack(NamedTuple):
    """The program cancels a task, at the broker, too, if that is possible."""

    number: bytes
    kill: bool = False
    asks_broker: bool = True


class Post(NamedTuple):
    """The program has a message for the broker."""

    head: bytes
    frames: Sequence[Any] = ()


class Message(NamedTuple):
    """A message has arrived from the broker."""

    head: bytes
    frames: Sequence[Any]


class BrokerEnded(NamedTuple):
    """The broker's process has ended."""

    status: int


class Tick(NamedTuple):
    """Some time has passed."""


# --- actions


class Send(NamedTuple):
    """Send a message to the broker."""

    head: bytes
    frames: Sequence[Any]


class Settle(NamedTuple):
    """A task has an outcome."""

    number: bytes
    frames: Sequence[Any]


class Fail(NamedTuple):
    """A task ends with an error."""

    number: bytes
    error: Exception


class Cancelled(NamedTuple):
    """A task has been cancelled."""

    number: bytes


class Answered(NamedTuple):
    """The broker has answered whether it could cancel a task."""

    number: bytes


class NoteHosts(NamedTuple):
    """The hosts have changed."""

    hosts: list[dict[str, Any]]


class NoteStatus(NamedTuple):
    """The status that was asked for."""

    number: bytes
    status: dict[str, Any]


class CheckSetup(NamedTuple):
    """A worker's initializer has an outcome."""

    frames: Sequence[Any]


class Hear(NamedTuple):
    """A message that the program has to handle."""

    head: bytes
    frames: Sequence[Any]


class Stop(NamedTuple):
    """The pool cannot continue: every task ends with this error."""

    error: EngineError
