"""The processes of a pool's agents, as the broker starts, hears and ends them.

What is to be done, and when, is decided by `scoopsci.protocol.hosts`.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from queue import SimpleQueue
from typing import Any

import zmq

from scoopsci.pool.launcher import AgentProcess
from scoopsci.pool.place import Place
from scoopsci.protocol import brokering as on
from scoopsci.protocol.members import Host

__all__ = ["Supervisor"]

#: Chunks of the hosts' error output that wait to be shown; further ones are dropped.
MOST_SHOWN = 1_000

#: Time for agents to end with the pool, and to remove what killed ones have left.
PARTING_S, CLEANING_S = 6.0, 3.0


class Supervisor:
    """Holds the processes of agents, and reports to the machine what they say.

    Parameters
    ----------
    report : callable
        Gets the events for the machine.
    hosts : sequence of Host
        As the machine knows them.
    config : dict
        See `scoopsci.pool.broker.PoolBroker`.
    socket : str
        Path of the broker's socket.
    poller : zmq.Poller
        Gets the agents' output registered.

    Attributes
    ----------
    readers : dict
        Functions to call when a descriptor of the poller is ready.
    """

    def __init__(
        self,
        report: Callable[[Any], None],
        hosts: Sequence[Host],
        config: dict[str, Any],
        socket: str,
        poller: zmq.Poller,
    ) -> None:
        self._report = report
        self._hosts = hosts
        self._config = config
        self._socket_path = socket
        self._poller = poller
        self.readers: dict[int, Callable[[], None]] = {}
        self._places = [Place(**host["place"]) for host in config["hosts"]]
        self._agents: dict[int, AgentProcess] = {}
        # The driver's stderr may be a suspended terminal, or a pipe that is not read.
        self._shown: SimpleQueue[bytes] = SimpleQueue()
        threading.Thread(target=self._write_shown, daemon=True).start()

    def heard_s(self) -> dict[int, float]:
        """Return when each agent has been heard last."""
        return {number: agent.last_life_s() for number, agent in self._agents.items()}

    def part(self) -> None:
        """End all agents, and wait for that."""
        for host in self._hosts:
            if host.socket is not None:
                self._places[host.number].stop_forwarding(host.socket, self._socket_path)
        for agent in self._agents.values():
            agent.dismiss()
        deadline_s = time.monotonic() + PARTING_S
        stale = {host.number: host.stale for host in self._hosts if host.stale}
        for number, agent in self._agents.items():
            status = agent.end(max(0.0, deadline_s - time.monotonic()))
            host = self._hosts[number]
            if status and host.folder and not host.is_here:
                stale[number] = [host.folder]
        self._clean_up(stale)

    def _clean_up(self, stale: dict[int, list[str]]) -> None:
        """Remove what killed agents have left behind, by agents started for this purpose only."""
        cleaners = []
        for number, folders in stale.items():
            with contextlib.suppress(OSError):
                cleaners.append(self._launch(number, folders))
                cleaners[-1].dismiss()
        deadline_s = time.monotonic() + CLEANING_S
        for cleaner in cleaners:
            cleaner.end(max(0.0, deadline_s - time.monotonic()))

    # --- actions

    def start(self, action: on.StartAgent) -> None:
        """Start the agent of a host."""
        try:
            agent = self._launch(action.host, action.stale)
        except OSError as error:
            self._report(on.NoAgent(action.host, str(error)))
            return
        self._agents[action.host] = agent
        for descriptor, read in ((agent.lines, self._read_reports), (agent.errors, self._show)):
            self._poller.register(descriptor, zmq.POLLIN)
            self.readers[descriptor] = partial(read, action.host, agent)

    def _launch(self, number: int, stale: Sequence[str]) -> AgentProcess:
        place = self._places[number] = self._places[number].prepare()
        is_here = place.destination is None
        config = {
            **self._config["agent"],
            "folder": os.path.dirname(self._socket_path) if is_here else None,
            "stale": stale,
            "umask": self._config["umask"] if is_here else None,
            "hangs_up": place.users_control is None,
        }
        return AgentProcess(place, config, variables=self._config["variables"])

    def order(self, action: on.Order) -> None:
        """Send a line to an agent."""
        self._agents[action.host].tell(**action.order)

    def beat(self, action: on.Beat) -> None:
        """Send a heartbeat to an agent."""
        self._agents[action.host].beat()

    def drop(self, action: on.DropAgent) -> None:
        """End an agent."""
        if action.socket is not None:
            self._places[action.host].stop_forwarding(action.socket, self._socket_path)
        agent = self._agents.pop(action.host)
        for descriptor in (agent.lines, agent.errors):
            self._poller.unregister(descriptor)
            del self.readers[descriptor]
        agent.end(0.0)

    def forward(self, action: on.Forward) -> None:
        """Forward a path on a host to the broker's socket."""
        process = subprocess.Popen(
            self._places[action.host].forwarding(action.there, self._socket_path),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
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
            self._report(on.Forwarded(action.host, action.attempt, process.wait(), words))

        self._poller.register(pidfd, zmq.POLLIN)
        self.readers[pidfd] = finish

    def explain(self, action: on.TellUnusable) -> str:
        """Say why a host cannot be used, and what the user can do."""
        place = self._places[action.host]
        words = self._agents[action.host].last_words()
        return (
            f"host {self._hosts[action.host].label} cannot be used, {action.why}: "
            f"{words or 'it printed nothing'}\n"
            f"{place.find_remedy(words)}try by hand: {place.as_typed()}; "
            "scoopsci hosts HOSTFILE examines all hosts, and names remedies"
        )

    # --- what agents say

    def _show(self, number: int, agent: AgentProcess) -> None:
        data = agent.read_errors()
        if data and self._hosts[number].facts and self._shown.qsize() < MOST_SHOWN:
            self._shown.put(data)

    def _write_shown(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._shown.get():
                os.write(2, data)

    def _read_reports(self, number: int, agent: AgentProcess) -> None:
        for report in agent.listen():
            self._report(on.Reported(number, report))
        if agent.ended:
            self._report(on.AgentEnded(number))
