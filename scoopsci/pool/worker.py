"""A worker of the pool: takes one task after the other from the broker."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import zmq

from scoopsci.pool.broadcast import serve_broadcasts
from scoopsci.pool.messages import FETCH, INITIALIZE, INITIALIZED, REPLY, REQUEST, TASK

__all__ = ["work"]


def work(name: str, socket: str, run: Callable[[Sequence[Any]], Sequence[Any]]) -> None:
    """Take tasks until the process is ended.

    Parameters
    ----------
    name : str
        The worker's name at the broker, which nobody else knows.
    socket : str
        Path of the broker's socket on this host.
    run : callable
        ``run(frames)`` returns the frames of the outcome, whatever the task does.
    """
    # Workers are forked from one process: they must not draw the same numbers.
    random.seed()
    np.random.seed()
    broker = zmq.Context().socket(zmq.DEALER)
    broker.setsockopt(zmq.IDENTITY, name.encode())
    broker.set_hwm(0)
    broker.connect(f"ipc://{socket}")

    def fetch(data: str) -> Any:
        broker.send_multipart([FETCH, data.encode()])
        _, *found = broker.recv_multipart(copy=False)
        return found[0].buffer if found else None

    serve_broadcasts(os.path.dirname(socket), fetch)
    while True:
        broker.send(REQUEST)
        kind, *rest = broker.recv_multipart(copy=False)
        if kind.bytes == TASK:
            sender, number, *frames = rest
            head = [REPLY, sender.bytes, number.bytes]
        elif kind.bytes == INITIALIZE:
            frames, head = rest, [INITIALIZED]
        else:
            continue
        outcome = run([frame.buffer for frame in frames])
        broker.send_multipart([*head, *outcome], copy=False)
        del rest, frames, outcome  # or they would stay in memory until the next task
