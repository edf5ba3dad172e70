"""The engine `processes`: workers on this machine, run by loky."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, InvalidStateError
from multiprocessing import process
from threading import Lock
from typing import Any
from weakref import WeakSet

import loky

from scoopsci.basics.processors import count_processors
from scoopsci.engines.initializers import check_initialized, pack_initializer
from scoopsci.engines.mapped import MappedFrames, can_map
from scoopsci.engines.payload import run_plain_payload
from scoopsci.errors import EngineError
from scoopsci.hosts import check_workers
from scoopsci.pickling.frames import as_plain
from scoopsci.pool.lifetime import check_folder, check_owner, prepare_worker

__all__ = ["open_processes"]

#: How often workers that end during their start are started: after that it is not by chance.
N_STARTS = 3

ENGINE = "engine 'processes'"

SAFE_PATH = "PYTHONSAFEPATH"


class _Cancellable(loky.Future):  # type: ignore[misc]
    """Ignores an exception that loky's shutdown sets after cancellation."""

    def set_exception(self, exception: BaseException | None) -> None:
        with contextlib.suppress(InvalidStateError):
            super().set_exception(exception)


class _RenewedExecutor(Executor):
    """A loky executor that is replaced when the death of a worker breaks it."""

    ends_with_program = True

    def __init__(self, n_workers: int, setup: list[Any] | None = None) -> None:
        self._n_workers = n_workers
        self._setup = setup
        self._owner = os.getpid()
        self._lock = Lock()
        self._executor = self._start()
        _executors.add(self)

    def _start(self) -> loky.ProcessPoolExecutor:
        check_folder(ENGINE)
        for n_left in reversed(range(N_STARTS)):
            executor, started = self._launch()
            try:
                outcome, self._maps = started.result()
                break
            except BaseException as error:
                _shut_down(executor, kill_workers=True)
                if not isinstance(error, Exception):
                    raise
                if n_left and isinstance(error, BrokenExecutor):  # a worker was ended
                    continue
                raise EngineError(
                    f"the workers of engine 'processes' do not start: {error}; check their "
                    "messages above, or use engine 'serial'"
                ) from error
        if outcome is not None:
            self._check(executor, outcome)
        return executor

    @property
    def workers(self) -> list[Any]:
        """The processes of the workers."""
        return list((self._executor._processes or {}).values())

    def _check(self, executor: loky.ProcessPoolExecutor, outcome: list[Any]) -> None:
        try:
            check_initialized(outcome, ENGINE)
        except BaseException:
            _shut_down(executor, kill_workers=True)
            raise

    def _launch(self) -> tuple[loky.ProcessPoolExecutor, Future[Any]]:
        method = multiprocessing.get_start_method(allow_none=True)
        with _safe_start() as safe_path, _open_streams():
            executor = loky.ProcessPoolExecutor(
                max_workers=self._n_workers,
                initializer=_set_up,
                initargs=(os.getpid(), safe_path, method, self._setup),
            )
            try:
                return executor, executor.submit(_initialized, os.getpid())
            except BaseException:
                _shut_down(executor, kill_workers=True)
                raise

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.check_owner()
        (frames,) = args
        mapped = MappedFrames(frames) if self._maps else None
        call = [fn, mapped or frames]
        if self._setup is not None:
            call.insert(0, _run_initialized)
        with self._lock, _open_streams():
            try:
                future: Future[Any] = self._executor.submit(*call, **kwargs)
            except BrokenExecutor:
                self.end(kill_workers=True)
                self._executor = self._start()
                future = self._executor.submit(*call, **kwargs)
        future.__class__ = _Cancellable
        if mapped is not None:
            future.add_done_callback(mapped.close)
        return future

    def is_local(self) -> bool:
        """Tell whether workers can map files of this process."""
        return bool(self._maps)

    def check_owner(self) -> None:
        """Raise an `EngineError` in a forked child of the driver."""
        check_owner(self._owner, ENGINE)

    def end(self, *, kill_workers: bool) -> None:
        if os.getpid() != self._owner and kill_workers:
            return  # a forked child of the driver leaves the block by an exception
        self.check_owner()
        _shut_down(self._executor, kill_workers=kill_workers)


def _shut_down(executor: loky.ProcessPoolExecutor, *, kill_workers: bool) -> None:
    calls = executor._call_queue
    executor.shutdown(wait=True, kill_workers=kill_workers)
    if kill_workers and calls is not None:
        calls._reader.close()  # otherwise its feeding thread waits for readers forever
    multiprocessing.active_children()  # reaps those that have ended


_executors: WeakSet[_RenewedExecutor] = WeakSet()


def _disown_workers() -> None:
    """Let a forked child of the driver end without waiting for workers that are not its own."""
    for executor in _executors:
        process._children.difference_update(executor.workers)  # type: ignore[attr-defined]


os.register_at_fork(after_in_child=_disown_workers)


#: In a worker, the outcome of its initializer.
_outcome: list[Any] | None = None


def _set_up(driver_pid: int, safe_path: str | None, method: str | None, setup: Any) -> None:
    """Prepare a worker, and run the user's initializer."""
    global _outcome
    prepare_worker(driver_pid)
    # What protects its start is not for the user's code, and what that starts.
    _set_variable(SAFE_PATH, safe_path)
    multiprocessing.set_start_method(method, force=True)
    _outcome = None if setup is None else run_plain_payload(setup)


def _initialized(driver_pid: int) -> tuple[list[Any] | None, bool]:
    return _outcome, can_map(driver_pid)


def _run_initialized(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if _outcome is not None:
        check_initialized(_outcome, ENGINE)
    return fn(*args, **kwargs)


@contextlib.contextmanager
def _safe_start() -> Iterator[str | None]:
    """Protect processes that start from files in the working folder, and from group signals.

    Python would put that folder first on their path, where a file named random.py would end them.
    Their initializer unblocks the signals; loky's tracker, which has to outlive the others to clean
    up after them, never does. The variable's present value is yielded.
    """
    signals = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGHUP))
    safe_path = os.environ.get(SAFE_PATH)
    os.environ[SAFE_PATH] = "1"
    try:
        yield safe_path
    finally:
        _set_variable(SAFE_PATH, safe_path)
        signal.pthread_sigmask(signal.SIG_SETMASK, signals)


@contextlib.contextmanager
def _open_streams() -> Iterator[None]:
    """Give loky streams to flush, if the program has none or has closed them."""
    missing = [name for name in ("stdout", "stderr") if _is_closed(getattr(sys, name))]
    if not missing:
        yield
        return
    with open(os.devnull, "w") as nothing, contextlib.ExitStack() as stack:
        for name in missing:
            stack.callback(setattr, sys, name, getattr(sys, name))
            setattr(sys, name, nothing)
        yield


def _is_closed(stream: Any) -> bool:
    return stream is None or bool(getattr(stream, "closed", False))


def _set_variable(name: str, value: str | None) -> None:
    os.environ.pop(name, None)
    if value is not None:
        os.environ[name] = value


@contextlib.contextmanager
def open_processes(
    n_workers: int | None = None,
    hostfile: str | os.PathLike[str] | None = None,
    *,
    initializer: Callable[..., object] | None = None,
    initargs: Sequence[Any] = (),
) -> Iterator[tuple[Executor, int]]:
    """Yield an executor over processes of this machine, and their number.

    An exception in the block ends running tasks, too.

    Parameters
    ----------
    n_workers : int, optional
        By default one for each processor that this process may use; see
        `scoopsci.basics.processors.count_processors`.
    hostfile : path-like, optional
        Must be None.
    initializer : callable, optional
        Called with `initargs` on each worker before its first task, also on those that replace
        others.
    initargs : sequence
        Its arguments.

    Raises
    ------
    ValueError
        If a hostfile is given, or more workers than a machine can have.
    TypeError
        If the initializer is not callable.
    EngineError
        If the workers do not start, or the initializer fails.
    """
    if hostfile is not None:
        raise ValueError(
            f"engine 'processes' uses only this machine, got hostfile={os.fspath(hostfile)!r}"
        )
    n_workers = check_workers(n_workers or count_processors())
    setup = pack_initializer(initializer, initargs)
    plain = None if setup is None else list(map(as_plain, setup))
    try:
        executor = _RenewedExecutor(n_workers, plain)
    except OSError as error:
        raise EngineError(
            f"engine 'processes' cannot start: {error}; it needs room in /dev/shm for its locks, "
            "engine 'serial' does not"
        ) from error
    try:
        yield executor, n_workers
    except BaseException:
        executor.end(kill_workers=True)
        raise
    executor.end(kill_workers=False)
