"""The origin of a SCOOP pool, made to submit and never to execute what others submit."""

from __future__ import annotations

import threading
import time

import scoop
from scoop._types import Future as ScoopFuture

from scoopsci.pool.driver import ScoopDriver
from scoopsci.pool.task import Task

__all__ = ["retire_origin"]

#: The workers may still be starting.
DEADLINE_S = 60.0


def retire_origin(driver: ScoopDriver, n_workers: int) -> None:
    """Stop the origin from taking tasks, for the rest of the program.

    Whenever SCOOP's own futures make the origin wait, it asks the broker for a task, and the
    broker keeps the request. A task of ours that answered it would lie in the origin unseen, while
    the program waits for us. SCOOP's futures go on working: workers execute them.

    Parameters
    ----------
    driver : ScoopDriver
        The driver of the pool.
    n_workers : int
        Number of workers.
    """
    scoop._control.execQueue.socket.sendRequest = _request_nothing
    has_used_scoop = repr(ScoopFuture.rank) != "count(1)"  # the program itself is number 0
    if has_used_scoop and threading.current_thread() is threading.main_thread():
        # The broker serves requests in turn, and each worker waits with one at most: once so many
        # empty tasks have passed the origin by, none of its requests is left.
        while _count_swallowed(driver, n_workers + 8):
            pass


def _request_nothing() -> None:
    """Take the place of SCOOP's own method."""


def _count_swallowed(driver: ScoopDriver, n_tasks: int) -> int:
    """Submit empty tasks, take those that reach the origin out of its queue, and count them."""
    queue = scoop._control.execQueue
    futures = [driver.submit(int) for _ in range(n_tasks)]
    n_swallowed = 0
    deadline = time.monotonic() + DEADLINE_S
    while not all(future.done() for future in futures) and time.monotonic() < deadline:
        time.sleep(0.005)
        queue.updateQueue()
        for task in [task for task in queue.movable if isinstance(task, Task)]:
            queue.movable.remove(task)
            scoop._control.futureDict.pop(task.id, None)
            driver.abandon(task.id[1])
            n_swallowed += 1
    return n_swallowed
