"""A worker of the pool: processes tasks from the broker one after another."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import zmq

from scoopsci.pool.broadcast import serve_broadcasts
from scoopsci.pool.leash import Leash
from scoopsci.protocol.messages import FETCH, INITIALIZE, INITIALIZED, REPLY, REQUEST, TASK

__all__ = ["work"]

#: Workers of this kind submit nothing.
NO_ANSWERS = b"0"


def work(
    name: str, socket: str, leash: Leash, run: Callable[[Sequence[Any]], Sequence[Any]]
) -> None:
    """Process tasks until the agent lets go of the worker.

    Parameters
    ----------
    name : str
        The worker's name at the broker, a secret.
    socket : str
        Path of the broker's socket on this host.
    leash : Leash
        The agent's.
    run : callable
        ``run(frames)`` returns the frames of the outcome, even if the task fails.
    """
    # Workers are forked from one process, and must not draw the same random numbers.
    random.seed()
    np.random.seed()
    broker = zmq.Context().socket(zmq.DEALER)
    broker.setsockopt(zmq.IDENTITY, name.encode())
    broker.set_hwm(0)
    broker.connect(f"ipc://{socket}")

    def fetch(data: str) -> Any:
        broker.send(FETCH + data.encode())
        _, *found = broker.recv_multipart(copy=False)
        return found[0].buffer if found else None

    serve_broadcasts(os.path.dirname(socket), fetch)
    broker.send(REQUEST + str(os.getpid()).encode())
    poller = zmq.Poller()
    for source in (broker, leash.fileno()):
        poller.register(source, zmq.POLLIN)
    while leash.fileno() not in dict(poller.poll()):
        head, *frames = broker.recv_multipart(copy=False)
        kind, task = head.bytes[:2], head.bytes[2:]
        if kind not in (TASK, INITIALIZE):
            continue
        leash.mark(busy=True)
        outcome = run([frame.buffer for frame in frames])
        leash.mark(busy=False)
        answer = REPLY + task + NO_ANSWERS if kind == TASK else INITIALIZED
        broker.send_multipart([answer, *outcome], copy=False)
        del frames, outcome  # or they would stay in memory until the next task
    broker.context.destroy(linger=0)
