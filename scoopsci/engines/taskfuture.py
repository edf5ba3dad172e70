"""The future of a task: it turns the frames returned into a result, or into one of our errors."""

from __future__ import annotations

import time
from concurrent.futures import BrokenExecutor, Future
from typing import Any

from scoopsci.engines.payload import Buffer, count_bytes, unpack
from scoopsci.errors import EngineError, ScoopsciError, WorkerLostError

__all__ = ["TaskFuture"]


class TaskFuture(Future[Any]):
    """The future of one task.

    Attributes
    ----------
    report : dict
        Once done: the worker's host, process, versions, battery hash and times, and the driver's
        times and bytes; empty if the task failed or never ran.
    ran_alone : bool
        Whether no other task of the engine was in flight at the same time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.report: dict[str, Any] = {}
        self.ran_alone = True
        self._carried: Future[list[Buffer]] | None = None
        self._cost: dict[str, Any] = {}

    def cancel(self, **how: bool) -> bool:
        """Cancel the task unless it has started; see `concurrent.futures.Future.cancel`.

        Parameters
        ----------
        **how
            On a pool, ``kill=True`` also ends the worker that runs it.
        """
        carried = self._carried  # another thread clears it when the task ends
        return carried.cancel(**how) if carried is not None else super().cancel()

    def running(self) -> bool:
        """Return whether the task has started and not ended."""
        carried = self._carried
        return not self.done() and carried is not None and carried.running()

    def _follow(self, carried: Future[list[Buffer]], cost: dict[str, Any]) -> None:
        self._carried, self._cost = carried, cost
        carried.add_done_callback(self._settle)

    def _settle(self, carried: Future[list[Buffer]]) -> None:
        self._take_outcome(carried)
        self._carried = None  # a cycle would keep the result until the next garbage collection

    def _take_outcome(self, carried: Future[list[Buffer]]) -> None:
        if carried.cancelled():
            super().cancel()
            self.set_running_or_notify_cancel()
            return
        error = carried.exception()
        try:
            if error is not None:
                raise _as_engine_error(error)
            arrived_s, start_s = time.monotonic(), time.perf_counter()
            frames = carried.result()
            result, report = unpack(frames)
            cost = {
                "arrived_s": arrived_s,
                "unpack_s": time.perf_counter() - start_s,
                "returned_bytes": count_bytes(frames),
            }
            self.report = {**report, **self._cost, **cost}
        except BaseException as failure:
            self.set_exception(failure)
        else:
            self.set_result(result)


def _as_engine_error(error: BaseException) -> BaseException:
    # What a task raises comes back in frames. This is a failure of the carrier itself, or its
    # report that the task is poison.
    if isinstance(error, ScoopsciError):
        return error
    if isinstance(error, BrokenExecutor):
        failure: EngineError = WorkerLostError(f"a worker ended while it held the task: {error}")
    else:
        failure = EngineError(f"the engine could not carry the task: {error!r}")
    failure.__cause__ = error
    return failure
