"""The hosts of a pool: starts, watches and restarts their agents, and through these the workers.

It is a part of the broker's process, and reports to the broker what happens to workers.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any, Protocol

import zmq

from scoopsci.errors import EngineError
from scoopsci.pool import messages as kind
from scoopsci.pool.launcher import AgentProcess
from scoopsci.pool.members import FIRST_RETRY_S, Host, Worker
from scoopsci.pool.place import Place
from scoopsci.pool.status import LossLog, describe_hosts
from scoopsci.reporting.receipts import software_versions
from scoopsci.reporting.workers import Workers

__all__ = ["Supervisor"]

#: The time before another attempt to reach a lost host doubles, up to this.
LAST_RETRY_S = 10.0

#: A host fails if this many workers exit before they accept a task.
N_STARTS = 3

#: Why a surplus worker is ended; not a loss.
SURPLUS = "no longer wanted"

#: Chunks of the hosts' error output that wait to be shown; further ones are dropped.
MOST_SHOWN = 1_000

#: Time for agents to end with the pool, and to remove what killed ones have left.
PARTING_S, CLEANING_S = 6.0, 3.0


class Owner(Protocol):
    """What a supervisor needs from its broker."""

    def tell_driver(self, message: bytes) -> None:
        """Send a message to the driver."""

    def lose_tasks(self, worker: Worker, why: str, *, blame: bool) -> int:
        """Give up the tasks of a worker, and return their number."""

    def forget_sender(self, worker: Worker) -> None:
        """Drop the tasks that were sent by a worker."""

    def note_continued(self, worker: Worker) -> None:
        """Resume giving tasks to a worker that was stopped."""


class Supervisor:
    """Starts agents, and has them start workers.

    Parameters
    ----------
    owner : Owner
        The broker.
    config : dict
        See `scoopsci.pool.broker.PoolBroker`.
    socket : str
        Path of the broker's socket.
    poller : zmq.Poller
        Gets the agents' output registered.

    Attributes
    ----------
    workers : dict
        All workers by their names.
    readers : dict
        Functions to call when a descriptor of the poller is ready.
    """

    def __init__(
        self, owner: Owner, config: dict[str, Any], socket: str, poller: zmq.Poller
    ) -> None:
        self._owner = owner
        self._config = config
        self._socket_path = socket
        self._poller = poller
        self.workers: dict[bytes, Worker] = {}
        self.readers: dict[int, Callable[[], None]] = {}
        self._hosts = [
            Host(host["label"], Place(**host["place"]), host["n_workers"])
            for host in config["hosts"]
        ]
        self._numerics = Workers(mixed=config["mixed"])
        self._losses = LossLog()
        # The driver's stderr may be a suspended terminal, or a pipe that is not read.
        self._shown: SimpleQueue[bytes] = SimpleQueue()
        threading.Thread(target=self._write_shown, daemon=True).start()

    def start(self) -> None:
        """Start an agent on each host."""
        for host in self._hosts:
            self._start_agent(host)

    def note_ready(self, worker: Worker) -> None:
        """Record that a worker accepts tasks."""
        worker.ready = worker.host.ever_ready = True
        worker.host.n_bad_starts = 0
        worker.host.retry_s = FIRST_RETRY_S
        self._tell_hosts()

    def resize(self, counts: list[int]) -> None:
        """Change the number of workers on each host."""
        for host, n_workers in zip(self._hosts, counts, strict=True):
            host.n_workers = n_workers
            self._adjust(host)
        self._tell_hosts()

    def retire(self, worker: Worker) -> None:
        """End a worker once it has no task."""
        worker.retires = True
        if not worker.tasks:
            self.doom(worker, SURPLUS)

    def doom(self, worker: Worker, why: str) -> None:
        """End a worker on purpose."""
        worker.doomed = why
        if worker.host.agent is not None:
            name = worker.name.decode()
            worker.host.agent.tell(kill=name, why=why, gently=why == SURPLUS)

    def describe(self) -> dict[str, Any]:
        """Return ``hosts`` and ``losses``, for the status of the pool."""
        return {"hosts": describe_hosts(self._hosts), "losses": list(self._losses)}

    def look_around(self) -> None:
        """Send heartbeats to the agents, and detect those that are silent."""
        now = time.monotonic()
        for host in self._hosts:
            if host.agent is None:
                if host.retry_at_s is not None and now >= host.retry_at_s:
                    self._start_agent(host)
                continue
            if now - host.agent.asked_s >= self._config["agent"]["heartbeat_s"]:
                host.agent.beat()
            patience = "host_timeout_s" if host.facts else "start_timeout_s"
            if now - host.agent.last_life_s() > self._config[patience]:
                self._lose_host(host, f"it was silent for {self._config[patience]:g} s")
        for worker in list(self.workers.values()):
            patience_s = self._config["host_timeout_s"]
            if worker.stopped_s and now - worker.stopped_s > patience_s:
                why = "was stopped"
                if self._owner.lose_tasks(worker, why, blame=False):
                    self._losses.add(worker.host, worker.pid, why)

    def part(self) -> None:
        """End all agents, and wait for that."""
        for host in self._hosts:
            if host.socket is not None:
                host.place.stop_forwarding(host.socket, self._socket_path)
            if host.agent is not None:
                host.agent.dismiss()
        deadline_s = time.monotonic() + PARTING_S
        for host in self._hosts:
            if host.agent is not None:
                status = host.agent.end(max(0.0, deadline_s - time.monotonic()))
                if status and host.folder and host.place.destination is not None:
                    host.stale = [host.folder]
        self._clean_up()

    def _clean_up(self) -> None:
        """Remove what killed agents have left behind, by agents started for this purpose only."""
        cleaners = []
        for host in self._hosts:
            if host.stale:
                with contextlib.suppress(OSError):
                    cleaners.append(self._launch(host))
                    cleaners[-1].dismiss()
        deadline_s = time.monotonic() + CLEANING_S
        for cleaner in cleaners:
            cleaner.end(max(0.0, deadline_s - time.monotonic()))

    # --- agents

    def _start_agent(self, host: Host) -> None:
        host.retry_at_s = None
        try:
            agent = self._launch(host)
        except OSError as error:
            self._note_no_process(host, error)
            return
        host.agent, host.facts, host.socket = agent, {}, None
        for descriptor, read in ((agent.lines, self._read_reports), (agent.errors, self._show)):
            self._poller.register(descriptor, zmq.POLLIN)
            self.readers[descriptor] = partial(read, host)

    def _launch(self, host: Host) -> AgentProcess:
        host.place = host.place.prepare()
        is_here = host.place.destination is None
        config = {
            **self._config["agent"],
            "folder": os.path.dirname(self._socket_path) if is_here else None,
            "stale": host.stale,
            "umask": self._config["umask"] if is_here else None,
            "hangs_up": host.place.users_control is None,
        }
        return AgentProcess(host.place, config, variables=self._config["variables"])

    def _note_no_process(self, host: Host, error: OSError) -> None:
        if host.ever_ready:
            self._retry_later(host)  # this machine may have run out of processes or memory
        else:
            self._give_up(host, f"cannot be used: {error}; name the ssh program by ssh=")

    def _show(self, host: Host) -> None:
        if host.agent is None:
            return
        data = host.agent.read_errors()
        if data and host.facts and self._shown.qsize() < MOST_SHOWN:
            self._shown.put(data)

    def _write_shown(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._shown.get():
                os.write(2, data)

    def _read_reports(self, host: Host) -> None:
        agent = host.agent
        if agent is None:
            return
        for report in agent.listen():
            if "hello" in report:
                self._greet(host, report)
            elif "other_python" in report:
                ours = ".".join(map(str, sys.version_info[:2]))
                self._give_up(
                    host,
                    f"has Python {report['other_python']}, the driver {ours}; all hosts need the "
                    f"same minor version: install {ours} there, or name it by python=",
                )
            elif "started" in report:
                worker = host.workers.get(report["started"].encode())
                if worker is not None:
                    worker.pid = report["pid"]
            elif "stopped" in report:
                self._note_stopped(host, report["stopped"].encode(), now=report["now"])
            elif "ended" in report:
                self._note_ended(host, report)
            elif "vitals" in report:
                self._note_vitals(host, report)
        if agent.ended:
            self._lose_host(host, "its agent ended")

    def _greet(self, host: Host, report: dict[str, Any]) -> None:
        host.facts, host.folder, host.stale = report["hello"], report["folder"], []
        theirs, ours = host.facts["versions"]["scoopsci"], software_versions()["scoopsci"]
        if theirs != ours:
            self._give_up(
                host, f"has scoopsci {theirs}, the driver {ours}; install the same version there"
            )
            return
        limit = self._config["agent"]["memory_bytes"]
        if limit is not None and report["memory_bytes"] >= limit:
            self._give_up(
                host,
                f"has workers that use {report['memory_bytes']} bytes from their start, which "
                f"exceeds worker_memory={limit}; allow them more",
            )
            return
        if host.n_workers is None:
            host.n_workers = report["n_cores"]
        try:
            self._numerics.compare({**host.facts, "host": host.label})
        except EngineError as error:
            self._owner.tell_driver(kind.FAILED + str(error).encode())
            return
        if host.place.destination is None:
            host.socket = self._socket_path
            self._adjust(host)
        else:
            self._forward(host)

    def _forward(self, host: Host) -> None:
        there = f"{host.folder}/broker"
        command = host.place.forwarding(there, self._socket_path)
        host.forwarding = process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        pidfd = os.pidfd_open(process.pid)

        def finish() -> None:
            self._poller.unregister(pidfd)
            del self.readers[pidfd]
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
        self.readers[pidfd] = finish

    def _adjust(self, host: Host) -> None:
        """Start the missing workers of a host, or end its surplus ones."""
        if host.agent is None or host.socket is None or host.n_workers is None:
            return
        staying = [w for w in host.workers.values() if not (w.doomed or w.retires)]
        n_missing = host.n_workers - len(staying)
        names = [secrets.token_hex(16) for _ in range(n_missing)]
        for name in names:
            worker = Worker(name.encode(), host)
            host.workers[worker.name] = self.workers[worker.name] = worker
        if names:
            host.agent.tell(start=names, socket=host.socket)
        for worker in sorted(staying, key=lambda worker: len(worker.tasks))[: max(0, -n_missing)]:
            self.retire(worker)

    def _note_stopped(self, host: Host, name: bytes, *, now: bool) -> None:
        worker = host.workers.get(name)
        if worker is None:
            return
        worker.stopped_s = time.monotonic() if now else None
        if not now:
            self._owner.note_continued(worker)

    def _note_vitals(self, host: Host, report: dict[str, Any]) -> None:
        host.vitals = report["vitals"]
        for name, n_bytes in report["workers"].items():
            worker = host.workers.get(name.encode())
            if worker is not None:
                worker.memory_bytes = n_bytes

    def _note_ended(self, host: Host, report: dict[str, Any]) -> None:
        worker = host.workers.pop(report["ended"].encode(), None)
        if worker is None:
            return
        del self.workers[worker.name]
        if report["killed_for"] == "memory":
            limit = self._config["agent"]["memory_bytes"]
            why, blame = f"used more memory than worker_memory={limit} bytes allows", True
        elif worker.doomed:
            why, blame = f"was ended ({worker.doomed})", False
        else:
            why, blame = f"ended with {report['how']}", report["own_doing"]
        if worker.doomed != SURPLUS:
            self._losses.add(host, worker.pid, why)
        self._owner.lose_tasks(worker, why, blame=blame)
        self._owner.forget_sender(worker)
        if not worker.ready and not worker.doomed:
            host.n_bad_starts += 1
            if host.n_bad_starts >= N_STARTS:
                self._give_up(host, f"starts no workers: the last one {why}")
                return
        self._adjust(host)
        self._tell_hosts()

    def _lose_host(self, host: Host, why: str) -> None:
        agent = host.agent
        if agent is None:
            return
        words = "" if host.ever_ready else agent.last_words()
        self._losses.add(host, None, f"the host was lost: {why}")
        self._drop_agent(host)
        if not host.ever_ready:
            self._give_up(
                host,
                f"cannot be used, {why}: {words or 'it printed nothing'}\n"
                f"{host.place.find_remedy(words)}try by hand: {host.place.as_typed()}; "
                "scoopsci hosts HOSTFILE examines all hosts, and names remedies",
            )
            return
        self._retry_later(host)
        self._tell_hosts()

    def _retry_later(self, host: Host) -> None:
        host.retry_at_s = time.monotonic() + host.retry_s
        host.retry_s = min(2 * host.retry_s, LAST_RETRY_S)

    def _drop_agent(self, host: Host) -> None:
        agent = host.agent
        assert agent is not None
        if host.socket is not None:
            host.place.stop_forwarding(host.socket, self._socket_path)
        host.agent, host.socket, host.forwarding = None, None, None
        if host.folder and host.place.destination is not None:
            host.stale = [host.folder]
        host.facts, host.vitals, host.folder = {}, {}, None
        for descriptor in (agent.lines, agent.errors):
            self._poller.unregister(descriptor)
            del self.readers[descriptor]
        agent.end(0.0)
        for worker in list(host.workers.values()):
            del self.workers[worker.name]
            why = "was lost with its host"
            self._losses.add(host, worker.pid, why)
            self._owner.lose_tasks(worker, why, blame=False)
            self._owner.forget_sender(worker)
        host.workers.clear()

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
        self._owner.tell_driver(kind.HOSTS + json.dumps(hosts).encode())

    def _give_up(self, host: Host, why: str) -> None:
        if host.agent is not None:
            self._drop_agent(host)
        self._owner.tell_driver(kind.FAILED + f"host {host.label} {why}".encode())
