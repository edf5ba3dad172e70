"""Successors of SCOOP's dead workers: they accept what the broker still sends to these."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import zmq
from scoop.broker.brokerzmq import STATUS_DONE, STATUS_REQ, STATUS_UPDATE, TASK

__all__ = ["Successors", "pack_identity"]

#: The broker refuses a name until it knows that the dead worker's connection has ended.
N_TRIES = 10


def pack_identity(identity: tuple[bytes, int]) -> bytes:
    """Return the identity of a task, its submitter and number, as SCOOP's messages carry it."""
    return pickle.dumps(identity, pickle.HIGHEST_PROTOCOL)


@dataclass
class _Successor:
    socket: zmq.Socket[bytes]
    n_tries: int
    is_known: bool = False


class Successors:
    """Connections to SCOOP's broker under the names of dead workers.

    The broker keeps each request of a worker for a task, answers it even long after the worker's
    death, and reports a task that it has sent to a dead worker as assigned for a minute. The number
    of its requests is not known: the connections, one for each death, stay open to the end.

    Parameters
    ----------
    context : zmq.Context
        For the sockets.
    poller : zmq.Poller
        The sockets are registered here.
    address : str
        Address of the broker.
    """

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], poller: zmq.Poller, address: str
    ) -> None:
        self._context = context
        self._poller = poller
        self._address = address
        self._successors: dict[bytes, _Successor] = {}

    def __len__(self) -> int:
        return len(self._successors)

    def add(self, name: bytes) -> None:
        """Take the place of a dead worker."""
        self._connect(name, n_tries=1)

    def try_again(self) -> None:
        """Connect again where the broker has not answered."""
        for name, successor in list(self._successors.items()):
            if not successor.is_known and successor.n_tries < N_TRIES:
                self._connect(name, n_tries=successor.n_tries + 1)

    def take_tasks(self) -> Iterator[tuple[Any, list[bytes]]]:
        """Yield the tasks given to dead workers: identity, and frames that resubmit it."""
        for successor in self._successors.values():
            with suppress(zmq.Again):
                while True:
                    frames = successor.socket.recv_multipart(zmq.NOBLOCK)
                    successor.is_known = True
                    if frames[0] == TASK:
                        try:
                            identity = pickle.loads(frames[1]).id
                        except (
                            Exception
                        ):  # one of SCOOP's own, of an unknown module: lost, as always
                            continue
                        packed = pack_identity(identity)
                        successor.socket.send_multipart([STATUS_DONE, packed])
                        yield identity, [TASK, packed, frames[1]]

    def _connect(self, name: bytes, *, n_tries: int) -> None:
        if name in self._successors:
            before = self._successors.pop(name).socket
            self._poller.unregister(before)
            before.close(linger=0)
        socket = self._context.socket(zmq.DEALER)
        socket.setsockopt(zmq.IDENTITY, name)
        socket.set_hwm(0)
        socket.connect(self._address)
        self._poller.register(socket, zmq.POLLIN)
        self._successors[name] = _Successor(socket, n_tries)
        nothing: set[Any] = set()
        socket.send_multipart([STATUS_UPDATE, pickle.dumps(nothing)])
        # An answer shows that the broker accepts it as the worker.
        socket.send_multipart([STATUS_REQ, pack_identity((name, -1))])
