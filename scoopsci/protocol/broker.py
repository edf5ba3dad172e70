"""The broker's machine: who gets which task, and what becomes of it.

Its events and actions are those of `scoopsci.protocol.brokering`. The first frame of a message is
read, the others are passed on.
"""

from __future__ import annotations

import contextlib
import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from scoopsci.protocol import brokering as on
from scoopsci.protocol import messages as kind
from scoopsci.protocol.hosts import Hosts
from scoopsci.protocol.machine import Machine
from scoopsci.protocol.members import Host, Task, Worker
from scoopsci.protocol.status import describe_hosts
from scoopsci.protocol.tasks import Tasks

__all__ = ["BrokerMachine"]


class BrokerMachine(Machine):
    """The rules of a broker with known peers, agents, and a record of all tasks.

    Parameters
    ----------
    config : mapping
        See `scoopsci.pool.broker.PoolBroker`; also ``version``, that of scoopsci.
    make_name : callable
        Returns a name for a worker, which cannot be guessed.
    unassigned, available : deque, optional
        The queues of tasks, and of workers' requests: those of SCOOP's broker.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        make_name: Callable[[], str],
        *,
        unassigned: deque[Task] | None = None,
        available: deque[bytes] | None = None,
    ) -> None:
        super().__init__()
        self._config = config
        self._driver = config["driver"].encode()
        self._initialize: Sequence[Any] | None = None
        self._uninitialized: list[bytes] = []
        self._hosts = Hosts(self, config, make_name)
        self._workers = self._hosts.workers
        self._tasks = Tasks(
            self,
            self._workers,
            deque() if unassigned is None else unassigned,
            deque() if available is None else available,
        )
        self._variables: dict[bytes, tuple[bytes, Sequence[Any]]] = {}
        self._alone_since_s: float | None = None
        self._handlers = {
            on.Start: lambda _: self._hosts.start(),
            on.Message: self._on_message,
            on.Undelivered: self._on_undelivered,
            on.NoAgent: self._hosts.note_no_agent,
            on.Reported: self._hosts.note_report,
            on.AgentEnded: self._hosts.note_ended,
            on.Forwarded: self._hosts.note_forwarded,
            on.Tick: self._on_tick,
        }
        self._readers: dict[bytes, Callable[[bytes, bytes, Sequence[Any]], None]] = {
            kind.TASK: self._on_task,
            kind.REQUEST: self._on_request,
            kind.REPLY: self._on_reply,
            kind.CANCEL: self._on_cancel,
            kind.INITIALIZE: self._on_initialize,
            kind.INITIALIZED: self._on_initialized,
            kind.FETCH: self._on_fetch,
            kind.RESIZE: self._on_resize,
            kind.PING: self._on_ping,
            kind.SET: self._on_set,
            kind.OUTPUT: self._on_output,
            kind.RUNS: self._on_runs,
            kind.STATUS: self._on_status,
        }

    @property
    def hosts(self) -> Sequence[Host]:
        """The hosts, as in the hostfile; only to be read."""
        return self._hosts.hosts

    @property
    def tasks(self) -> Tasks:
        """The tasks; only to be read."""
        return self._tasks

    @property
    def workers(self) -> Mapping[bytes, Worker]:
        """The workers by their names; only to be read."""
        return self._workers

    # --- messages

    def _on_message(self, message: on.Message) -> None:
        peer, head, frames = message
        if peer == self._driver or peer in self._workers:
            reader = self._readers.get(head[:2])
            if reader is not None:
                with contextlib.suppress(ValueError):  # malformed
                    reader(peer, head[2:], frames)

    def _send(self, peer: bytes, head: bytes, *frames: Any) -> None:
        self.act(on.Send(peer, head, frames))

    def _on_undelivered(self, message: on.Undelivered) -> None:
        """Take a task back that a worker, which has just ended, could not get."""
        worker = self._workers.get(message.peer)
        if message.head[:2] == kind.TASK and worker is not None:
            self._tasks.take_back(message.head[2:], worker, message.frames)

    def _on_task(self, peer: bytes, rest: bytes, frames: Sequence[Any]) -> None:
        number, timeout = rest[: kind.NUMBER_BYTES], rest[kind.NUMBER_BYTES :]
        task = Task(peer, number, float(timeout) if timeout else None, frames)
        # Another task waits for that of a worker, or will: it goes first.
        self._tasks.add(task, first=peer != self._driver)

    def _on_request(self, peer: bytes, rest: bytes, frames: Sequence[Any]) -> None:
        worker = self._workers.get(peer)
        if worker is None or worker.doomed:
            return
        if not worker.ready:
            worker.pid = int(rest)
            if self._config["initializes"]:
                self._uninitialized.append(peer)
                self._set_up_workers()
                return
            self._welcome(worker)
            rest = b"0"
        self._offer(worker, rest)

    def _offer(self, worker: Worker, n_answers: bytes) -> None:
        if int(n_answers) == worker.n_answers:
            self._tasks.offer(worker)

    def _welcome(self, worker: Worker) -> None:
        for name, (owner, frames) in self._variables.items():
            self._send(worker.name, kind.VARIABLE + owner + name, *frames)
        self._hosts.note_ready(worker)

    def _set_up_workers(self) -> None:
        if self._initialize is not None:
            for name in self._uninitialized:
                self._send(name, kind.INITIALIZE, *self._initialize)
            self._uninitialized.clear()

    def answer(self, sender: bytes, head: bytes, *frames: Any) -> None:
        """Send a message to the sender of a task, which may have been waiting for it."""
        worker = self._workers.get(sender)
        if worker is not None:
            worker.n_answers += 1
            self._tasks.withdraw(worker)
        self._send(sender, head, *frames)

    def _on_reply(self, peer: bytes, rest: bytes, frames: Sequence[Any]) -> None:
        worker = self._workers.get(peer)
        if worker is None:
            return
        key, n_answers = rest[: kind.KEY_BYTES], rest[kind.KEY_BYTES :]
        task = self._tasks.finish(key, worker)
        if task is not None:
            self.answer(task.sender, kind.REPLY + task.number, *frames)
        if worker.retires:
            self._hosts.retire(worker)
        if worker.ready and not worker.doomed:
            self._offer(worker, n_answers)

    def _on_cancel(self, peer: bytes, rest: bytes, frames: Sequence[Any]) -> None:
        number, force = rest[: kind.NUMBER_BYTES], rest[kind.NUMBER_BYTES :] == b"1"
        task = self._tasks.get(peer + number)
        taken = task is not None and (task.worker is None or force)
        if task is not None and taken:
            if task.worker is not None:
                self._hosts.doom(self._workers[task.worker], "cancelled")
            self._tasks.drop(task)
        self.answer(peer, kind.CANCELLED + number + (b"1" if taken else b"0"))

    def _on_initialize(self, peer: bytes, rest: bytes, frames: Sequence[Any]) -> None:
        if peer == self._driver:
            self._initialize = frames
            self._set_up_workers()

    def _on_initialized(self, peer: bytes, rest: bytes, frames: Sequence[Any]) -> None:
        worker = self._workers.get(peer)
        if worker is not None and not worker.ready:
            self.act(on.TellDriver(kind.INITIALIZED, frames))
            self._welcome(worker)
            self._offer(worker, b"0")

    def _on_resize(self, peer: bytes, rest: bytes, frames: Sequence[Any]) -> None:
        if peer == self._driver:
            self._hosts.resize(json.loads(rest))

    def _on_fetch(self, peer: bytes, rest: bytes, frames: Sequence[Any]) -> None:
        self.act(on.SendData(peer, rest.decode(errors="replace")))

    def _on_set(self, peer: bytes, name: bytes, frames: Sequence[Any]) -> None:
        peers = [peer]
        if name not in self._variables:
            self._variables[name] = peer, frames
            peers = [self._driver, *(w.name for w in self._workers.values() if w.ready)]
        owner, frames = self._variables[name]
        for other in peers:
            self._send(other, kind.VARIABLE + owner + name, *frames)

    def _on_output(self, peer: bytes, rest: bytes, frames: Sequence[Any]) -> None:
        self._send(self._driver, kind.OUTPUT + rest, *frames)

    def _on_runs(self, peer: bytes, key: bytes, frames: Sequence[Any]) -> None:
        if peer in self._workers:
            self._workers[peer].running = key

    def _on_ping(self, peer: bytes, rest: bytes, frames: Sequence[Any]) -> None:
        self._send(peer, kind.PONG)

    def _on_status(self, peer: bytes, number: bytes, frames: Sequence[Any]) -> None:
        if peer != self._driver:
            return
        found = {"hosts": describe_hosts(self.hosts), "tasks": self._tasks.count()}
        self.act(on.TellStatus(number, found))

    # --- what happens to workers

    def lose_tasks(self, worker: Worker, why: str, *, blame: bool) -> int:
        """Tell the senders that the tasks of a worker are lost, and whether they ended it."""
        lost = self._tasks.lose(worker, blame=blame)
        for task, is_to_blame in lost:
            place = {"host": worker.host.label, "pid": worker.pid}
            facts = json.dumps({**place, "why": why, "blame": is_to_blame})
            self.answer(task.sender, kind.LOST + task.number + facts.encode())
        return len(lost)

    def forget_sender(self, worker: Worker) -> None:
        """Drop the tasks that were sent by a worker, which has ended."""
        self._tasks.forget(worker)

    def note_continued(self, worker: Worker) -> None:
        """Resume giving tasks to a worker that was stopped."""
        self._tasks.resume(worker)

    # --- time

    def _on_tick(self, tick: on.Tick) -> None:
        self._hosts.look_around(tick.heard_s)
        self._tasks.assign()
        for task in self._tasks.find_late():
            assert task.worker is not None
            worker = self._workers[task.worker]
            self.lose_tasks(worker, "timeout", blame=True)
            self._hosts.doom(worker, "its task took too long")
        self._look_for_workers()

    def _look_for_workers(self) -> None:
        """Give up all tasks if there has been no worker for too long."""
        able = (worker.ready and worker.stopped_s is None for worker in self._workers.values())
        if self._alone_since_s is None or not self._tasks or any(able):
            self._alone_since_s = self.now_s
        elif self.now_s - self._alone_since_s > self._config["workers_timeout_s"]:
            self._alone_since_s = self.now_s
            self._tasks.drop_all()
            self.act(on.TellDriver(kind.LONELY))
