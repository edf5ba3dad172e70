"""The future of a task: it turns the frames returned into a result, or into one of our errors."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Future
from dataclasses import replace
from typing import Any

from scoopsci.engines.failure import Failure
from scoopsci.engines.output import replay_output
from scoopsci.errors import EngineError, ScoopsciError, TaskError, WorkerLostError
from scoopsci.pickling.frames import Buffer, count_bytes, load
from scoopsci.pickling.replica import MissingError

__all__ = ["TaskFuture", "unpack"]


class TaskFuture(Future[Any]):
    """The future of one task.

    Parameters
    ----------
    of_run : bool
        Whether its exception is a `TaskError` for whatever the task raises, so that no type of the
        user's steers the run; otherwise it is what the task raised.

    Attributes
    ----------
    report : dict
        Once done: the worker's host, process, versions, battery hash and times, and the driver's
        times and bytes; empty if the task failed or never ran.
    ran_alone : bool
        Whether no other task of the engine was in flight at the same time.
    """

    def __init__(self, *, of_run: bool = False) -> None:
        super().__init__()
        self._of_run = of_run
        self.report: dict[str, Any] = {}
        self.ran_alone = True
        self._carried: Future[list[Buffer]] | None = None
        self._send_whole: Any = None
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

    def _follow(
        self,
        carried: Future[list[Buffer]],
        cost: dict[str, Any],
        send_whole: Callable[[], tuple[Future[list[Buffer]], dict[str, Any]]] | None,
    ) -> None:
        self._carried, self._cost, self._send_whole = carried, cost, send_whole
        carried.add_done_callback(self._settle)

    def _settle(self, carried: Future[list[Buffer]]) -> None:
        try:
            self._take_outcome(carried)
        except MissingError:
            self._send_again()
        else:
            # A cycle would keep the result until the next garbage collection.
            self._carried = self._send_whole = None

    def _send_again(self) -> None:
        """Send the task with all that its worker may lack."""
        try:
            assert self._send_whole is not None, "a worker lacks what it has been sent"
            carried, cost = self._send_whole()
            self._follow(carried, cost, None)
        except Exception as error:
            self._carried = self._send_whole = None
            self.set_exception(error)

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
        except MissingError:
            raise
        except TaskError as failure:
            self.set_exception(failure if self._of_run else failure.as_raised())
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


def unpack(frames: Sequence[Buffer]) -> tuple[Any, dict[str, Any]]:
    """Return the result of a call from the frames that a worker returned, and its report.

    The report holds `process_facts` and the times ``prepare_s``, ``load_s``, ``elapsed_s`` and
    ``dump_s``, in seconds. What the task printed and logged is written out, labelled.

    Raises
    ------
    TaskError
        If the task failed; the user's exception is its cause.
    EngineError
        If the worker has another minor version of Python.
    MissingError
        If the worker has not been sent all that the task needs.
    """
    report = pickle.loads(frames[0])
    if report.pop("missing", False):
        raise MissingError(report["host"])
    if "other_python" in report:
        ours = ".".join(map(str, report["other_python"]))
        raise EngineError(
            f"all hosts need the same minor version of Python: {report['host']} has "
            f"{report['python']}, the driver {ours}; install {ours} there"
        )
    text, records = report.pop("text"), report.pop("records")
    replay_output(text, records, f"{report['host']} {report['pid']}")
    failure: Failure | None = report.pop("failure")
    if failure is not None:
        raise failure.as_error()
    try:
        return load(frames[1:]), report
    except (Exception, SystemExit) as error:
        lost = Failure.of(error, "unpickling the result")
        raise replace(lost, host=report["host"], pid=report["pid"]).as_error() from error
