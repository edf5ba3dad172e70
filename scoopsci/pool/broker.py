"""The broker of a pool: SCOOP's, on a UNIX socket, and made robust against failures.

It runs in a process of its own beside the driver, starts the agents, and passes tasks from the
driver to workers and outcomes back, by the rules of `scoopsci.protocol.broker`. It unpickles
nothing. Peers are identified by names that cannot be guessed; all other messages are dropped.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zmq
from scoop.broker.brokerzmq import Broker

from scoopsci.pool.broadcast import find_data
from scoopsci.pool.status import LossLog
from scoopsci.pool.supervisor import Supervisor
from scoopsci.pool.trace import Handle, Recorder, describe_setup
from scoopsci.protocol import brokering as on
from scoopsci.protocol import messages as kind
from scoopsci.protocol.beliefs import describe_broker
from scoopsci.protocol.broker import BrokerMachine
from scoopsci.reporting.receipts import software_versions

__all__ = ["PoolBroker", "main"]

TICK_S = 0.25


class PoolBroker(Broker):  # type: ignore[misc]
    """SCOOP's broker with known peers, agents, and a record of all tasks.

    It holds the sockets, and the machine that decides.

    Parameters
    ----------
    config : dict
        ``folder``, ``driver``, ``hosts``, ``host_timeout_s``, ``start_timeout_s``,
        ``workers_timeout_s``, ``mixed``, ``initializes``, ``record``, the path of a recording or
        None, and, for the agents, ``variables`` and ``agent``.
    driver_pidfd : int
        Becomes readable when the driver ends.
    """

    def __init__(self, config: dict[str, Any], driver_pidfd: int) -> None:
        self._folder = Path(config["folder"])
        socket_path = str(self._folder / "broker")
        super().__init__(tSock=f"ipc://{socket_path}", mSock=f"ipc://{self._folder}/info")
        self._driver = config["driver"].encode()
        self._poller = zmq.Poller()
        self._poller.register(self.task_socket, zmq.POLLIN)
        # A forked child of the driver may keep the pipe open after the driver's end.
        self._driver_pidfd = driver_pidfd
        for source in (0, self._driver_pidfd):
            self._poller.register(source, zmq.POLLIN)
        config = {**config, "version": software_versions()["scoopsci"]}
        self._machine = machine = BrokerMachine(
            config,
            self._make_name,
            unassigned=self.unassigned_tasks,
            available=self.available_workers,
        )
        self._handle_one: Handle = machine.handle
        self._recorder: Recorder | None = None
        if config["record"]:
            self._recorder = Recorder(config["record"], "broker", describe_setup(config))
            self._handle_one = self._recorder.recording(machine.handle)
        self._events: deque[Any] = deque()
        self._supervisor = agents = Supervisor(
            self._events.append, machine.hosts, config, socket_path, self._poller
        )
        self._readers = agents.readers
        self._unsent: list[list[Any]] = []
        self._losses = LossLog()
        self._next_tick_s = 0.0
        self._performers: dict[type[Any], Callable[[Any], None]] = {
            on.Send: self._send,
            on.TellDriver: lambda told: self._tell_driver(told.head, *told.frames),
            on.TellStatus: self._tell_status,
            on.TellUnusable: self._tell_unusable,
            on.SendData: self._send_data,
            on.StartAgent: agents.start,
            on.Order: agents.order,
            on.Beat: agents.beat,
            on.Forward: agents.forward,
            on.DropAgent: agents.drop,
            on.LogLoss: lambda loss: self._losses.add(*loss),
        }

    def _make_name(self) -> str:
        name = secrets.token_hex(16)
        if self._recorder is not None:
            self._recorder.note(time.monotonic(), "names", name)
        return name

    def run(self) -> None:
        """Serve until the driver has gone."""
        try:
            self._handle(on.Start())
            while self._turn():
                pass
        finally:
            self._supervisor.part()
            if self._recorder is not None:
                self._recorder.close(time.monotonic(), describe_broker(self._machine))
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
                self._handle_events()
        if time.monotonic() >= self._next_tick_s:
            self._next_tick_s = time.monotonic() + TICK_S
            self._send_unsent()
            self._handle(on.Tick(self._supervisor.heard_s()))
        return True

    def _receive(self, frames: list[Any]) -> None:
        if len(frames) > 1:
            self._handle(on.Message(frames[0].bytes, frames[1].bytes, frames[2:]))

    def _handle(self, event: Any) -> None:
        self._events.append(event)
        self._handle_events()

    def _handle_events(self) -> None:
        """Let the machine handle what has happened, also by its own actions."""
        while self._events:
            for action in self._handle_one(time.monotonic(), self._events.popleft()):
                self._performers[type(action)](action)

    # --- actions

    def _send(self, message: on.Send) -> None:
        if not self._send_to(message.peer, message.head, *message.frames):
            self._events.append(on.Undelivered(*message))

    def _send_to(self, peer: bytes, *frames: Any) -> bool:
        """Send a message; return whether the peer is connected."""
        try:
            self.task_socket.send_multipart([peer, *frames], copy=False)
        except zmq.ZMQError as error:
            if error.errno not in (zmq.EHOSTUNREACH, zmq.EAGAIN):
                raise
            return False
        return True

    def _send_data(self, wanted: on.SendData) -> None:
        path = find_data(self._folder, wanted.name)
        data = [] if path is None else [np.memmap(path, mode="r")]
        self._send_to(wanted.peer, kind.FETCHED, *data)

    def _tell_driver(self, *frames: Any) -> None:
        self._unsent.append([*frames])
        self._send_unsent()

    def _send_unsent(self) -> None:
        while self._unsent and self._send_to(self._driver, *self._unsent[0]):
            self._unsent.pop(0)

    def _tell_status(self, status: on.TellStatus) -> None:
        found = {**status.found, "losses": list(self._losses)}
        self._send_to(self._driver, kind.STATUS + status.number + json.dumps(found).encode())

    def _tell_unusable(self, action: on.TellUnusable) -> None:
        self._tell_driver(kind.FAILED + self._supervisor.explain(action).encode())


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
