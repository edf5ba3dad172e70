"""The broker of a pool: SCOOP's, on a UNIX socket, and made to outlive whatever it meets.

It runs in a process of its own beside the driver, starts the agents, and passes tasks from the
driver to workers and outcomes back. It unpickles nothing. Peers are known by names that cannot be
guessed; whatever else arrives is dropped.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import zmq
from scoop.broker.brokerzmq import Broker

from scoopsci.errors import EngineError
from scoopsci.pool import messages as kind
from scoopsci.pool.broadcast import find_data
from scoopsci.pool.launcher import AgentProcess, Place
from scoopsci.receipts import software_versions
from scoopsci.workers import Workers

__all__ = ["PoolBroker", "main"]

TICK_S = 0.25

#: A lost host is tried again after so long, and after twice the time if that fails.
FIRST_RETRY_S, LAST_RETRY_S = 1.0, 10.0

#: Workers that end so often before they take a task will not start at all.
N_STARTS = 3

#: Pieces of the hosts' error output that wait to be shown; more are dropped.
MOST_SHOWN = 1_000

#: Agents get this long to end when the pool does.
PARTING_S = 5.0


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


@dataclass
class _Worker:
    name: bytes
    host: _Host
    pid: int | None = None
    ready: bool = False
    stopped_s: float | None = None
    doomed: str | None = None
    retires: bool = False
    n_requests: int = 0
    tasks: set[bytes] = field(default_factory=set)


@dataclass(eq=False)
class _Host:
    label: str
    place: Place
    n_workers: int | None
    agent: AgentProcess | None = None
    folder: str | None = None
    stale: list[str] = field(default_factory=list)
    socket: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    workers: dict[bytes, _Worker] = field(default_factory=dict)
    n_bad_starts: int = 0
    retry_s: float = FIRST_RETRY_S
    retry_at_s: float | None = None
    forwarding: Any = None
    ever_ready: bool = False


class PoolBroker(Broker):  # type: ignore[misc]
    """SCOOP's broker with known peers, agents, and tasks that it can find again.

    Parameters
    ----------
    config : dict
        ``folder``, ``driver``, ``hosts``, ``host_timeout_s``, ``start_timeout_s``,
        ``workers_timeout_s``, ``mixed``, ``initializes`` and, for the agents, ``variables`` and
        ``agent``.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config
        self._folder = Path(config["folder"])
        self._socket_path = str(self._folder / "broker")
        super().__init__(tSock=f"ipc://{self._socket_path}", mSock=f"ipc://{self._folder}/info")
        self._driver = config["driver"].encode()
        self._driver_out = kind.SENDING + self._driver
        self._tasks: dict[bytes, _Task] = {}
        self._workers: dict[bytes, _Worker] = {}
        self._initialize: list[Any] | None = None
        self._uninitialized: list[bytes] = []
        self._hosts = [_Host(host["label"], Place(**host["place"]), host["n_workers"])
                       for host in config["hosts"]]  # fmt: skip
        self._numerics = Workers(mixed=config["mixed"])
        self._poller = zmq.Poller()
        self._poller.register(self.task_socket, zmq.POLLIN)
        # A child that the driver has forked may hold the pipe open for longer than it lives.
        self._driver_pidfd = os.pidfd_open(config["driver_pid"])
        for source in (0, self._driver_pidfd):
            self._poller.register(source, zmq.POLLIN)
        self._readers: dict[int, Callable[[], None]] = {}
        # The driver's stderr may be a terminal that is held, or a pipe that nobody reads.
        self._shown: SimpleQueue[bytes] = SimpleQueue()
        threading.Thread(target=self._write_shown, daemon=True).start()
        self._untold: list[list[Any]] = []
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
        }

    def run(self) -> None:
        """Serve until the driver is gone."""
        try:
            for host in self._hosts:
                self._start_agent(host)
            while self._turn():
                pass
        finally:
            self._part()

    def _turn(self) -> bool:
        ready = dict(self._poller.poll(int(1000 * TICK_S)))
        if self._driver_pidfd in ready or (0 in ready and not os.read(0, 1 << 12)):
            return False
        if self.task_socket in ready:
            with contextlib.suppress(zmq.Again):
                for _ in range(1000):  # others want their turn, too
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
        if peer == self._driver_out:
            peer = self._driver
        elif peer not in self._workers:
            return
        if len(frames) > 1:
            head = frames[1].bytes
            handler = self._handlers.get(head[:2])
            if handler is not None:
                handler(peer, head[2:], frames[2:])

    def _send(self, peer: bytes, *frames: Any) -> bool:
        """Send a message; tell whether the peer is there."""
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
        self._tasks[peer + number] = task
        self.unassigned_tasks.append(task)
        self._assign()

    def _on_request(self, peer: bytes, rest: bytes, frames: list[Any]) -> None:
        worker = self._workers.get(peer)
        if worker is None or worker.doomed:
            return
        if not worker.ready:
            if self._config["initializes"]:
                self._uninitialized.append(peer)
                self._set_up_workers()
                return
            self._note_ready(worker)
        self.available_workers.append(peer)
        self._assign()

    def _set_up_workers(self) -> None:
        if self._initialize is not None:
            for name in self._uninitialized:
                self._send(name, kind.INITIALIZE, *self._initialize)
            self._uninitialized.clear()

    def _note_ready(self, worker: _Worker) -> None:
        worker.ready = worker.host.ever_ready = True
        worker.host.n_bad_starts = 0
        worker.host.retry_s = FIRST_RETRY_S
        self._tell_hosts()

    def _assign(self) -> None:
        while self.unassigned_tasks and self.available_workers:
            task: _Task = self.unassigned_tasks[0]
            if self._tasks.get(task.key) is not task:
                self.unassigned_tasks.popleft()  # cancelled meanwhile
                continue
            worker = self._workers.get(self.available_workers.popleft())
            if worker is None or worker.doomed or worker.retires:
                continue
            if worker.stopped_s is not None:
                worker.n_requests += 1  # until it goes on
                continue
            if not self._send(worker.name, kind.TASK + task.key, *task.frames):
                continue
            self.unassigned_tasks.popleft()
            task.frames = []
            task.worker = worker.name
            worker.tasks.add(task.key)
            if task.timeout_s is not None:
                task.deadline_s = time.monotonic() + task.timeout_s

    def _on_reply(self, peer: bytes, key: bytes, frames: list[Any]) -> None:
        worker = self._workers.get(peer)
        if worker is None:
            return
        worker.tasks.discard(key)
        task = self._tasks.get(key)
        if task is not None and task.worker == peer:  # or it is late, and has been given up
            del self._tasks[key]
            self._send(task.sender, kind.REPLY + task.number, *frames)
        if worker.retires:
            self._retire(worker)
        self._on_request(peer, b"", [])

    def _on_cancel(self, peer: bytes, rest: bytes, frames: list[Any]) -> None:
        number, force = rest[: kind.NUMBER_BYTES], rest[kind.NUMBER_BYTES :] == b"1"
        task = self._tasks.get(peer + number)
        taken = task is not None and (task.worker is None or force)
        if task is not None and taken:
            if task.worker is not None:
                self._doom(self._workers[task.worker], "cancelled")
            del self._tasks[task.key]
        self._send(peer, kind.CANCELLED + number + (b"1" if taken else b"0"))

    def _on_initialize(self, peer: bytes, rest: bytes, frames: list[Any]) -> None:
        if peer == self._driver:
            self._initialize = frames
            self._set_up_workers()

    def _on_initialized(self, peer: bytes, rest: bytes, frames: list[Any]) -> None:
        worker = self._workers.get(peer)
        if worker is not None and not worker.ready:
            self._tell_driver(kind.INITIALIZED, *frames)
            self._note_ready(worker)
            self._on_request(peer, b"", [])

    def _on_resize(self, peer: bytes, rest: bytes, frames: list[Any]) -> None:
        if peer != self._driver:
            return
        counts = json.loads(rest)
        for host, n_workers in zip(self._hosts, counts, strict=True):
            host.n_workers = n_workers
            self._adjust(host)
        self._tell_hosts()

    def _on_fetch(self, peer: bytes, rest: bytes, frames: list[Any]) -> None:
        path = find_data(self._folder, rest.decode(errors="replace"))
        data = [] if path is None else [np.memmap(path, mode="r")]
        self._send(peer, kind.FETCHED, *data)

    def _on_ping(self, peer: bytes, rest: bytes, frames: list[Any]) -> None:
        self._send(peer, kind.PONG)

    def _lose(self, key: bytes, worker: _Worker, why: str, *, blame: bool) -> None:
        task = self._tasks.get(key)
        if task is None or task.worker != worker.name:
            return
        del self._tasks[key]
        facts = {"host": worker.host.label, "pid": worker.pid, "why": why, "blame": blame}
        self._send(task.sender, kind.LOST + task.number + json.dumps(facts).encode())

    def _tell_hosts(self) -> None:
        hosts = [
            {
                "name": host.label,
                "n_wanted": host.n_workers,
                "workers": [worker.pid for worker in host.workers.values() if worker.ready],
                "agent": host.facts.get("pid"),
                "facts": host.facts,
                "connected": host.agent is not None and bool(host.facts),
            }
            for host in self._hosts
        ]
        self._tell_driver(kind.HOSTS + json.dumps(hosts).encode())

    def _fail(self, message: str) -> None:
        self._tell_driver(kind.FAILED + message.encode())

    def _tell_driver(self, *frames: Any) -> None:
        # A host may fail before the driver has connected.
        self._untold.append([*frames])
        self._tell_again()

    def _tell_again(self) -> None:
        while self._untold and self._send(self._driver, *self._untold[0]):
            self._untold.pop(0)

    # --- hosts

    def _start_agent(self, host: _Host) -> None:
        host.retry_at_s = None
        is_here = host.place.destination is None
        own = {"folder": str(self._folder) if is_here else None, "stale": host.stale}
        host.place = host.place.prepare()
        config = {**self._config["agent"], **own, "hangs_up": host.place.users_control is None}
        try:
            agent = AgentProcess(host.place, self._config["variables"], config)
        except OSError as error:
            self._note_no_process(host, error)
            return
        host.agent, host.facts, host.socket = agent, {}, None
        for descriptor, read in ((agent.lines, self._hear), (agent.errors, self._show)):
            self._poller.register(descriptor, zmq.POLLIN)
            self._readers[descriptor] = partial(read, host)

    def _note_no_process(self, host: _Host, error: OSError) -> None:
        if host.ever_ready:
            self._retry_later(host)  # this machine may have run out of processes or memory
        else:
            self._give_up(
                host, f"cannot be used: {error}; name the program that reaches it by ssh="
            )

    def _show(self, host: _Host) -> None:
        if host.agent is None:
            return
        data = host.agent.read_errors()
        if data and host.facts and self._shown.qsize() < MOST_SHOWN:
            self._shown.put(data)

    def _write_shown(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._shown.get():
                os.write(2, data)

    def _hear(self, host: _Host) -> None:
        agent = host.agent
        if agent is None:
            return
        for told in agent.listen():
            if "hello" in told:
                self._greet(host, told)
            elif "other_python" in told:
                ours = ".".join(map(str, sys.version_info[:2]))
                self._give_up(
                    host,
                    f"has Python {told['other_python']}, the driver {ours}; all hosts need the "
                    f"same minor version: install {ours} there, or name it by python=",
                )
            elif "started" in told:
                worker = host.workers.get(told["started"].encode())
                if worker is not None:
                    worker.pid = told["pid"]
            elif "stopped" in told:
                self._note_stopped(host, told["stopped"].encode(), now=told["now"])
            elif "ended" in told:
                self._note_ended(host, told)
        if agent.ended:
            self._lose_host(host, "its agent ended")

    def _greet(self, host: _Host, told: dict[str, Any]) -> None:
        host.facts, host.folder, host.stale = told["hello"], told["folder"], []
        theirs, ours = host.facts["versions"]["scoopsci"], software_versions()["scoopsci"]
        if theirs != ours:
            self._give_up(
                host, f"has scoopsci {theirs}, the driver {ours}; install the same version there"
            )
            return
        if host.n_workers is None:
            host.n_workers = told["n_cores"]
        try:
            self._numerics.compare({**host.facts, "host": host.label})
        except EngineError as error:
            self._fail(str(error))
            return
        if host.place.destination is None:
            host.socket = self._socket_path
            self._adjust(host)
        else:
            self._forward(host)

    def _forward(self, host: _Host) -> None:
        there = f"{host.folder}/broker"
        command = host.place.forwarding(there, self._socket_path)
        host.forwarding = process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        pidfd = os.pidfd_open(process.pid)

        def finish() -> None:
            self._poller.unregister(pidfd)
            del self._readers[pidfd]
            os.close(pidfd)
            assert process.stderr is not None
            words = process.stderr.read().decode(errors="replace").strip()
            process.stderr.close()
            status = process.wait()
            if host.forwarding is not process:
                return
            host.forwarding = None
            if status:
                self._give_up(
                    host,
                    f"does not forward UNIX sockets ({words}); sshd there needs "
                    "AllowStreamLocalForwarding yes",
                )
            else:
                host.socket = there
                self._adjust(host)

        self._poller.register(pidfd, zmq.POLLIN)
        self._readers[pidfd] = finish

    def _adjust(self, host: _Host) -> None:
        """Start the workers that a host lacks, or end those that it has too many of."""
        if host.agent is None or host.socket is None or host.n_workers is None:
            return
        staying = [w for w in host.workers.values() if not (w.doomed or w.retires)]
        n_missing = host.n_workers - len(staying)
        names = [secrets.token_hex(16) for _ in range(n_missing)]
        for name in names:
            worker = _Worker(name.encode(), host)
            host.workers[worker.name] = self._workers[worker.name] = worker
        if names:
            host.agent.tell(start=names, socket=host.socket)
        for worker in sorted(staying, key=lambda worker: len(worker.tasks))[: max(0, -n_missing)]:
            self._retire(worker)

    def _retire(self, worker: _Worker) -> None:
        """End a worker once it has no task."""
        worker.retires = True
        if not worker.tasks:
            self._doom(worker, "no longer wanted")

    def _doom(self, worker: _Worker, why: str) -> None:
        """End a worker on purpose."""
        worker.doomed = why
        if worker.host.agent is not None:
            worker.host.agent.tell(kill=worker.name.decode(), why=why)

    def _note_stopped(self, host: _Host, name: bytes, *, now: bool) -> None:
        worker = host.workers.get(name)
        if worker is None:
            return
        worker.stopped_s = time.monotonic() if now else None
        if not now:
            self.available_workers.extend([name] * worker.n_requests)
            worker.n_requests = 0
            self._assign()

    def _note_ended(self, host: _Host, told: dict[str, Any]) -> None:
        worker = host.workers.pop(told["ended"].encode(), None)
        if worker is None:
            return
        del self._workers[worker.name]
        if told["killed_for"] == "memory":
            limit = self._config["agent"]["memory_bytes"]
            why, blame = f"took more memory than worker_memory={limit} bytes allows", True
        elif worker.doomed:
            why, blame = f"was ended ({worker.doomed})", False
        else:
            why, blame = f"ended with {told['how']}", told["own_doing"]
        for key in list(worker.tasks):
            self._lose(key, worker, why, blame=blame)
        if not worker.ready and not worker.doomed:
            host.n_bad_starts += 1
            if host.n_bad_starts >= N_STARTS:
                self._give_up(host, f"starts no workers: the last one {why}")
                return
        self._adjust(host)
        self._tell_hosts()

    def _lose_host(self, host: _Host, why: str) -> None:
        agent = host.agent
        if agent is None:
            return
        words = "" if host.ever_ready else agent.last_words()
        self._drop_agent(host)
        if not host.ever_ready:
            self._give_up(
                host,
                f"cannot be used, {why}: {words or 'it said nothing'}\n"
                f"{host.place.find_remedy(words)}try by hand: {host.place.as_typed()}",
            )
            return
        self._retry_later(host)
        self._tell_hosts()

    def _retry_later(self, host: _Host) -> None:
        host.retry_at_s = time.monotonic() + host.retry_s
        host.retry_s = min(2 * host.retry_s, LAST_RETRY_S)

    def _drop_agent(self, host: _Host) -> None:
        agent = host.agent
        assert agent is not None
        if host.socket is not None:
            host.place.stop_forwarding(host.socket, self._socket_path)
        host.agent, host.socket, host.forwarding = None, None, None
        if host.folder and host.place.destination is not None:
            host.stale = [host.folder]
        host.facts, host.folder = {}, None
        for descriptor in (agent.lines, agent.errors):
            self._poller.unregister(descriptor)
            del self._readers[descriptor]
        agent.end(0.0)
        for worker in list(host.workers.values()):
            del self._workers[worker.name]
            for key in list(worker.tasks):
                self._lose(key, worker, "was lost with its host", blame=False)
        host.workers.clear()

    def _give_up(self, host: _Host, why: str) -> None:
        if host.agent is not None:
            self._drop_agent(host)
        self._fail(f"host {host.label} {why}")

    # --- time

    def _tick(self) -> None:
        now = time.monotonic()
        self._tell_again()
        for host in self._hosts:
            if host.agent is None:
                if host.retry_at_s is not None and now >= host.retry_at_s:
                    self._start_agent(host)
                continue
            if now - host.agent.asked_s >= self._config["agent"]["heartbeat_s"]:
                host.agent.beat()
            patience = "host_timeout_s" if host.facts else "start_timeout_s"
            if now - host.agent.heard_s > self._config[patience]:
                self._lose_host(host, f"it was silent for {self._config[patience]:g} s")
        for worker in list(self._workers.values()):
            if worker.stopped_s and now - worker.stopped_s > self._config["host_timeout_s"]:
                for key in list(worker.tasks):
                    self._lose(key, worker, "was stopped", blame=False)
        for key, task in list(self._tasks.items()):
            if task.deadline_s is not None and now > task.deadline_s and task.worker:
                worker = self._workers[task.worker]
                self._lose(key, worker, "timeout", blame=True)
                self._doom(worker, "its task took too long")
        able = (worker.ready and worker.stopped_s is None for worker in self._workers.values())
        if not self._tasks or any(able):
            self._alone_since_s = now
        elif now - self._alone_since_s > self._config["workers_timeout_s"]:
            self._alone_since_s = now
            self._tasks.clear()
            self._tell_driver(kind.LONELY)

    def _part(self) -> None:
        agents = [host.agent for host in self._hosts if host.agent is not None]
        for host in self._hosts:
            if host.socket is not None:
                host.place.stop_forwarding(host.socket, self._socket_path)
        for agent in agents:
            agent.dismiss()
        deadline_s = time.monotonic() + PARTING_S
        for agent in agents:
            agent.end(max(0.0, deadline_s - time.monotonic()))
        self.context.destroy(linger=0)
        shutil.rmtree(self._folder, ignore_errors=True)


def main() -> None:
    """Read the driver's first line, and serve it."""
    os.umask(0o077)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    config = json.loads(sys.stdin.buffer.readline())
    try:
        PoolBroker(config).run()
    finally:  # the driver may have gone before there was a broker
        shutil.rmtree(config["folder"], ignore_errors=True)


if __name__ == "__main__":
    main()
