"""The agent's machine: when to start, watch and end the workers of its host.

Orders come from the broker as lines, which may stop coming; facts go back the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from scoopsci.protocol.machine import Machine
from scoopsci.protocol.timing import PARTING_S

__all__ = [
    "AgentMachine",
    "Busy",
    "Cut",
    "End",
    "Ended",
    "Fork",
    "Forked",
    "HangUp",
    "Heard",
    "Kill",
    "LetGo",
    "Looked",
    "ReadVitals",
    "Start",
    "Tell",
    "Vitals",
]

#: Workers reported in one line, which must not exceed an atomic write to a pipe.
N_IN_LINE = 50

#: Lines of a heartbeat: half as many as a pipe has pages.
MOST_LINES = 8


# --- events


class Start(NamedTuple):
    """The agent begins to serve, with its first line."""

    facts: Mapping[str, Any]


class Heard(NamedTuple):
    """Something has come from the broker: lines, or the beginning of one."""

    orders: Sequence[Mapping[str, Any]]


class Cut(NamedTuple):
    """The connection to the broker has ended, or cannot be written to."""


class Forked(NamedTuple):
    """A worker has been started."""

    name: str
    pid: int


class Busy(NamedTuple):
    """A worker that was let go runs a task, and will not end."""

    pid: int


class Ended(NamedTuple):
    """A worker has ended."""

    pid: int
    how: str
    own_doing: bool


class Looked(NamedTuple):
    """Some time has passed; the processes have these states and use so much memory."""

    states: Mapping[int, tuple[str, int]]


class Vitals(NamedTuple):
    """The state of the host."""

    vitals: Mapping[str, Any]


# --- actions


class Tell(NamedTuple):
    """Send a line to the broker."""

    facts: Mapping[str, Any]


class Fork(NamedTuple):
    """Start a worker."""

    name: str
    socket: str


class LetGo(NamedTuple):
    """Ask a worker to end as programs do."""

    pid: int


class Kill(NamedTuple):
    """Kill a worker, and what it has started."""

    pid: int


class ReadVitals(NamedTuple):
    """Report the state of the host, unless the broker has not read what it was told before."""


class HangUp(NamedTuple):
    """End our connection's sshd, which may not notice for hours that its link is down."""


class End(NamedTuple):
    """There are no workers any more: end."""


@dataclass
class _Child:
    name: str
    pid: int
    n_bytes: int = 0
    stopped: bool = False
    ended_for: str | None = None
    deadline_s: float | None = None


class AgentMachine(Machine):
    """The rules of an agent.

    Parameters
    ----------
    config : mapping
        The broker's first line, of which it reads ``heartbeat_s``, ``lease_s``, ``hangs_up`` and
        ``memory_bytes``.
    now_s : float
        When that has come.

    Attributes
    ----------
    connected : bool
        Whether it serves the broker; if not, it ends its workers, and then itself.
    """

    def __init__(self, config: Mapping[str, Any], now_s: float) -> None:
        super().__init__()
        self._config = config
        self._children: dict[int, _Child] = {}
        self.connected = True
        self._heard_s = now_s
        self._beaten_s: float | None = None
        self._n_beats = 0
        self._handlers = {
            Start: lambda event: self._tell(**event.facts),
            Heard: self._on_heard,
            Cut: lambda _: self._part(),
            Forked: self._on_forked,
            Busy: self._on_busy,
            Ended: self._on_ended,
            Looked: self._on_looked,
            Vitals: self._on_vitals,
        }

    def _tell(self, **facts: Any) -> None:
        if self.connected:
            self.act(Tell(facts))

    # --- orders

    def _on_heard(self, event: Heard) -> None:
        self._heard_s = self.now_s
        for order in event.orders:
            for name in order.get("start", ()):
                self.act(Fork(name, order["socket"]))
            if "kill" in order:
                self._end_named(order["kill"], order["why"], gently=order["gently"])

    def _end_named(self, name: str, why: str, *, gently: bool) -> None:
        for child in self._children.values():
            if child.name == name:
                child.ended_for = why
                if gently:
                    self._let_go(child)
                else:
                    self.act(Kill(child.pid))

    def _let_go(self, child: _Child) -> None:
        child.deadline_s = self.now_s + PARTING_S
        self.act(LetGo(child.pid))

    # --- workers

    def _on_forked(self, event: Forked) -> None:
        child = self._children[event.pid] = _Child(*event)
        self._tell(started=child.name, pid=child.pid)
        if not self.connected:
            self._let_go(child)

    def _on_busy(self, event: Busy) -> None:
        child = self._children.get(event.pid)
        if child is not None:
            child.deadline_s = None
            self.act(Kill(child.pid))

    def _on_ended(self, event: Ended) -> None:
        child = self._children.pop(event.pid)
        self._tell(
            ended=child.name,
            how=event.how,
            own_doing=event.own_doing,
            killed_for=child.ended_for,
        )
        self._end_if_alone()

    def _on_looked(self, event: Looked) -> None:
        for child in self._children.values():
            if child.deadline_s is not None and self.now_s > child.deadline_s:
                child.deadline_s = None
                self.act(Kill(child.pid))
            if child.pid in event.states:
                self._look_at(child, *event.states[child.pid])
        if not self.connected:
            return
        if self.now_s - self._heard_s > self._config["lease_s"]:
            self._part()
            if self._config["hangs_up"]:
                self.act(HangUp())
        elif self._beaten_s is None or self.now_s - self._beaten_s >= self._config["heartbeat_s"]:
            self._beaten_s = self.now_s
            self.act(ReadVitals())

    def _look_at(self, child: _Child, state: str, n_bytes: int) -> None:
        """Detect a worker that has been stopped, or that exceeds its memory limit."""
        child.n_bytes = n_bytes
        if (state == "T") != child.stopped:
            child.stopped = not child.stopped
            self._tell(stopped=child.name, now=child.stopped)
        limit = self._config["memory_bytes"]
        if limit is not None and n_bytes > limit:
            child.ended_for = "memory"
            self.act(Kill(child.pid))

    def _on_vitals(self, event: Vitals) -> None:
        """Send a heartbeat, with the state of the host and of the workers."""
        children = list(self._children.values())
        # With very many workers, each heartbeat reports others: it must fit into the pipe.
        self._n_beats += 1
        shift = self._n_beats * N_IN_LINE * MOST_LINES % max(1, len(children))
        children = (children[shift:] + children[:shift])[: N_IN_LINE * MOST_LINES]
        for start in range(0, max(1, len(children)), N_IN_LINE):
            some = children[start : start + N_IN_LINE]
            self._tell(vitals=event.vitals, workers={child.name: child.n_bytes for child in some})

    # --- the end

    def _part(self) -> None:
        """End the workers, those that run no task as programs end."""
        if not self.connected:
            return
        self.connected = False
        for child in self._children.values():
            self._let_go(child)
        self._end_if_alone()

    def _end_if_alone(self) -> None:
        if not self.connected and not self._children:
            self.act(End())
