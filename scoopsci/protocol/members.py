"""The members of a pool and their tasks, as its broker sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from scoopsci.protocol.timing import FIRST_RETRY_S

__all__ = ["Host", "Task", "Worker"]


@dataclass(eq=False)
class Task:
    """A task at the broker.

    Attributes
    ----------
    sender, number : bytes
        Its name: that of the driver or worker that has sent it, and a number.
    timeout_s : float or None
        Seconds that it may run.
    frames : sequence
        Passed on unread, and dropped then.
    worker : bytes or None
        Who has it.
    deadline_s : float or None
        When it will have taken too long.
    """

    sender: bytes
    number: bytes
    timeout_s: float | None
    frames: Sequence[Any]
    worker: bytes | None = None
    deadline_s: float | None = None

    @property
    def key(self) -> bytes:
        """Its name."""
        return self.sender + self.number


@dataclass(eq=False)
class Worker:
    """A worker, from the order to start it to its end.

    Attributes
    ----------
    name : bytes
        Its name at the broker.
    host : Host
        Where it runs.
    pid : int or None
        Its process, once that is known.
    ready : bool
        Whether it has asked for a task.
    stopped_s : float or None
        When it was stopped by a signal.
    doomed : str or None
        Why it is being ended, if it is.
    retires : bool
        Whether it is to end once it has no task.
    n_requests : int
        Tasks that it had requested before it was stopped.
    n_answers : int
        Answers that have been sent to it as a sender of tasks.
    tasks : set of bytes
        Keys of the tasks that it has.
    running : bytes or None
        Of several tasks, the one that runs: the newest, unless it has reported another.
    ran_before : bytes or None
        The one that ran when it was given the newest.
    n_done : int
        Number of tasks whose outcome it has sent.
    memory_bytes : int or None
        Memory it uses, by its agent's last report.
    """

    name: bytes
    host: Host
    pid: int | None = None
    ready: bool = False
    stopped_s: float | None = None
    doomed: str | None = None
    retires: bool = False
    n_requests: int = 0
    n_answers: int = 0
    tasks: set[bytes] = field(default_factory=set)
    running: bytes | None = None
    ran_before: bytes | None = None
    n_done: int = 0
    memory_bytes: int | None = None


@dataclass(eq=False)
class Host:
    """A host, and its agent while there is one.

    Its ``vitals`` are reported by the agent with each heartbeat: ``load`` over a minute,
    ``n_cores``, total ``memory_bytes`` and ``available_bytes``.
    """

    number: int
    label: str
    is_here: bool
    n_workers: int | None
    has_agent: bool = False
    asked_s: float = 0.0
    folder: str | None = None
    stale: list[str] = field(default_factory=list)
    socket: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    vitals: dict[str, Any] = field(default_factory=dict)
    workers: dict[bytes, Worker] = field(default_factory=dict)
    n_bad_starts: int = 0
    retry_s: float = FIRST_RETRY_S
    retry_at_s: float | None = None
    n_forwardings: int = 0
    forwarding: int | None = None
    ever_ready: bool = False
