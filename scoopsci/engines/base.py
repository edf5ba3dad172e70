"""The seam between the road and whatever carries tasks to workers.

An engine is a factory: a context manager that yields a `concurrent.futures.Executor` and the
number of its workers. `Engine` wraps the executor, so that every engine ships `run_payload` alone
and reports failures in the same words.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import (
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ThreadPoolExecutor,
)
from contextlib import AbstractContextManager
from functools import cache
from importlib.metadata import EntryPoints, entry_points, metadata
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakSet

from scoopsci.basics.arguments import check_count
from scoopsci.basics.extras import import_extra
from scoopsci.basics.wording import plural
from scoopsci.engines.byvalue import users_modules
from scoopsci.engines.payload import (
    Buffer,
    as_plain,
    count_bytes,
    in_task,
    pack,
    run_payload,
    run_plain_payload,
    unpack,
)
from scoopsci.errors import (
    EngineError,
    EngineUnavailableError,
    ScoopsciError,
    WorkerLostError,
)
from scoopsci.reporting.progress import ProgressCallback

if TYPE_CHECKING:
    from scoopsci.dashboard import Dashboard

__all__ = [
    "Engine",
    "EngineFactory",
    "TaskFuture",
    "borrow_engine",
    "inside_plain_scoop",
    "inside_scoop",
    "open_engine",
]

#: ``factory(n_workers=..., hostfile=..., **options)``, found by entry point.
EngineFactory: TypeAlias = Callable[..., AbstractContextManager[tuple[Executor, int]]]

ENTRY_POINTS = "scoopsci.engines"


class TaskFuture(Future[Any]):
    """The future of one task.

    Attributes
    ----------
    report : dict
        Once done: host, process, versions, battery hash and times of the worker's side, times and
        bytes of the driver's; empty where the task failed or never ran.
    ran_alone : bool
        Whether no other task of the engine was in flight at any time that it was.
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
            On a pool, ``kill=True`` also ends a worker that runs it.
        """
        carried = self._carried  # another thread forgets it when the task ends
        return carried.cancel(**how) if carried is not None else super().cancel()

    def running(self) -> bool:
        """Tell whether the task has started and not ended."""
        carried = self._carried
        return not self.done() and carried is not None and carried.running()

    def _follow(self, carried: Future[list[Buffer]], cost: dict[str, Any]) -> None:
        self._carried, self._cost = carried, cost
        carried.add_done_callback(self._settle)

    def _settle(self, carried: Future[list[Buffer]]) -> None:
        self._take_outcome(carried)
        self._carried = None  # or each would hold the other, and the result, until a collection

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
    # Whatever a task raises travels in frames: this is the carrier's own failure, or its word that
    # the task is poison.
    if isinstance(error, ScoopsciError):
        return error
    if isinstance(error, BrokenExecutor):
        failure: EngineError = WorkerLostError(f"a worker ended while it held the task: {error}")
    else:
        failure = EngineError(f"the engine could not carry the task: {error!r}")
    failure.__cause__ = error
    return failure


class Engine(Executor):
    """An executor whose tasks run on the workers of an engine.

    Use it as a context manager, or call `shutdown`. Its futures are those of the standard library.

    Parameters
    ----------
    name : str
        Name of the engine.
    carrier : context manager
        Yields the executor that carries the frames, and its number of workers.
    plain : bool
        Give it frames of plain bytes: it may pickle them by an older protocol than 5.
    mixed : bool
        Whether its user accepts hosts that compute differently in the last bit.
    in_process : bool
        Whether tasks run in this process: the user's own modules are then those that it has
        imported. Elsewhere they travel by value, as they are now.

    Attributes
    ----------
    name : str
        Name of the engine.
    mixed : bool
        As given.
    watchers : list of callable
        Each gets the `scoopsci.reporting.progress.Progress` of every run on the engine, and once
        more when the run has ended.
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
        self._plain = plain
        self._carrier = carrier
        self._modules = contextlib.nullcontext() if in_process else users_modules
        self._executor, self._n_workers = carrier.__enter__()
        self._modules.__enter__()
        self._open = True
        self._lock = Lock()
        self._in_flight: set[TaskFuture] = set()
        self.watchers: list[ProgressCallback] = []
        self._boards: WeakSet[Dashboard] = WeakSet()

    def __repr__(self) -> str:
        return f"<Engine {self.name!r}, {plural(self.n_workers, 'worker')}>"

    @property
    def n_workers(self) -> int:
        """Number of workers; 0 where the engine cannot tell."""
        return self._n_workers

    def status(self) -> dict[str, Any] | None:
        """Return what the engine can tell of its hosts, workers and tasks, if anything.

        Returns
        -------
        dict or None
            See `scoopsci.Pool.status`; None where only runs tell anything.

        Raises
        ------
        EngineError, RuntimeError
            If the engine does not answer, has failed, or has been shut down.
        """
        # An executor of another library may use the name for something else.
        ask = None if self._plain else getattr(self._executor, "status", None)
        found: dict[str, Any] | None = None if ask is None else ask()
        return found

    def dashboard(self, port: int = 0) -> Dashboard:
        """Open a page that shows what the engine does, in a browser on this machine.

        Parameters
        ----------
        port : int
            Of 127.0.0.1; by default any that is free.

        Returns
        -------
        Dashboard
            With its address as ``url``. It is closed with the engine, or by its ``close``.

        Raises
        ------
        ExtraMissingError
            If the package is missing that serves it.
        RuntimeError
            If the engine has been shut down.
        OSError
            If the port is taken.
        """
        if not self._open:
            raise RuntimeError(f"engine {self.name!r} has been shut down, and has nothing to show")
        import_extra("tornado.web", "dashboard")
        from scoopsci.dashboard import Dashboard

        board = Dashboard(self, port)
        self._boards.add(board)
        return board

    def for_runs(self) -> Engine:
        """Return the engine in the form that `scoopsci.road.dispatch` asks for."""
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
            Its exception, if any, is a `TaskError`, or an `EngineError` where the engine failed.

        Raises
        ------
        RuntimeError
            If the engine has been shut down.
        EngineError
            If the executor takes no more tasks.
        """
        return self._send(fn, args, kwargs)

    def _send(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        **how: Any,
    ) -> TaskFuture:
        if not self._open:
            raise RuntimeError(f"engine {self.name!r} has been shut down and takes no more tasks")
        future = TaskFuture()
        start_s = time.perf_counter()
        try:
            frames = pack(fn, args, kwargs)
            if self._plain:
                frames = list(map(as_plain, frames))
        except Exception as error:
            future.set_exception(error)
            return future
        cost = {"pack_s": time.perf_counter() - start_s, "sent_bytes": count_bytes(frames)}
        try:
            run = run_plain_payload if self._plain else run_payload
            carried = self._executor.submit(run, frames, **how)
        except EngineError:
            raise
        except Exception as error:
            raise EngineError(f"engine {self.name!r} takes no more tasks: {error}") from error
        self._note_company(future)
        future._follow(carried, cost)
        return future

    def _note_company(self, future: TaskFuture) -> None:
        with self._lock:
            future.ran_alone = not self._in_flight
            if len(self._in_flight) == 1:  # of several, each has had company already
                next(iter(self._in_flight)).ran_alone = False
            self._in_flight.add(future)
        future.add_done_callback(self._note_end)

    def _note_end(self, future: Future[Any]) -> None:
        with self._lock:
            self._in_flight.discard(future)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the engine.

        Parameters
        ----------
        wait : bool
            Let the tasks in flight finish first; otherwise they are ended or given up.
        cancel_futures : bool
            Give up those that have not started.
        """
        if cancel_futures or not wait:
            self._close(CancelledError())
        else:
            self._close(None)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # After an error nobody waits for the tasks in flight any more.
        self._close(exc_value)

    def _close(self, error: BaseException | None) -> None:
        if not self._open:
            return
        self._open = False
        kind = None if error is None else type(error)
        try:
            with contextlib.suppress(CancelledError):
                self._carrier.__exit__(kind, error, None)
        finally:
            self._modules.__exit__(None, None, None)
            for board in list(self._boards):
                board.close()


def open_engine(
    engine: str | Executor = "auto",
    *,
    n_workers: int | None = None,
    hostfile: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Engine:
    """Open an engine.

    Parameters
    ----------
    engine : str or concurrent.futures.Executor
        Name of an engine, or an executor of another library, which stays the caller's to shut
        down; one whose tasks run in this process may say so by an attribute ``in_process``.
        "auto" is "scoop" inside ``python -m scoop``, "pool" with a hostfile, "processes" for more
        than one worker, else "serial". Inside a task every engine is "serial", with the same bits.
    n_workers : int, optional
        Number of workers, where the engine has a choice.
    hostfile : path-like, optional
        The hosts, for engines that start workers on them.
    **options
        Further options of the engine.

    Returns
    -------
    Engine
        A context manager, and a `concurrent.futures.Executor`.

    Raises
    ------
    EngineUnavailableError
        If there is no engine of that name, or its package is missing.
    EngineNotStartedError
        If the engine needs a command that starts it.
    ValueError, TypeError
        If an argument is out of range.

    Examples
    --------
    >>> with open_engine("serial") as engine:
    ...     engine.submit(pow, 2, 10).result()
    1024
    """
    if n_workers is not None:
        check_count("n_workers", n_workers)
    if _nested():
        return Engine("serial", _find_factory("serial")(), in_process=True)
    if isinstance(engine, Executor):
        n_known = n_workers or getattr(engine, "_max_workers", None) or os.cpu_count() or 1
        foreign = contextlib.nullcontext((engine, n_known))
        in_process = getattr(engine, "in_process", isinstance(engine, ThreadPoolExecutor))
        return Engine(type(engine).__name__, foreign, plain=True, in_process=in_process)
    if not isinstance(engine, str):
        raise TypeError(f"engine must be a name or a concurrent.futures.Executor, got {engine!r}")
    if engine == "auto":
        engine = _choose(n_workers, hostfile)
    factory = _find_factory(engine)
    carrier = factory(n_workers=n_workers, hostfile=hostfile, **options)
    return Engine(engine, carrier, in_process=engine == "serial")


@contextlib.contextmanager
def borrow_engine(engine: str | Executor, **options: Any) -> Iterator[Engine]:
    """Yield an engine that is open already, or open one for the time of the call.

    Parameters
    ----------
    engine : str, Executor or Engine
        An open `Engine` stays open; anything else is given to `open_engine`.
    **options
        For `open_engine`.

    Yields
    ------
    Engine
        The engine.

    Raises
    ------
    ValueError
        If options come with an engine that is open.
    """
    if isinstance(engine, Engine) and not _nested():
        if given := [name for name, value in options.items() if value is not None]:
            raise ValueError(f"an open engine has its workers already, got {', '.join(given)}")
        yield engine.for_runs()
        return
    with open_engine(engine, **options) as opened:
        yield opened


def inside_scoop() -> bool:
    """Tell whether this process was started by ``python -m scoop``, or by ``scoopsci run``."""
    scoop = sys.modules.get("scoop")
    return scoop is not None and bool(getattr(scoop, "IS_RUNNING", False))


def inside_plain_scoop() -> bool:
    """Tell whether that was SCOOP itself, and not ``scoopsci run`` in its place."""
    return inside_scoop() and hasattr(sys.modules["scoop"], "BROKER")


def _nested() -> bool:
    # A worker of SCOOP may also run a future of the user's own, which is a task just as well.
    return in_task() or (inside_scoop() and not sys.modules["scoop"].IS_ORIGIN)


def _choose(n_workers: int | None, hostfile: str | os.PathLike[str] | None) -> str:
    if inside_scoop():
        return "scoop"
    if hostfile is not None:
        return "pool"
    if n_workers is None:
        import loky

        n_workers = loky.cpu_count()
    return "processes" if n_workers > 1 else "serial"


@cache
def _installed_engines() -> EntryPoints:
    return entry_points(group=ENTRY_POINTS)


def _find_factory(name: str) -> EngineFactory:
    found = _installed_engines()
    for entry in found.select(name=name):
        try:
            factory: EngineFactory = entry.load()
        except ImportError as error:
            has_extra = name in metadata("scoopsci").get_all("Provides-Extra", [])
            remedy = f"pip install 'scoopsci[{name}]'" if has_extra else "see its documentation"
            raise EngineUnavailableError(
                f"engine {name!r} needs a package that is missing ({error}); {remedy}"
            ) from error
        return factory
    known = ", ".join(["auto", *sorted({entry.name for entry in found})])
    raise EngineUnavailableError(f"engine must be one of {known}; got {name!r}")
