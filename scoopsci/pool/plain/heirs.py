"""Heirs of SCOOP's dead workers: they take what the broker goes on to give to them."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import zmq
from scoop.broker.brokerzmq import STATUS_DONE, STATUS_REQ, STATUS_UPDATE, TASK

__all__ = ["Heirs", "pack_identity"]

#: The broker refuses a name while it does not know that the connection of the dead has ended.
N_TRIES = 10


def pack_identity(identity: tuple[bytes, int]) -> bytes:
    """Return the identity of a task, its submitter and number, as SCOOP's messages carry it."""
    return pickle.dumps(identity, pickle.HIGHEST_PROTOCOL)


@dataclass
class _Heir:
    socket: zmq.Socket[bytes]
    n_tries: int
    is_known: bool = False


class Heirs:
    """Connections to SCOOP's broker in the names of workers that have died.

    The broker keeps each request for a task that a worker has sent, answers it when the worker has
    long been dead, and for a minute says of a task which it has given to one that it is under way.
    How many requests it has is not known: the connections, one for each death, stay to the end.

    Parameters
    ----------
    context : zmq.Context
        For the sockets.
    poller : zmq.Poller
        Gets them registered.
    address : str
        The broker's.
    """

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], poller: zmq.Poller, address: str
    ) -> None:
        self._context = context
        self._poller = poller
        self._address = address
        self._heirs: dict[bytes, _Heir] = {}

    def __len__(self) -> int:
        return len(self._heirs)

    def add(self, name: bytes) -> None:
        """Take the place of a worker that has died."""
        self._connect(name, n_tries=1)

    def try_again(self) -> None:
        """Connect anew those that the broker has not answered."""
        for name, heir in list(self._heirs.items()):
            if not heir.is_known and heir.n_tries < N_TRIES:
                self._connect(name, n_tries=heir.n_tries + 1)

    def take_tasks(self) -> Iterator[tuple[Any, list[bytes]]]:
        """Yield the tasks that were given to the dead: identity, and frames that send it anew."""
        for heir in self._heirs.values():
            with suppress(zmq.Again):
                while True:
                    frames = heir.socket.recv_multipart(zmq.NOBLOCK)
                    heir.is_known = True
                    if frames[0] == TASK:
                        try:
                            identity = pickle.loads(frames[1]).id
                        except Exception:  # one of SCOOP's own, of what is not here: lost, as ever
                            continue
                        packed = pack_identity(identity)
                        heir.socket.send_multipart([STATUS_DONE, packed])
                        yield identity, [TASK, packed, frames[1]]

    def _connect(self, name: bytes, *, n_tries: int) -> None:
        if name in self._heirs:
            before = self._heirs.pop(name).socket
            self._poller.unregister(before)
            before.close(linger=0)
        socket = self._context.socket(zmq.DEALER)
        socket.setsockopt(zmq.IDENTITY, name)
        socket.set_hwm(0)
        socket.connect(self._address)
        self._poller.register(socket, zmq.POLLIN)
        self._heirs[name] = _Heir(socket, n_tries)
        nothing: set[Any] = set()
        socket.send_multipart([STATUS_UPDATE, pickle.dumps(nothing)])
        # The answer tells that the broker takes it for the worker.
        socket.send_multipart([STATUS_REQ, pack_identity((name, -1))])
