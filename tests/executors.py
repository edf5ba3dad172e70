"""Executors of this process that run tasks in another order, or report other hosts."""

from __future__ import annotations

import functools
import itertools
import pickle
import random
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any


class FirstTwo(Executor):
    """Runs the first two tasks when the third has come, and no others."""

    def __init__(self) -> None:
        self.futures: list[Future[Any]] = []
        self._calls: list[Callable[[], Any]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.futures.append(Future())
        self._calls.append(functools.partial(fn, *args, **kwargs))
        if len(self._calls) == 3:
            for future, call in zip(self.futures[:2], self._calls, strict=False):
                future.set_result(call())
        return self.futures[-1]


class OtherHosts(Executor):
    """Runs tasks at once, and reports them as from other hosts, in turn."""

    def __init__(self, *reports: dict[str, Any]) -> None:
        self._reports = itertools.cycle(reports)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        report, *body = fn(*args, **kwargs)
        future: Future[Any] = Future()
        future.set_result([pickle.dumps({**pickle.loads(report), **next(self._reports)}), *body])
        return future


class AnyOrder(Executor):
    """Runs pending tasks in a random order, on one thread.

    Parameters
    ----------
    seed : int
        Seed of the order.
    hold : int
        Tasks that must be pending before one runs, unless no more come for a moment.
    """

    pause_s = 0.001

    def __init__(self, seed: int = 0, hold: int = 1) -> None:
        self._random, self._hold = random.Random(seed), hold
        self._pending: list[tuple[Future[Any], Callable[[], Any]]] = []
        self._changed = threading.Condition()
        self._ended = False
        self._n_running = 0
        self.most_in_flight = 0
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        with self._changed:
            self._pending.append((future, functools.partial(fn, *args, **kwargs)))
            n_in_flight = len(self._pending) + self._n_running
            self.most_in_flight = max(self.most_in_flight, n_in_flight)
            self._changed.notify()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._thread.join()

    def _is_ready(self) -> bool:
        return self._ended or len(self._pending) >= self._hold

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(self._is_ready, timeout=self.pause_s)
                if self._ended:
                    return
                if not self._pending:
                    continue
                future, call = self._pending.pop(self._random.randrange(len(self._pending)))
                if not future.set_running_or_notify_cancel():
                    continue
                self._n_running = 1
            self._run(future, call)

    def _run(self, future: Future[Any], call: Callable[[], Any]) -> None:
        result = call()
        with self._changed:
            self._n_running = 0
        future.set_result(result)
