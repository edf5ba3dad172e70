"""Hosts, their agents, and the connections to them, with all that can happen to these."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

from scoopsci.protocol import agent as on
from scoopsci.testing.simulation.checks import Checks
from scoopsci.testing.simulation.nesting import NestingWorker
from scoopsci.testing.simulation.workers import SimulatedWorker
from scoopsci.testing.simulation.world import Pipe, World

__all__ = ["Connection", "Host", "SimulatedAgent"]

TICK_S = 0.25

#: Mean delays on one machine, and between machines.
HERE_S, THERE_S = 0.0005, 0.01

#: Of the agent's first line.
FACTS = {"host": "simulated", "numpy": "2", "battery": "b", "versions": {"scoopsci": "1"}}


class Connection:
    """One start of an agent: the agent, and the lines and messages to and from its host.

    Parameters
    ----------
    host : Host
        Where the agent runs.
    config : mapping
        The agent's first line.
    report, end : callable
        Get the agent's lines, and the end of them.
    receive : callable
        Gets the messages of workers.
    """

    def __init__(
        self,
        host: Host,
        config: Mapping[str, Any],
        report: Callable[[Mapping[str, Any]], None],
        end: Callable[[], None],
        receive: Callable[[Any], None],
    ) -> None:
        self.host = host
        self._report, self._end, self._receive = report, end, receive
        self._pipes: list[tuple[Pipe, bool]] = []
        self.up = self.make_pipe(self._arrive, to_host=False)
        self.agent = SimulatedAgent(self, config)
        self.down = self.make_pipe(self.agent.hear, to_host=True)
        self.heard_s = host.world.now_s

    def make_pipe(self, deliver: Callable[[Any], None], *, to_host: bool) -> Pipe:
        """Open one direction of a connection."""
        pipe = Pipe(self.host.world, deliver, HERE_S if self.host.is_here else THERE_S)
        pipe.is_held = self.host.holds_to if to_host else self.host.holds_from
        self._pipes.append((pipe, to_host))
        return pipe

    def receive(self, message: Any) -> None:
        """Take a message of a worker."""
        self._receive(message)

    def hold(self, *, to_host: bool, held: bool) -> None:
        """Hold or release all that goes in one direction."""
        for pipe, there in self._pipes:
            if there == to_host and pipe.is_held != held:
                if held:
                    pipe.hold()
                else:
                    pipe.release()

    def reset(self) -> None:
        """Lose what is on the way, and tell the broker that nobody is there."""
        for pipe, _ in self._pipes:
            pipe.lose_held()
        self.up.put(None)

    def _arrive(self, line: Mapping[str, Any] | None) -> None:
        if line is None:
            self._end()
        else:
            self.heard_s = self.host.world.now_s
            self._report(line)

    def close(self) -> None:
        """End it on the broker's side: the agent notices once it can."""
        for pipe, to_host in self._pipes:
            if pipe is not self.down and (not self.host.is_here or not to_host):
                pipe.close()
        self.down.put(None)


class Host:
    """A machine.

    Attributes
    ----------
    connections : list of Connection
        All that there have been.
    """

    def __init__(
        self, world: World, checks: Checks, number: int, *, nests: bool, pids: itertools.count[int]
    ) -> None:
        self.world, self.checks = world, checks
        self.number = number
        self.is_here = number == 0
        self.worker_class = NestingWorker if nests else SimulatedWorker
        self.pids = pids
        self.holds_to = self.holds_from = self.is_off = self.refuses = False
        self.start_s = 0.05
        self.late_s = 0.0
        self.connections: list[Connection] = []

    @property
    def workers(self) -> list[SimulatedWorker]:
        """The workers that live."""
        return [
            worker
            for connection in self.connections
            for worker in connection.agent.workers.values()
            if worker.is_alive
        ]

    def hold(self, *, to_host: bool, from_host: bool) -> None:
        """Hold or release what goes to and from it."""
        self.holds_to, self.holds_from = to_host, from_host
        for connection in list(self.connections):
            connection.hold(to_host=True, held=to_host)
            connection.hold(to_host=False, held=from_host)

    def power_off(self) -> None:
        """End all processes, and be silent."""
        self.is_off = True
        self.hold(to_host=True, from_host=True)
        for connection in self.connections:
            connection.agent.die(tells=False)

    def power_on(self) -> None:
        """Run again, with nothing of what there was."""
        self.is_off = False
        for connection in self.connections:
            if not connection.agent.is_alive:
                connection.reset()
        self.hold(to_host=False, from_host=False)

    def remaining(self) -> list[str]:
        """Return what is left on it, apart from agents that have yet to read their first line."""
        agents = [c.agent for c in self.connections if c.agent.is_alive and c.agent.machine]
        return [f"{len(agents)} agents"] * bool(agents) + [
            f"worker {worker.pid}" for worker in self.workers
        ]


class SimulatedAgent:
    """The shell of an agent's machine."""

    def __init__(self, connection: Connection, config: Mapping[str, Any]) -> None:
        self._connection = connection
        self._world = connection.host.world
        self._config = config
        self.machine: on.AgentMachine | None = None
        self.workers: dict[int, SimulatedWorker] = {}
        self.by_name: dict[bytes, Pipe] = {}
        self._events: list[Any] = []
        self._postponed: list[Any] = []
        self._is_handling = False
        self.is_alive = True
        self.is_stopped = False
        self._performers: dict[type[Any], Callable[[Any], None]] = {
            on.Tell: lambda action: self._tell(action.facts),
            on.Fork: self._fork,
            on.LetGo: self._let_go,
            on.Kill: lambda action: self.workers[action.pid].die("SIGKILL"),
            on.ReadVitals: self._read_vitals,
            on.HangUp: lambda _: self._connection.up.put(None),
            on.End: lambda _: self._end(),
        }

    def start(self) -> None:
        """Read the first line, and serve."""
        if not self.is_alive:
            return
        self.machine = on.AgentMachine(self._config, self._world.now_s)
        facts = {"hello": FACTS, "folder": "/there", "n_cores": 1, "memory_bytes": 1}
        self.handle(on.Start(facts))
        self._tick()

    def hear(self, order: Mapping[str, Any] | None) -> None:
        """Take a line from the broker, or the end of its lines."""
        self.handle(on.Cut() if order is None else on.Heard([order]))

    def handle(self, event: Any) -> None:
        """Let the machine handle an event, now or once it continues or has started."""
        if not self.is_alive:
            return
        if self.is_stopped or self.machine is None:
            self._postponed.append(event)
            return
        self._events.append(event)
        if self._is_handling:
            return
        self._is_handling = True
        while self._events and self.is_alive:
            event = self._events.pop(0)
            self._world.counts["events", f"agent {type(event).__name__}"] += 1
            if isinstance(event, on.Ended):
                del self.workers[event.pid]
            for action in self.machine.handle(self._world.now_s, event):
                self._performers[type(action)](action)
        self._is_handling = False

    def _tick(self) -> None:
        if not self.is_alive:
            return
        if self._postponed and not self.is_stopped:
            self._catch_up()
        if not self.is_stopped:
            self.handle(on.Looked({pid: ("T" if w.is_stopped else "S", 1)
                                   for pid, w in self.workers.items() if w.is_alive}))  # fmt: skip
        self._world.after(TICK_S, self._tick)

    def _catch_up(self) -> None:
        postponed, self._postponed = self._postponed, []
        for event in postponed:
            self.handle(event)

    def stop(self) -> None:
        """Stop it by a signal."""
        self.is_stopped = True

    def go_on(self) -> None:
        """Let it continue."""
        self.is_stopped = False
        self._catch_up()

    # --- actions

    def _tell(self, facts: Mapping[str, Any] | None) -> None:
        if facts is not None:
            self._world.counts["messages", f"from agent: {next(iter(facts))}"] += 1
            if "vitals" not in facts:  # the trace would be full of heartbeats
                told = [f"{name} {fact}" for name, fact in facts.items() if name != "hello"]
                self._world.note("host", self._connection.host.number, "tells:", *told)
        self._connection.up.put(facts)

    def _read_vitals(self, _: on.ReadVitals) -> None:
        if not self._connection.up.is_held:
            self.handle(on.Vitals({}))

    def _fork(self, action: on.Fork) -> None:
        host = self._connection.host
        pid = next(host.pids)
        name = action.name.encode()
        worker = host.worker_class(
            self._world, host.checks, name, pid,
            self._connection.make_pipe(self._connection.receive, to_host=False),
            lambda how, own: self._world.after(0.002, self._note_end, pid, how, own),
        )  # fmt: skip
        worker.late_s, host.late_s = host.late_s, 0.0
        self.workers[pid] = worker
        self.by_name[name] = self._connection.make_pipe(worker.receive, to_host=True)
        self.handle(on.Forked(action.name, pid))
        worker.later(self._world.rng.expovariate(1 / host.start_s), worker.start)

    def _note_end(self, pid: int, how: str, own_doing: bool) -> None:
        self.handle(on.Ended(pid, how, own_doing))

    def _let_go(self, action: on.LetGo) -> None:
        if not self.workers[action.pid].let_go():
            self.handle(on.Busy(action.pid))

    def _end(self) -> None:
        self._world.note("agent of host", self._connection.host.number, "ends")
        self.is_alive = False
        self._connection.up.put(None)

    def die(self, *, tells: bool = True) -> None:
        """End it by a signal, and with it its workers."""
        if not self.is_alive:
            return
        self.is_alive = False
        for worker in list(self.workers.values()):
            worker.die("SIGKILL")
        if tells:
            self._connection.up.put(None)
