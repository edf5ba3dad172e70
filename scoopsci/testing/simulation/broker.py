"""The shell of a broker's machine, in a simulation."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from scoopsci.protocol import brokering as on
from scoopsci.protocol import messages as kind
from scoopsci.protocol.broker import BrokerMachine
from scoopsci.protocol.members import Worker
from scoopsci.protocol.timing import find_times
from scoopsci.testing.simulation.checks import DRIVER, Checks
from scoopsci.testing.simulation.hosts import HERE_S, Connection, Host
from scoopsci.testing.simulation.script import Conditions
from scoopsci.testing.simulation.workers import SimulatedWorker
from scoopsci.testing.simulation.world import NAMES, Pipe, World, name_message

__all__ = ["SimulatedBroker", "configure"]

TICK_S = 0.25

START_TIMEOUT_S = 10.0

#: What the broker answers to the sender of a task.
TO_SENDERS = (kind.REPLY, kind.LOST, kind.CANCELLED)


class SimulatedBroker:
    """Performs the actions of a broker's machine, and checks each of its messages.

    Parameters
    ----------
    world, checks
        See there.
    config : mapping
        See `scoopsci.protocol.broker.BrokerMachine`.
    hosts : sequence of Host
        As in the configuration.

    Attributes
    ----------
    machine : BrokerMachine
        The machine.
    connections : dict
        Those that are open, by their hosts.
    """

    def __init__(
        self, world: World, checks: Checks, config: Mapping[str, Any], hosts: Sequence[Host]
    ) -> None:
        self._world, self._checks = world, checks
        self._config = config
        self._hosts = hosts
        self._n_names = 0
        self.machine = BrokerMachine(config, self._make_name)
        self.believed: Mapping[bytes, Worker] = self.machine.workers
        self.connections: dict[int, Connection] = {}
        self._peers: dict[bytes, Pipe] = {}
        self.workers: dict[bytes, SimulatedWorker] = {}
        self._events: deque[Any] = deque()
        self._is_handling = False
        self._unsent: deque[tuple[bytes, Sequence[Any]]] = deque()
        self.is_over = self.hangs = False
        self._speaker = b""
        self._performers: dict[type[Any], Callable[[Any], None]] = {
            on.Send: self._send,
            on.TellDriver: self._tell_driver,
            on.TellStatus: self._tell_status,
            on.TellUnusable: self._tell_unusable,
            on.SendData: self._send_data,
            on.StartAgent: self._start_agent,
            on.Order: lambda action: self._order(action.host, action.order),
            on.Beat: lambda action: self._order(action.host, {"alive": True}),
            on.Forward: self._forward,
            on.DropAgent: lambda action: self.connections.pop(action.host).close(),
            on.LogLoss: self._log_loss,
        }

    def _make_name(self) -> str:
        self._n_names += 1
        return f"w{self._n_names:0{kind.NAME_BYTES - 1}}"

    def start(self) -> None:
        """Serve."""
        self.handle(on.Start())
        self._tick()

    def handle(self, event: Any) -> None:
        """Let the machine handle an event, and perform its actions."""
        if self.is_over or self.hangs:
            return
        self._events.append(event)
        if self._is_handling:
            return
        self._is_handling = True
        while self._events:
            event = self._events.popleft()
            self._speaker = event.peer if isinstance(event, on.Message) else b""
            self._world.counts["events", f"broker {type(event).__name__}"] += 1
            for action in self.machine.handle(self._world.now_s, event):
                self._performers[type(action)](action)
        self._is_handling = False

    def _tick(self) -> None:
        if self.is_over or self.hangs:
            return
        self._send_unsent()
        self.handle(on.Tick({n: c.heard_s for n, c in self.connections.items()}))
        self._world.after(TICK_S, self._tick)

    # --- messages

    def connect(self, name: bytes, pipe: Pipe) -> None:
        """Let a peer be reached."""
        self._peers[name] = pipe

    def receive(self, message: tuple[bytes, bytes | None, Sequence[Any]]) -> None:
        """Take a message of a peer, or the end of its connection."""
        peer, head, frames = message
        if head is None:
            self._peers.pop(peer, None)
            return
        self._world.counts["messages", f"to broker: {NAMES[head[:2]]}"] += 1
        self._note_worker(peer)
        if peer in self.workers:
            self.workers[peer].unheard.popleft()
        self.handle(on.Message(peer, head, frames))

    def _note_worker(self, peer: bytes) -> None:
        if peer == DRIVER or peer in self._peers:
            return
        for connection in self.connections.values():
            for worker in connection.agent.workers.values():
                if worker.name == peer:
                    self.workers[peer] = worker
                    self._peers[peer] = connection.agent.by_name[peer]

    def _put(self, peer: bytes, head: bytes, frames: Sequence[Any]) -> bool:
        if peer not in self._peers:
            return False
        self._world.counts["messages", f"from broker: {NAMES[head[:2]]}"] += 1
        self._world.note("broker to", peer[-4:].decode(), name_message(head))
        self._peers[peer].put((head, frames))
        return True

    def _send(self, message: on.Send) -> None:
        peer, head, frames = message
        if head[:2] in TO_SENDERS:
            self._check_answer(peer, head)
        is_sent = self._put(peer, head, frames)
        if is_sent:
            self._checks.check_message(head, self.workers.get(peer), self.believed)
        else:
            self._events.append(on.Undelivered(peer, head, frames))

    def _send_data(self, wanted: on.SendData) -> None:
        self._put(wanted.peer, kind.FETCHED, [b"data"])

    def _check_answer(self, sender: bytes, head: bytes) -> None:
        key, details = sender + head[2 : 2 + kind.NUMBER_BYTES], head[2 + kind.NUMBER_BYTES :]
        if head[:2] == kind.REPLY:
            self._checks.check_reply(key, self._speaker)
        elif head[:2] == kind.LOST:
            self._checks.check_lost(key, json.loads(details))
        elif details == b"1":
            self._checks.note_cancelled(key)

    def _tell_driver(self, told: on.TellDriver) -> None:
        self._checks.check_message(told.head, None, self.believed)
        self._unsent.append((told.head, told.frames))
        self._send_unsent()

    def _send_unsent(self) -> None:
        while self._unsent and self._put(DRIVER, *self._unsent[0]):
            self._unsent.popleft()

    def _tell_status(self, status: on.TellStatus) -> None:
        found = json.dumps({**status.found, "losses": []}).encode()
        self._put(DRIVER, kind.STATUS + status.number + found, ())

    def _tell_unusable(self, action: on.TellUnusable) -> None:
        why = f"host {action.host} cannot be used, {action.why}"
        self._tell_driver(on.TellDriver(kind.FAILED + why.encode()))

    def _log_loss(self, loss: on.LogLoss) -> None:
        self._world.note("broker has lost", *loss)
        host = int(loss.host)
        is_true = loss.pid is not None or host in self._checks.faulty
        self._checks.require(is_true, "no-loss-without-fault", loss.why)

    # --- agents

    def _start_agent(self, action: on.StartAgent) -> None:
        host = self._hosts[action.host]
        if host.refuses:
            self._events.append(on.NoAgent(action.host, "refused"))
            return

        def end() -> None:
            if self.connections.get(action.host) is connection:
                self.handle(on.AgentEnded(action.host))

        connection = Connection(
            host,
            {**self._config["agent"], "hangs_up": True},
            lambda report: self.handle(on.Reported(action.host, report)),
            end,
            self.receive,
        )
        self.connections[action.host] = connection
        host.connections.append(connection)
        if host.is_off:
            connection.agent.die(tells=False)
        delay_s = self._world.rng.expovariate(1 / host.start_s)
        self._world.after(delay_s, connection.agent.start)

    def _order(self, number: int, order: Mapping[str, Any]) -> None:
        self._world.counts["messages", f"to agent: {next(iter(order))}"] += 1
        self.connections[number].down.put(order)

    def _forward(self, action: on.Forward) -> None:
        connection = self.connections[action.host]

        def finish() -> None:
            if connection.down.is_held or connection.up.is_held:
                self._world.after(0.1, finish)
            elif not connection.up.is_closed:
                self.handle(on.Forwarded(action.host, action.attempt, 0, ""))

        self._world.after(4 * HERE_S, finish)

    def part(self) -> None:
        """End with the driver, and with it the agents."""
        self.is_over = True
        for connection in self.connections.values():
            connection.down.put(None)


def configure(conditions: Conditions) -> dict[str, Any]:
    """Return the configuration of a broker's machine."""
    times = find_times(conditions.host_timeout_s)
    return {
        "folder": "/here",
        "driver": DRIVER.decode(),
        "hosts": [
            {
                "label": str(number),
                "n_workers": n_workers,
                "place": {"destination": str(number) if number else None},
            }
            for number, n_workers in enumerate(conditions.n_workers)
        ],
        "host_timeout_s": conditions.host_timeout_s,
        "start_timeout_s": START_TIMEOUT_S,
        "workers_timeout_s": times["workers_timeout_s"],
        "mixed": False,
        "initializes": conditions.initializes,
        "version": "1",
        "agent": {
            "python": (3, 11),
            "heartbeat_s": times["heartbeat_s"],
            "lease_s": times["lease_s"],
            "memory_bytes": None,
        },
    }
