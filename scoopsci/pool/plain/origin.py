"""Makes the origin of a SCOOP pool submit tasks without ever executing those of others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

import scoop
import zmq
from scoop._types import Future as ScoopFuture

from scoopsci.pool.plain.scoopdriver import ScoopDriver
from scoopsci.pool.plain.task import Task

__all__ = ["retire_origin"]

#: The workers may still be starting.
DEADLINE_S = 60.0

#: A live broker accepts a message at once.
PARTING_MS = 2_000


def retire_origin(driver: ScoopDriver, n_workers: int) -> None:
    """Stop the origin from taking tasks, for the rest of the program.

    Whenever SCOOP's own futures make the origin wait, it asks the broker for a task, and the
    broker keeps the request. If it answered with a task of ours, this would stay in the origin
    unnoticed while the program waits for it. SCOOP's futures still work: workers execute them.

    Parameters
    ----------
    driver : ScoopDriver
        The driver of the pool.
    n_workers : int
        Number of workers.
    """
    communicator = scoop._control.execQueue.socket
    communicator.sendRequest = _request_nothing
    communicator.shutdown = partial(_shut_down, communicator, communicator.shutdown)
    has_used_scoop = repr(ScoopFuture.rank) != "count(1)"  # the program itself is number 0
    if has_used_scoop and threading.current_thread() is threading.main_thread():
        _use_up_requests(driver, 4 * n_workers)


def _request_nothing() -> None:
    """Replace SCOOP's own method."""


def _shut_down(communicator: Any, shut_down: Callable[[], None]) -> None:
    """Notify the broker of the program's end, unless Ctrl-C has ended it: SCOOP would wait."""
    if communicator.ZMQcontext.closed:
        return  # SCOOP calls this twice
    if communicator.socket.poll(PARTING_MS, zmq.POLLOUT):
        shut_down()
    else:
        communicator.ZMQcontext.destroy(linger=0)


def _use_up_requests(driver: ScoopDriver, n_tasks: int) -> None:
    """Keep the pool busy until a task has to wait at the broker: then no request is left there.

    There may be dozens per worker: SCOOP's workers ask again before each of their tasks. Only if
    tasks take longer than SCOOP's watermark of 0.01 s do they ask for no more than they need.
    """
    deadline_s = time.monotonic() + DEADLINE_S
    n_before = driver.n_found_waiting
    futures: set[Future[None]] = set()
    while futures or driver.n_found_waiting == n_before:
        if driver.n_found_waiting == n_before:
            futures.update(driver.submit(time.sleep, 0.02) for _ in range(n_tasks - len(futures)))
            driver.ask()
        time.sleep(0.005)
        _abandon_swallowed(driver)
        futures = {future for future in futures if not future.done()}
        if time.monotonic() > deadline_s:
            break


def _abandon_swallowed(driver: ScoopDriver) -> None:
    queue = scoop._control.execQueue
    queue.updateQueue()
    for task in [task for task in queue.movable if isinstance(task, Task)]:
        queue.movable.remove(task)
        scoop._control.futureDict.pop(task.id, None)
        driver.abandon(task.id[1])
