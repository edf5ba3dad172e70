"""The broker of a pool: SCOOP's, on a UNIX socket, and made robust against failures.

It runs in a process of its own beside the driver, starts the agents, and passes tasks from the
driver to workers and outcomes back. It unpickles nothing. Peers are identified by names that cannot
be guessed; all other messages are dropped.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zmq
from scoop.broker.brokerzmq import Broker

from scoopsci.pool import messages as kind
from scoopsci.pool.broadcast import find_data
from scoopsci.pool.members import Worker
from scoopsci.pool.status import count_tasks
from scoopsci.pool.supervisor import Supervisor

__all__ = ["PoolBroker", "main"]

TICK_S = 0.25


@dataclass
class _Task:
    sender: bytes
    number: bytes
    timeout_s: float | None
    frames: list[Any]
    worker: bytes | None = None
    deadline_s: float | None = None

    @property
    def key(self) -> bytes:
        return self.sender + self.number


class PoolBroker(Broker):  # type: ignore[misc]
    """SCOOP's broker with known peers, agents, and a record of all tasks.

    Parameters
    ----------
    config : dict
        ``folder``, ``driver``, ``hosts``, ``host_timeout_s``, ``start_timeout_s``,
        ``workers_timeout_s``, ``mixed``, ``initializes`` and, for the agents, ``variables`` and
        ``agent``.
    driver_pidfd : int
        Becomes readable when the driver ends.
    """

    def __init__(self, config: dict[str, Any], driver_pidfd: int) -> None:
        self._config = config
        self._folder = Path(config["folder"])
        self._socket_path = str(self._folder / "broker")
        super().__init__(tSock=f"ipc://{self._socket_path}", mSock=f"ipc://{self._folder}/info")
        self._driver = config["driver"].encode()
        self._tasks: dict[bytes, _Task] = {}
        #: Tasks that have ended a worker, and those of them that wait for another worker.
        self._deadly: set[bytes] = set()
        self._suspects: dict[bytes, _Task] = {}
        self._initialize: list[Any] | None = None
        self._uninitialized: list[bytes] = []
        self._poller = zmq.Poller()
        self._poller.register(self.task_socket, zmq.POLLIN)
        # A forked child of the driver may keep the pipe open after the driver's end.
        self._driver_pidfd = driver_pidfd
        for source in (0, self._driver_pidfd):
            self._poller.register(source, zmq.POLLIN)
        self._supervisor = Supervisor(self, config, self._socket_path, self._poller)
        self._workers, self._readers = self._supervisor.workers, self._supervisor.readers
        self._unsent: list[list[Any]] = []
        self._n_done = self._n_lost = 0
        self._variables: dict[bytes, tuple[bytes, list[Any]]] = {}
        self._alone_since_s = time.monotonic()
        self._next_tick_s = 0.0
        self._handlers: dict[bytes, Callable[[bytes, bytes, list[Any]], None]] = {
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

    def run(self) -> None:
        """Serve until the driver has gone."""
        try:
            self._supervisor.start()
            while self._turn():
                pass
        finally:
            self._supervisor.part()
            self.context.destroy(linger=0)

    def _turn(self) -> bool:
        ready = dict(self._poller.poll(int(1000 * TICK_S)))
        if self._driver_pidfd in ready or (0 in ready and not os.read(0, 1 << 12)):
            return False
        if self.task_socket in ready:
            with contextlib.suppress(zmq.Again):
                for _ in range(1000):  # then handle other events
                    self._receive(self.task_socket.recv_multipart(zmq.NOBLOCK, copy=False))
        for descriptor in ready:
            if descriptor in self._readers:
                self._readers[descriptor]()
        if time.monotonic() >= self._next_tick_s:
            self._next_tick_s = time.monotonic() + TICK_S
            self._tick()
        return True

    # --- messages

    def _receive(self, frames: list[Any]) -> None:
        peer = frames[0].bytes
        if (peer == self._driver or peer in self._workers) and len(frames) > 1:
            head = frames[1].bytes
            handler = self._handlers.get(head[:2])
            if handler is not None:
                with contextlib.suppress(ValueError):  # malformed
                    handler(peer, head[2:], frames[2:])

    def _send(self, peer: bytes, *frames: Any) -> bool:
        """Send a message; return whether the peer is connected."""
        try:
            self.task_socket.send_multipart([peer, *frames], copy=False)
        except zmq.ZMQError as error:
            if error.errno not in (zmq.EHOSTUNREACH, zmq.EAGAIN):
                raise
            return False
        return True

    def _on_task(self, peer: bytes, rest: bytes, frames: list[Any]) -> None:
        number, timeout = rest[: kind.NUMBER_BYTES], rest[kind.NUMBER_BYTES :]
        task = _Task(peer, number, float(timeout) if timeout else None, frames)
        self._tasks[task.key] = task
        if task.key in self._deadly:
            self._suspects[task.key] = task
        elif peer == self._driver:
            self.unassigned_tasks.append(task)
        else:  # another task waits for it, or will: it goes first
            self.unassigned_tasks.appendleft(task)
        self._assign()

    def _on_request(self, peer: bytes, rest: bytes, frames: list[Any]) -> None:
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
            self.available_workers.append(worker.name)
            self._assign()

    def _welcome(self, worker: Worker) -> None:
        for name, (owner, frames) in self._variables.items():
            self._send(worker.name, kind.VARIABLE + owner + name, *frames)
        self._supervisor.note_ready(worker)

    def _set_up_workers(self) -> None:
        if self._initialize is not None:
            for name in self._uninitialized:
                self._send(name, kind.INITIALIZE, *self._initialize)
            self._uninitialized.clear()

    def _assign(self) -> None:
        if self._suspects:
            self._assign_suspects()
        while self.unassigned_tasks and self.available_workers:
            task: _Task = self.unassigned_tasks[0]
            if self._tasks.get(task.key) is not task:
                self.unassigned_tasks.popleft()  # cancelled meanwhile
                continue
            worker = self._workers.get(self.available_workers.popleft())
            if worker is not None and self._give(task, worker):
                self.unassigned_tasks.popleft()

    def _assign_suspects(self) -> None:
        """Give a task that has ended a worker to one without tasks: others would be lost with it.

        If every worker has tasks, that cannot be avoided.
        """
        for key, task in list(self._suspects.items()):
            idle = [w for w in self._workers.values() if not w.tasks and w.stopped_s is None]
            able = [worker for worker in idle if worker.name in self.available_workers]
            if self._tasks.get(key) is not task:
                del self._suspects[key]
            elif not idle:
                self.unassigned_tasks.appendleft(self._suspects.pop(key))
            elif able:
                self.available_workers.remove(able[0].name)
                if self._give(task, able[0]):
                    del self._suspects[key]

    def _give(self, task: _Task, worker: Worker) -> bool:
        if worker.doomed or worker.retires:
            return False
        if worker.stopped_s is not None:
            worker.n_requests += 1  # until it continues
            return False
        if not self._send(worker.name, kind.TASK + task.key, *task.frames):
            return False
        task.frames = []
        task.worker = worker.name
        worker.tasks.add(task.key)
        worker.running = task.key
        if task.timeout_s is not None:
            task.deadline_s = time.monotonic() + task.timeout_s
        return True

    def _answer(self, sender: bytes, *frames: Any) -> None:
        """Send a message to the sender of a task, which may have been waiting for it."""
        worker = self._workers.get(sender)
        if worker is not None:
            worker.n_answers += 1
            worker.n_requests = 0
            with contextlib.suppress(ValueError):
                self.available_workers.remove(sender)
        self._send(sender, *frames)

    def _on_reply(self, peer: bytes, rest: bytes, frames: list[Any]) -> None:
        worker = self._workers.get(peer)
        if worker is None:
            return
        key, n_answers = rest[: kind.KEY_BYTES], rest[kind.KEY_BYTES :]
        worker.tasks.discard(key)
        worker.running = None
        worker.n_done += 1
        self._n_done += 1
        self._deadly.discard(key)
        task = self._tasks.get(key)
        if task is not None and task.worker == peer:  # otherwise late: the task has been given up
            del self._tasks[key]
            self._answer(task.sender, kind.REPLY + task.number, *frames)
        if worker.retires:
            self._supervisor.retire(worker)
        if worker.ready and not worker.doomed:
            self._offer(worker, n_answers)

    def _on_cancel(self, peer: bytes, rest: bytes, frames: list[Any]) -> None:
        number, force = rest[: kind.NUMBER_BYTES], rest[kind.NUMBER_BYTES :] == b"1"
        task = self._tasks.get(peer + number)
        taken = task is not None and (task.worker is None or force)
        if task is not None and taken:
            if task.worker is not None:
                self._supervisor.doom(self._workers[task.worker], "cancelled")
            del self._tasks[task.key]
        self._answer(peer, kind.CANCELLED + number + (b"1" if taken else b"0"))

    def _on_initialize(self, peer: bytes, rest: bytes, frames: list[Any]) -> None:
        if peer == self._driver:
            self._initialize = frames
            self._set_up_workers()

    def _on_initialized(self, peer: bytes, rest: bytes, frames: list[Any]) -> None:
        worker = self._workers.get(peer)
        if worker is not None and not worker.ready:
            self.tell_driver(kind.INITIALIZED, *frames)
            self._welcome(worker)
            self._offer(worker, b"0")

    def _on_resize(self, peer: bytes, rest: bytes, frames: list[Any]) -> None:
        if peer != self._driver:
            return
        self._supervisor.resize(json.loads(rest))

    def _on_fetch(self, peer: bytes, rest: bytes, frames: list[Any]) -> None:
        path = find_data(self._folder, rest.decode(errors="replace"))
        data = [] if path is None else [np.memmap(path, mode="r")]
        self._send(peer, kind.FETCHED, *data)

    def _on_set(self, peer: bytes, name: bytes, frames: list[Any]) -> None:
        peers = [peer]
        if name not in self._variables:
            self._variables[name] = peer, frames
            peers = [self._driver, *(w.name for w in self._workers.values() if w.ready)]
        owner, frames = self._variables[name]
        for other in peers:
            self._send(other, kind.VARIABLE + owner + name, *frames)

    def _on_output(self, peer: bytes, rest: bytes, frames: list[Any]) -> None:
        self._send(self._driver, kind.OUTPUT + rest, *frames)

    def _on_runs(self, peer: bytes, key: bytes, frames: list[Any]) -> None:
        if peer in self._workers:
            self._workers[peer].running = key

    def _on_ping(self, peer: bytes, rest: bytes, frames: list[Any]) -> None:
        self._send(peer, kind.PONG)

    def _on_status(self, peer: bytes, number: bytes, frames: list[Any]) -> None:
        if peer != self._driver:
            return
        found = self._supervisor.describe()
        counts = count_tasks(self._workers.values(), self._tasks, len(self._tasks))
        found["tasks"] = {**counts, "done": self._n_done, "lost": self._n_lost}
        self._send(peer, kind.STATUS + number + json.dumps(found).encode())

    def lose_tasks(self, worker: Worker, why: str, *, blame: bool) -> int:
        """Tell the senders that the tasks of a worker are lost, and whether they ended it."""
        n_before = self._n_lost
        for key in list(worker.tasks):
            task = self._tasks.get(key)
            if task is not None and task.worker == worker.name:
                del self._tasks[key]
                self._n_lost += 1
                place = {"host": worker.host.label, "pid": worker.pid}
                ran = len(worker.tasks) == 1 or key == worker.running
                if blame and ran:
                    self._deadly.add(key)
                facts = json.dumps({**place, "why": why, "blame": blame and ran})
                self._answer(task.sender, kind.LOST + task.number + facts.encode())
        return self._n_lost - n_before

    def forget_sender(self, worker: Worker) -> None:
        """Drop the tasks that were sent by a worker, which has ended."""
        for key in [key for key, task in self._tasks.items() if task.sender == worker.name]:
            del self._tasks[key]
        self._deadly = {key for key in self._deadly if not key.startswith(worker.name)}

    def note_continued(self, worker: Worker) -> None:
        """Resume giving tasks to a worker that was stopped."""
        self.available_workers.extend([worker.name] * worker.n_requests)
        worker.n_requests = 0
        self._assign()

    def tell_driver(self, *frames: Any) -> None:
        """Send a message to the driver, which may not have connected yet."""
        self._unsent.append([*frames])
        self._send_unsent()

    def _send_unsent(self) -> None:
        while self._unsent and self._send(self._driver, *self._unsent[0]):
            self._unsent.pop(0)

    # --- time

    def _tick(self) -> None:
        now = time.monotonic()
        self._send_unsent()
        self._supervisor.look_around()
        if self._suspects:
            self._assign()
        for task in list(self._tasks.values()):
            if task.deadline_s is not None and now > task.deadline_s and task.worker:
                worker = self._workers[task.worker]
                self.lose_tasks(worker, "timeout", blame=True)
                self._supervisor.doom(worker, "its task took too long")
        able = (worker.ready and worker.stopped_s is None for worker in self._workers.values())
        if not self._tasks or any(able):
            self._alone_since_s = now
        elif now - self._alone_since_s > self._config["workers_timeout_s"]:
            self._alone_since_s = now
            self._tasks.clear()
            self.tell_driver(kind.LONELY)


def main() -> None:
    """Read the driver's first line, and serve the driver."""
    umask = os.umask(0o077)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    line = sys.stdin.buffer.readline()
    if not line:
        return
    config = {**json.loads(line), "umask": umask}
    try:
        driver_pidfd = os.pidfd_open(config["driver_pid"])
    except ProcessLookupError:  # it has ended already
        return
    os.mkdir(config["folder"], 0o700)
    try:
        PoolBroker(config, driver_pidfd).run()
    finally:
        shutil.rmtree(config["folder"], ignore_errors=True)


if __name__ == "__main__":
    main()
