"""A task in the form that SCOOP's broker and workers understand."""

from __future__ import annotations

import os
import pickle
import signal
import socket
from collections.abc import Callable
from functools import cache
from typing import Any

import scoop
from scoop._types import Future as ScoopFuture
from scoop._types import StopWatch

from scoopsci.pool.lifetime import live_with

__all__ = ["Task"]


class Task(ScoopFuture):  # type: ignore[misc]
    """A SCOOP future whose worker notifies the driver when it starts.

    Parameters
    ----------
    driver : bytes
        The driver's identity at the broker.
    number : int
        Distinguishes the driver's tasks.
    fn : callable
        Importable on the worker.
    args : tuple
        Its arguments.
    """

    def __init__(
        self, driver: bytes, number: int, fn: Callable[..., Any], args: tuple[Any, ...]
    ) -> None:
        # SCOOP's own constructor would name the origin as the submitter, and keep every future.
        self.id = driver, number
        self.parentId = driver, -1
        self.callable, self.args = fn, args
        self.kargs: dict[str, Any] = {}
        self.index = self.executor = self.greenlet = None
        self.resultValue = self.exceptionValue = None
        self.creationTime = ""
        self.stopWatch = StopWatch()
        self.sendResultBack = True
        self.isDone = False
        self.callback: list[Any] = []
        self.children: dict[Any, Any] = {}

    def _switch(self, future: Any) -> Any:
        # SCOOP calls this on the worker's main thread, the owner of the socket, to run the task.
        if self.greenlet is not None and not self.greenlet:
            if not scoop.IS_ORIGIN:
                _end_with_the_pool()
            started = pickle.dumps((self.id[1], socket.gethostname(), os.getpid()))
            to_broker = scoop._control.execQueue.socket.socket
            to_broker.send_multipart([b"RP", started, self.id[0]])
        return super()._switch(future)


@cache
def _end_with_the_pool() -> None:
    """Let Ctrl-C, which ends broker and driver, end this worker silently as well.

    A result would cause an error at a broker that has lost the driver, or block if it has ended.
    """
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(128 + number))
    live_with(os.getppid())
