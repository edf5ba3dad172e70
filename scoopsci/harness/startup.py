"""Starting workers before anything is timed."""

from __future__ import annotations

import os
import socket
import time
from concurrent.futures import wait

from scoopsci.engines.base import Engine
from scoopsci.engines.taskfuture import TaskFuture
from scoopsci.errors import WorkerLostError

__all__ = ["start_workers"]

#: Time that workers are given to start, including imports.
START_UP_S = 30.0


def start_workers(engine: Engine) -> int:
    """Run tasks until every worker has run one.

    Parameters
    ----------
    engine : Engine
        An open engine.

    Returns
    -------
    int
        Number of its workers; of those seen, if the engine does not know it.
    """
    here = socket.gethostname(), os.getpid()
    seen: set[tuple[str, int]] = set()
    deadline_s = time.monotonic() + START_UP_S
    while len(seen) < max(1, engine.n_workers) and here not in seen:  # threads share a process
        futures = [engine.submit(time.sleep, 0.02) for _ in range(2 * max(1, engine.n_workers))]
        wait(futures, max(0.0, deadline_s - time.monotonic()))
        for future in filter(TaskFuture.done, futures):
            try:
                future.result()
            except WorkerLostError:  # it will be replaced
                continue
            seen.add((future.report["host"], future.report["pid"]))
        if time.monotonic() > deadline_s:
            break
    return engine.n_workers or len(seen)
