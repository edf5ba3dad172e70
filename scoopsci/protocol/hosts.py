"""The hosts of a pool: when to start, watch and restart their agents, and their workers.

It is the part of the broker's machine that answers the agents, and tells the other part, its owner,
what happens to workers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from scoopsci.errors import EngineError
from scoopsci.protocol import brokering as on
from scoopsci.protocol import messages as kind
from scoopsci.protocol.members import Host, Worker
from scoopsci.protocol.reports import SURPLUS, explain_end, find_fault
from scoopsci.protocol.status import report_hosts
from scoopsci.protocol.timing import FIRST_RETRY_S, LAST_RETRY_S
from scoopsci.reporting.workers import Workers

__all__ = ["Hosts"]

#: A host fails if this many workers exit before they accept a task.
N_STARTS = 3


class Owner(Protocol):
    """What the hosts need from the rest of the machine."""

    now_s: float

    def act(self, action: Any) -> None:
        """Have an action performed."""

    def lose_tasks(self, worker: Worker, why: str, *, blame: bool) -> int:
        """Give up the tasks of a worker, and return their number."""

    def forget_sender(self, worker: Worker) -> None:
        """Drop the tasks that were sent by a worker."""

    def note_continued(self, worker: Worker) -> None:
        """Resume giving tasks to a worker that was stopped."""


class Hosts:
    """Has agents started, and these start workers.

    Parameters
    ----------
    owner : Owner
        The broker's machine.
    config : mapping
        See `scoopsci.pool.broker.PoolBroker`.
    make_name : callable
        Returns a name for a worker, which cannot be guessed.

    Attributes
    ----------
    hosts : list of Host
        As in the hostfile.
    workers : dict
        All workers by their names.
    """

    def __init__(
        self, owner: Owner, config: Mapping[str, Any], make_name: Callable[[], str]
    ) -> None:
        self._owner = owner
        self._config = config
        self._make_name = make_name
        self._socket_path = f"{config['folder']}/broker"
        self.workers: dict[bytes, Worker] = {}
        self.hosts = [
            Host(number, host["label"], host["place"]["destination"] is None, host["n_workers"])
            for number, host in enumerate(config["hosts"])
        ]
        self._numerics = Workers(mixed=config["mixed"])

    def start(self) -> None:
        """Start an agent on each host."""
        for host in self.hosts:
            self._start_agent(host)

    def note_ready(self, worker: Worker) -> None:
        """Record that a worker accepts tasks."""
        worker.ready = worker.host.ever_ready = True
        worker.host.n_bad_starts = 0
        worker.host.retry_s = FIRST_RETRY_S
        self._tell_hosts()

    def resize(self, counts: list[int]) -> None:
        """Change the number of workers on each host."""
        for host, n_workers in zip(self.hosts, counts, strict=True):
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
        if worker.host.has_agent:
            self._order(worker.host, kill=worker.name.decode(), why=why, gently=why == SURPLUS)

    def look_around(self, heard_s: Mapping[int, float]) -> None:
        """Send heartbeats to the agents, and detect those that are silent."""
        now_s = self._owner.now_s
        for host in self.hosts:
            if not host.has_agent:
                if host.retry_at_s is not None and now_s >= host.retry_at_s:
                    self._start_agent(host)
                continue
            if now_s - host.asked_s >= self._config["agent"]["heartbeat_s"]:
                host.asked_s = now_s
                self._owner.act(on.Beat(host.number))
            patience = "host_timeout_s" if host.facts else "start_timeout_s"
            if now_s - heard_s.get(host.number, now_s) > self._config[patience]:
                self._lose_host(host, f"it was silent for {self._config[patience]:g} s")
        for worker in list(self.workers.values()):
            self._look_at_stopped(worker)

    def _look_at_stopped(self, worker: Worker) -> None:
        if worker.stopped_s is None:
            return
        if self._owner.now_s - worker.stopped_s > self._config["host_timeout_s"]:
            why = "was stopped"
            if self._owner.lose_tasks(worker, why, blame=False):
                self._log_loss(worker.host, worker.pid, why)

    # --- agents

    def _start_agent(self, host: Host) -> None:
        host.retry_at_s = None
        host.has_agent, host.facts, host.socket = True, {}, None
        host.asked_s = self._owner.now_s
        self._owner.act(on.StartAgent(host.number, host.stale))

    def note_no_agent(self, event: on.NoAgent) -> None:
        """Record that the process of an agent could not be started."""
        host = self.hosts[event.host]
        host.has_agent = False
        if host.ever_ready:
            self._retry_later(host)  # this machine may have run out of processes or memory
        else:
            self._give_up(host, f"cannot be used: {event.why}; name the ssh program by ssh=")

    def note_ended(self, event: on.AgentEnded) -> None:
        """Record that an agent has ended."""
        self._lose_host(self.hosts[event.host], "its agent ended")

    def note_report(self, event: on.Reported) -> None:
        """Handle a line from an agent."""
        host, report = self.hosts[event.host], event.report
        if not host.has_agent:
            return
        if "hello" in report or "other_python" in report:
            self._greet(host, report)
        elif "started" in report:
            worker = host.workers.get(report["started"].encode())
            if worker is not None:
                worker.pid = report["pid"]
        elif "stopped" in report:
            self._note_stopped(host, report["stopped"].encode(), now=report["now"])
        elif "ended" in report:
            self._note_worker_ended(host, report)
        elif "vitals" in report:
            self._note_vitals(host, report)

    def _greet(self, host: Host, report: Mapping[str, Any]) -> None:
        host.facts, host.folder, host.stale = report.get("hello", {}), report.get("folder"), []
        fault = find_fault(report, self._config)
        if fault is not None:
            self._give_up(host, fault)
            return
        if host.n_workers is None:
            host.n_workers = report["n_cores"]
        try:
            self._numerics.compare({**host.facts, "host": host.label})
        except EngineError as error:
            self._owner.act(on.TellDriver(kind.FAILED + str(error).encode()))
            return
        if host.is_here:
            host.socket = self._socket_path
            self._adjust(host)
        else:
            host.n_forwardings += 1
            host.forwarding = host.n_forwardings
            self._owner.act(on.Forward(host.number, host.forwarding, f"{host.folder}/broker"))

    def note_forwarded(self, event: on.Forwarded) -> None:
        """Start workers that reach the broker by the forwarded socket."""
        host = self.hosts[event.host]
        if host.forwarding != event.attempt:
            return
        host.forwarding = None
        if event.status:
            self._give_up(
                host,
                f"does not forward UNIX sockets ({event.words}); sshd there needs "
                "AllowStreamLocalForwarding yes",
            )
        else:
            host.socket = f"{host.folder}/broker"
            self._adjust(host)

    def _adjust(self, host: Host) -> None:
        """Start the missing workers of a host, or end its surplus ones."""
        if not host.has_agent or host.socket is None or host.n_workers is None:
            return
        staying = [w for w in host.workers.values() if not (w.doomed or w.retires)]
        n_missing = host.n_workers - len(staying)
        names = [self._make_name() for _ in range(n_missing)]
        for name in names:
            worker = Worker(name.encode(), host)
            host.workers[worker.name] = self.workers[worker.name] = worker
        if names:
            self._order(host, start=names, socket=host.socket)
        # The least useful ones first: a stopped worker may hold tasks that others have by now.
        staying.sort(key=lambda worker: (worker.stopped_s is None, len(worker.tasks)))
        for worker in staying[: max(0, -n_missing)]:
            self.retire(worker)

    def _note_stopped(self, host: Host, name: bytes, *, now: bool) -> None:
        worker = host.workers.get(name)
        if worker is None:
            return
        worker.stopped_s = self._owner.now_s if now else None
        if not now:
            self._owner.note_continued(worker)

    def _note_vitals(self, host: Host, report: Mapping[str, Any]) -> None:
        host.vitals = report["vitals"]
        for name, n_bytes in report["workers"].items():
            worker = host.workers.get(name.encode())
            if worker is not None:
                worker.memory_bytes = n_bytes

    def _note_worker_ended(self, host: Host, report: Mapping[str, Any]) -> None:
        worker = host.workers.pop(report["ended"].encode(), None)
        if worker is None:
            return
        del self.workers[worker.name]
        why, blame = explain_end(worker, report, self._config["agent"]["memory_bytes"])
        if worker.doomed != SURPLUS:
            self._log_loss(host, worker.pid, why)
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
        if not host.has_agent:
            return
        self._log_loss(host, None, f"the host was lost: {why}")
        if not host.ever_ready:
            self._owner.act(on.TellUnusable(host.number, why))
            self._drop_agent(host)
            return
        self._drop_agent(host)
        self._retry_later(host)
        self._tell_hosts()

    def _retry_later(self, host: Host) -> None:
        host.retry_at_s = self._owner.now_s + host.retry_s
        host.retry_s = min(2 * host.retry_s, LAST_RETRY_S)

    def _drop_agent(self, host: Host) -> None:
        self._owner.act(on.DropAgent(host.number, host.socket))
        host.has_agent, host.socket, host.forwarding = False, None, None
        if host.folder and not host.is_here:
            host.stale = [host.folder]
        host.facts, host.vitals, host.folder = {}, {}, None
        for worker in list(host.workers.values()):
            del self.workers[worker.name]
            why = "was lost with its host"
            self._log_loss(host, worker.pid, why)
            self._owner.lose_tasks(worker, why, blame=False)
            self._owner.forget_sender(worker)
        host.workers.clear()

    def _tell_hosts(self) -> None:
        hosts = json.dumps(report_hosts(self.hosts))
        self._owner.act(on.TellDriver(kind.HOSTS + hosts.encode()))

    def _give_up(self, host: Host, why: str) -> None:
        if host.has_agent:
            self._drop_agent(host)
        self._owner.act(on.TellDriver(kind.FAILED + f"host {host.label} {why}".encode()))

    def _order(self, host: Host, **order: Any) -> None:
        self._owner.act(on.Order(host.number, order))

    def _log_loss(self, host: Host, pid: int | None, why: str) -> None:
        self._owner.act(on.LogLoss(host.label, pid, why))
