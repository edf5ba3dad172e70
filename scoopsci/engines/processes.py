"""The engine `processes`: workers on this machine, by loky."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, InvalidStateError
from threading import Lock
from typing import Any

import loky

from scoopsci.errors import EngineError
from scoopsci.hosts import check_workers
from scoopsci.pool.lifetime import prepare_worker

__all__ = ["open_processes"]


#: Workers that end while they start are started again; after so many times it is not by chance.
N_STARTS = 3


class _Cancellable(loky.Future):  # type: ignore[misc]
    """Bears that loky's shutdown sets an exception after it has been cancelled."""

    def set_exception(self, exception: BaseException | None) -> None:
        with contextlib.suppress(InvalidStateError):
            super().set_exception(exception)


class _RenewedExecutor(Executor):
    """A loky executor that is replaced when the death of a worker has broken it."""

    def __init__(self, n_workers: int) -> None:
        self._n_workers = n_workers
        self._lock = Lock()
        self._executor = self._start()

    def _start(self) -> loky.ProcessPoolExecutor:
        for n_left in reversed(range(N_STARTS)):
            executor, started = self._launch()
            try:
                started.result()
                break
            except BaseException as error:
                _shut_down(executor, kill_workers=True)
                if not isinstance(error, Exception):
                    raise
                if n_left and isinstance(error, BrokenExecutor):  # somebody has ended a worker
                    continue
                raise EngineError(
                    f"the workers of engine 'processes' do not start: {error}; look at their "
                    "messages above, or use engine 'serial'"
                ) from error
        return executor

    def _launch(self) -> tuple[loky.ProcessPoolExecutor, Future[int]]:
        # Python would put the working folder first on the path of what loky starts, and a file
        # named random.py there would end each process at its start.
        with _variable("PYTHONSAFEPATH", "1"), _blocked(signal.SIGINT, signal.SIGHUP):
            executor = loky.ProcessPoolExecutor(
                max_workers=self._n_workers, initializer=prepare_worker, initargs=(os.getpid(),)
            )
            try:
                return executor, executor.submit(os.getpid)
            except BaseException:
                _shut_down(executor, kill_workers=True)
                raise

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        with self._lock:
            try:
                future: Future[Any] = self._executor.submit(fn, *args, **kwargs)
            except BrokenExecutor:
                self.end(kill_workers=True)
                self._executor = self._start()
                future = self._executor.submit(fn, *args, **kwargs)
        future.__class__ = _Cancellable
        return future

    def end(self, *, kill_workers: bool) -> None:
        _shut_down(self._executor, kill_workers=kill_workers)


def _shut_down(executor: loky.ProcessPoolExecutor, *, kill_workers: bool) -> None:
    calls = executor._call_queue
    executor.shutdown(wait=True, kill_workers=kill_workers)
    if kill_workers and calls is not None:
        calls._reader.close()  # its feeding thread would wait for readers for ever
    multiprocessing.active_children()  # buries the dead


@contextlib.contextmanager
def _blocked(*numbers: int) -> Iterator[None]:
    """Keep signals to the whole group from processes that start; their initializer unblocks them.

    loky's tracker goes on without: it has to outlive the others, which it cleans up after.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@contextlib.contextmanager
def open_processes(
    n_workers: int | None = None, hostfile: str | os.PathLike[str] | None = None
) -> Iterator[tuple[Executor, int]]:
    """Yield an executor over processes of this machine.

    Parameters
    ----------
    n_workers : int, optional
        By default the processors that this process may use.
    hostfile : path-like, optional
        Must be None: the workers are on this machine.

    Yields
    ------
    tuple of Executor, int
        The executor and its number of workers. Left by an exception, it ends running tasks too.

    Raises
    ------
    ValueError
        If a hostfile is given, or more workers than a machine can have.
    EngineError
        If the workers do not start.
    """
    if hostfile is not None:
        raise ValueError(
            f"engine 'processes' uses this machine alone, got hostfile={os.fspath(hostfile)!r}"
        )
    n_workers = check_workers(n_workers or loky.cpu_count())
    try:
        executor = _RenewedExecutor(n_workers)
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
