"""Faults of the protocol's history, to be put back one at a time: a simulation must find each."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple
from unittest import mock

from scoopsci.protocol import brokering, driving, messages, timing
from scoopsci.protocol.agent import AgentMachine, Looked
from scoopsci.protocol.broker import BrokerMachine
from scoopsci.protocol.driver import DriverMachine
from scoopsci.protocol.hosts import Hosts
from scoopsci.protocol.members import Task, Worker
from scoopsci.protocol.tasks import Tasks
from scoopsci.testing.simulation.checks import DRIVER
from scoopsci.testing.simulation.nesting import NestingWorker

__all__ = ["MUTANTS", "Mutant", "mutated"]


class Mutant(NamedTuple):
    """A fault.

    Attributes
    ----------
    owner : object
        The class or module that has it.
    name : str
        The attribute that is replaced.
    make : callable
        Returns the replacement for the original.
    fault : str
        What is wrong.
    """

    owner: Any
    name: str
    make: Callable[[Any], Any]
    fault: str


def _accept_overtaken(_: Any) -> Any:
    def offer(self: BrokerMachine, worker: Worker, n_answers: bytes) -> None:
        if n_answers != messages.BUSY:
            self._tasks.offer(worker)

    return offer


def _fear_nothing(original: Any) -> Any:
    def add(self: Tasks, task: Task, *, first: bool) -> None:
        self._deadly.discard(task.key)
        original(self, task, first=first)

    return add


def _blame_all(_: Any) -> Any:
    def lose(self: Tasks, worker: Worker, *, blame: bool) -> list[tuple[Task, bool]]:
        found = [self._tasks[key] for key in worker.tasks if key in self._tasks]
        lost = [task for task in found if task.worker == worker.name]
        for task in lost:
            del self._tasks[task.key]
        return [(task, blame) for task in lost]

    return lose


def _count_stopped(original: Any) -> Any:
    def look(self: BrokerMachine) -> None:
        if not any(worker.ready for worker in self.workers.values()):
            original(self)

    return look


def _tell_at_once(original: Any) -> Any:
    def act(self: BrokerMachine, action: Any) -> None:
        if isinstance(action, brokering.TellDriver) and action.head.startswith(messages.FAILED):
            action = brokering.Send(peer=DRIVER, head=action.head)
        original(self, action)

    return act


def _forget_refused(_: Any) -> Any:
    def note(self: Hosts, event: brokering.NoAgent) -> None:
        self.hosts[event.host].has_agent = False

    return note


def _live_for_ever(original: Any) -> Any:
    def look(self: AgentMachine, event: Looked) -> None:
        self._heard_s = self.now_s
        original(self, event)

    return look


def _learn_pid_late(_: Any) -> Any:
    def read(self: BrokerMachine, peer: bytes, rest: bytes, frames: Sequence[Any]) -> None:
        worker = self.workers.get(peer)
        if worker is not None and not worker.doomed:
            if not worker.ready:
                self._welcome(worker)
                rest = b"0"
            self._offer(worker, rest)

    return read


def _lose_requests(_: Any) -> Any:
    def resume(self: Tasks, worker: Worker) -> None:
        worker.n_requests = 0
        self.assign()

    return resume


def _lie_about_cancel(original: Any) -> Any:
    def read(self: DriverMachine, rest: bytes, frames: Sequence[Any]) -> None:
        number = rest[: messages.NUMBER_BYTES]
        if self._sent.pop(number, None) is not None:
            self.act(driving.Cancelled(number))
        self.act(driving.Answered(number))

    return read


def _accept_late(original: Any) -> Any:
    def finish(self: Tasks, key: bytes, worker: Worker) -> Task | None:
        task = self._tasks.get(key)
        if task is not None and task.worker is not None:
            task.worker = worker.name
        found: Task | None = original(self, key, worker)
        return found

    return finish


def _keep_orphans(_: Any) -> Any:
    return lambda self, worker: None


def _trust_silence(original: Any) -> Any:
    def look(self: DriverMachine) -> None:
        self._heard_s = self.now_s
        original(self)

    return look


#: By their names.
MUTANTS = {
    "overtaken-request": Mutant(
        BrokerMachine, "_offer", _accept_overtaken,
        "a request is valid although an answer has overtaken it",
    ),
    "fearless": Mutant(
        Tasks, "add", _fear_nothing, "a task that has ended a worker gets company again"
    ),
    "blames-all": Mutant(Tasks, "lose", _blame_all, "all tasks of a worker are blamed for its end"),
    "asks-always": Mutant(
        NestingWorker, "asks_always", lambda _: True,
        "a worker asks for a further task while others can continue",
    ),
    "counts-stopped": Mutant(
        BrokerMachine, "_look_for_workers", _count_stopped,
        "tasks wait for ever if all workers are stopped",
    ),
    "seldom-beats": Mutant(
        timing, "BEATS_PER_TIMEOUT", lambda _: 0.5, "heartbeats are rarer than host_timeout"
    ),
    "tells-once": Mutant(
        BrokerMachine, "act", _tell_at_once,
        "a driver that has not connected yet is not told of a failure",
    ),
    "forgets-refused": Mutant(
        Hosts, "note_no_agent", _forget_refused, "a host whose agent cannot be started is forgotten"
    ),
    "no-lease": Mutant(
        AgentMachine, "_on_looked", _live_for_ever, "an agent behind a cut link lives for ever"
    ),
    "late-pid": Mutant(
        BrokerMachine, "_on_request", _learn_pid_late, "a ready worker has no process yet"
    ),
    "lost-requests": Mutant(
        Tasks, "resume", _lose_requests, "a worker that was stopped is not used again"
    ),
    "false-cancel": Mutant(
        DriverMachine, "_on_cancelled", _lie_about_cancel,
        "a task that has just ended is said to be cancelled",
    ),
    "late-result": Mutant(
        Tasks, "finish", _accept_late, "the result of a worker that was given up counts"
    ),
    "orphan-tasks": Mutant(
        Tasks, "forget", _keep_orphans, "tasks of a sender that has ended are still run"
    ),
    "trusts-silence": Mutant(
        DriverMachine, "_look_after_broker", _trust_silence,
        "a broker that does not answer is waited for",
    ),
}  # fmt: skip


@contextlib.contextmanager
def mutated(name: str | None) -> Iterator[None]:
    """Put a fault back during the block; none if there is no name."""
    if name is None:
        yield
        return
    mutant = MUTANTS[name]
    replacement = mutant.make(getattr(mutant.owner, mutant.name))
    with mock.patch.object(mutant.owner, mutant.name, replacement):
        yield
