"""The seam between the road and the executors that carry tasks to workers.

`Engine` wraps an executor: engines submit only `run_payload`, and report failures in the same way.
"""

from __future__ import annotations

import atexit
import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Executor, Future, wait
from contextlib import AbstractContextManager
from functools import partial
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

from scoopsci.basics.extras import import_extra
from scoopsci.basics.wording import plural
from scoopsci.engines.delivery import Delivery
from scoopsci.engines.mapping import MappingExecutor
from scoopsci.engines.payload import Call, run_payload, run_plain_payload
from scoopsci.engines.taskfuture import TaskFuture
from scoopsci.errors import EngineError
from scoopsci.pickling.frames import Buffer, as_plain, count_bytes
from scoopsci.pickling.program import program
from scoopsci.reporting.progress import ProgressCallback

if TYPE_CHECKING:
    from scoopsci.dashboard import Dashboard

__all__ = ["Engine"]

T = TypeVar("T")


class Engine(MappingExecutor):
    """An executor whose tasks run on the workers of an engine.

    Use it as a context manager, or call `shutdown`. Its futures are those of the standard library.

    Parameters
    ----------
    name : str
        Name of the engine.
    carrier : context manager
        Yields the executor that carries the frames, and its number of workers.
    plain : bool
        Send frames as plain bytes, for a carrier that may pickle them by a protocol older than 5.
        An executor can also request this by an attribute ``plain_frames``.
    mixed : bool
        Whether to accept hosts that compute differently in the last bit.
    in_process : bool
        Whether tasks run in this process, in the user's own modules. Other processes get these
        modules, and what of their state a task refers to.

    Attributes
    ----------
    name : str
        Name of the engine.
    mixed : bool
        As given.
    watchers : list of callable
        Each gets the `scoopsci.Progress` of every run on the engine, and once more at its end.
    """

    def __init__(
        self,
        name: str,
        carrier: AbstractContextManager[tuple[Executor, int]],
        *,
        plain: bool = False,
        mixed: bool = False,
        in_process: bool = False,
    ) -> None:
        self.name = name
        self.mixed = mixed
        self._carrier = carrier
        self._in_process = in_process
        self._delivery = Delivery()
        self._executor, self._n_workers = carrier.__enter__()
        self._plain = plain or getattr(self._executor, "plain_frames", False)
        self._open = True
        self._lock = Lock()
        # In the order of submission.
        self._in_flight: dict[Future[Any], TaskFuture] = {}
        self.watchers: list[ProgressCallback] = []
        self._boards: WeakSet[Dashboard] = WeakSet()
        if self._offered("ends_with_program", False):
            _finish_at_end(self)

    def __repr__(self) -> str:
        return f"<Engine {self.name!r}, {plural(self.n_workers, 'worker')}>"

    @property
    def n_workers(self) -> int:
        """Number of workers; 0 where the engine does not know it."""
        return self._n_workers

    def status(self) -> dict[str, Any] | None:
        """Return the state of the hosts, workers and tasks, if the engine reports it.

        Returns
        -------
        dict or None
            See `scoopsci.Pool.status`; None where only runs report progress.

        Raises
        ------
        EngineError, RuntimeError
            If the engine does not answer, has failed, or has been shut down.
        """
        ask = self._offered("status", None)
        found: dict[str, Any] | None = None if ask is None else ask()
        return found

    def dashboard(self, port: int = 0) -> Dashboard:
        """Serve a live page about the engine to a browser on this machine.

        Parameters
        ----------
        port : int
            Port of 127.0.0.1; by default any free one.

        Returns
        -------
        Dashboard
            Its ``url`` is the address. It closes with the engine, or by its ``close``.

        Raises
        ------
        ExtraMissingError
            If the package that serves the page is missing.
        RuntimeError
            If the engine has been shut down.
        OSError
            If the port is taken.
        """
        if not self._open:
            raise RuntimeError(
                f"engine {self.name!r} has been shut down; there is no status to show"
            )
        import_extra("tornado.web", "dashboard")
        from scoopsci.dashboard import Dashboard

        board = Dashboard(self, port)
        self._boards.add(board)
        return board

    def for_runs(self) -> Engine:
        """Return the engine in the form that `scoopsci.road.dispatch` needs."""
        return self

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> TaskFuture:
        """Submit a call.

        Parameters
        ----------
        fn : callable
            The function.
        *args, **kwargs
            Its arguments.

        Returns
        -------
        TaskFuture
            Its exception, if any, is what the task raised; a `TaskError` if that cannot be rebuilt,
            or an `EngineError` where the engine failed.

        Raises
        ------
        RuntimeError
            If the engine has been shut down.
        EngineError
            If the executor accepts no more tasks.
        """
        return self._send(fn, args, kwargs)

    def submit_of_run(self, fn: Callable[..., Any], /, *args: Any) -> TaskFuture:
        """Submit a call of a run, whose future has a `TaskError` for whatever the task raises.

        Parameters
        ----------
        fn, *args
            See `submit`.
        """
        return self._send(fn, args, {}, of_run=True)

    def _send(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        of_run: bool = False,
        **how: Any,
    ) -> TaskFuture:
        if not self._open:
            raise RuntimeError(f"engine {self.name!r} has been shut down and takes no more tasks")
        self._check_owner()
        future = TaskFuture(of_run=of_run)
        start_s = time.perf_counter()
        try:
            call = Call(fn, args, kwargs, in_process=self._in_process)
        except Exception as error:
            future.set_exception(error)
            return future
        sent = self._delivery.choose(call.manifest, self.n_workers)
        mapped = self._delivery.map_large(sent or ()) if self._offered("is_local", bool)() else {}
        carried, cost = self._carry(call.as_frames(sent, mapped), start_s, how)
        cost["sent_bytes"] += sum(each.n_bytes for each in mapped.values())
        self._note_company(future)
        if call.manifest is None:
            future._follow(carried, cost, None)
            return future

        def send_whole() -> tuple[Future[list[Buffer]], dict[str, Any]]:
            return self._carry(call.as_whole(), time.perf_counter(), how)

        future._follow(carried, cost, send_whole)
        future.add_done_callback(partial(self._delivery.confirm, call.manifest))
        return future

    def _offered(self, name: str, default: Any) -> Any:
        """Return an attribute of our executors; one of another library may mean something else."""
        return default if self._plain else getattr(self._executor, name, default)

    def _carry(
        self, frames: list[Buffer], start_s: float, how: dict[str, Any]
    ) -> tuple[Future[list[Buffer]], dict[str, Any]]:
        """Give frames to the executor; return its future, and what packing has cost."""
        if self._plain:
            frames = list(map(as_plain, frames))
        cost = {"pack_s": time.perf_counter() - start_s, "sent_bytes": count_bytes(frames)}
        try:
            run = run_plain_payload if self._plain else run_payload
            return self._executor.submit(run, frames, **how), cost
        except EngineError:
            raise
        except Exception as error:
            raise EngineError(f"engine {self.name!r} takes no more tasks: {error}") from error

    def map(self, fn: Callable[..., T], *iterables: Iterable[Any], **options: Any) -> Iterator[T]:
        """Submit a call for each item; see `concurrent.futures.Executor.map`.

        Parameters
        ----------
        fn : callable
            The function.
        *iterables
            Its arguments, side by side.
        **options
            Those of the standard library.
        """
        self.refresh()
        return super().map(fn, *iterables, **options)

    def refresh(self) -> None:
        """Have workers get large globals that have been changed in place.

        Smaller ones, below about 1 MB, are compared for each task, and all of them at the start of
        a map or run.
        """
        program.refresh()

    def _note_company(self, future: TaskFuture) -> None:
        with self._lock:
            future.ran_alone = not self._in_flight
            if len(self._in_flight) == 1:  # several have been marked already
                next(iter(self._in_flight.values())).ran_alone = False
            self._in_flight[future] = future
        future.add_done_callback(self._note_end)

    def _note_end(self, future: Future[Any]) -> None:
        with self._lock:
            self._in_flight.pop(future, None)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the engine.

        Parameters
        ----------
        wait : bool
            Let the tasks in flight finish first; otherwise they are ended or abandoned.
        cancel_futures : bool
            Cancel those that have not started, first.
        """
        if cancel_futures:
            with self._lock:
                newest_first = list(reversed(self._in_flight))
            for future in newest_first:
                future.cancel()
        self._close(None if wait else CancelledError())

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # After an error the tasks in flight are not waited for.
        self._close(exc_value)

    def _check_owner(self) -> None:
        """Raise an `EngineError` in a forked child of the driver, before any lock is taken."""
        self._offered("check_owner", bool)()

    def _close(self, error: BaseException | None) -> None:
        if not self._open:
            return
        if error is None:
            self._check_owner()
        self._open = False
        kind = None if error is None else type(error)
        if error is None:  # before the executor ends: some may have to be sent again
            wait(list(self._in_flight))
        try:
            with contextlib.suppress(CancelledError):
                self._carrier.__exit__(kind, error, None)
        finally:
            self._delivery.close()
            for board in list(self._boards):
                board.close()


#: Engines that are open, and would lose their tasks in flight at the end of the program.
_ending: WeakSet[Engine] = WeakSet()


def _finish_at_end(engine: Engine) -> None:
    _ending.add(engine)
    atexit.unregister(_finish_tasks)
    atexit.register(_finish_tasks)  # before the finalizers of what tasks may need


def _finish_tasks() -> None:
    """Wait for tasks in flight, as the standard library's executors do, or end them.

    They are ended if the program has failed by an exception, which the interpreter has shown. loky
    waits for its own before.
    """
    has_failed = hasattr(sys, "last_type")
    for engine in list(_ending):
        with contextlib.suppress(EngineError):  # a forked child does not own it
            engine.shutdown(wait=not has_failed)
