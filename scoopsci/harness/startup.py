"""The start of workers, which what is measured should not contain."""

from __future__ import annotations

import os
import socket
import time
from concurrent.futures import wait

from scoopsci.engines.base import Engine
from scoopsci.engines.taskfuture import TaskFuture
from scoopsci.errors import WorkerLostError

__all__ = ["start_workers"]

#: Time in which workers start, imports and all; those that are late are not waited for.
START_UP_S = 30.0


def start_workers(engine: Engine) -> int:
    """Let tasks run until every worker has taken part.

    Parameters
    ----------
    engine : Engine
        An open engine.

    Returns
    -------
    int
        The number of its workers; of those seen, where the engine cannot tell.
    """
    here = socket.gethostname(), os.getpid()
    seen: set[tuple[str, int]] = set()
    deadline_s = time.monotonic() + START_UP_S
    while len(seen) < max(1, engine.n_workers) and here not in seen:  # threads are all here
        futures = [engine.submit(time.sleep, 0.02) for _ in range(2 * max(1, engine.n_workers))]
        wait(futures, max(0.0, deadline_s - time.monotonic()))
        for future in filter(TaskFuture.done, futures):
            try:
                future.result()
            except WorkerLostError:  # another one comes in its place
                continue
            seen.add((future.report["host"], future.report["pid"]))
        if time.monotonic() > deadline_s:
            break
    return engine.n_workers or len(seen)
