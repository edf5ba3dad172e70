"""Links to workers, by which the driver detects their death."""

from __future__ import annotations

import socket

import zmq
from zmq.utils.monitor import recv_monitor_message

__all__ = ["Links"]

#: A worker is given up when its link has been silent for the timeout. On the worker's side,
#: ZeroMQ's own thread answers, even while the worker spends minutes in one C call.
HEARTBEAT_INTERVAL_MS, HEARTBEAT_TIMEOUT_MS = 2_000, 15_000

EVENTS = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED


class Links:
    """Watches workers by connections to their sockets, over which nothing is sent.

    Parameters
    ----------
    context : zmq.Context
        For the sockets.
    poller : zmq.Poller
        The monitors of the sockets are registered here.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], poller: zmq.Poller) -> None:
        self._context = context
        self._poller = poller
        self._links: dict[bytes, tuple[zmq.Socket[bytes], zmq.Socket[bytes]]] = {}
        self._linked: set[bytes] = set()
        #: Never reached: dead before the link was open, or behind a firewall that blocks it.
        self._unreached: set[bytes] = set()

    def watch(self, name: bytes, host: str) -> None:
        """Watch a worker from now on, if it can be reached.

        Parameters
        ----------
        name : bytes
            SCOOP's name of the worker, its address and port.
        host : str
            Host that it runs on.
        """
        address = name.decode()
        behind_tunnel = address.startswith("127.") and host != socket.gethostname()
        if name in self._links or name in self._unreached or behind_tunnel:
            return
        link = self._context.socket(zmq.DEALER)
        link.setsockopt(zmq.RECONNECT_IVL, -1)
        link.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_INTERVAL_MS)
        link.setsockopt(zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS)
        link.setsockopt(zmq.CONNECT_TIMEOUT, HEARTBEAT_TIMEOUT_MS)
        monitor = link.get_monitor_socket(EVENTS)
        self._poller.register(monitor, zmq.POLLIN)
        self._links[name] = link, monitor
        link.connect(f"tcp://{address}")

    def take_broken(self) -> list[bytes]:
        """Return the workers whose links have broken since the last call, and forget them."""
        return [name for name in list(self._links) if self._has_broken(name)]

    def _has_broken(self, name: bytes) -> bool:
        link, monitor = self._links[name]
        while monitor.poll(0):
            if recv_monitor_message(monitor)["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._linked.add(name)
                continue
            if name not in self._linked:
                self._unreached.add(name)
            del self._links[name]
            self._poller.unregister(monitor)
            link.disable_monitor()
            monitor.close(linger=0)
            link.close(linger=0)
            return True
        return False
