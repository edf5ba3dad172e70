"""The engine `processes`: workers on this machine, run by loky."""

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

#: How often workers that end during their start are started: after that it is not by chance.
N_STARTS = 3


class _Cancellable(loky.Future):  # type: ignore[misc]
    """Ignores an exception that loky's shutdown sets after cancellation."""

    def set_exception(self, exception: BaseException | None) -> None:
        with contextlib.suppress(InvalidStateError):
            super().set_exception(exception)


class _RenewedExecutor(Executor):
    """A loky executor that is replaced when the death of a worker breaks it."""

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
                if n_left and isinstance(error, BrokenExecutor):  # a worker was ended
                    continue
                raise EngineError(
                    f"the workers of engine 'processes' do not start: {error}; check their "
                    "messages above, or use engine 'serial'"
                ) from error
        return executor

    def _launch(self) -> tuple[loky.ProcessPoolExecutor, Future[int]]:
        with _safe_start():
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
        calls._reader.close()  # otherwise its feeding thread waits for readers forever
    multiprocessing.active_children()  # reaps those that have ended


@contextlib.contextmanager
def _safe_start() -> Iterator[None]:
    """Protect processes that start from files in the working folder, and from group signals.

    Python would put that folder first on their path, where a file named random.py would end them.
    Their initializer unblocks the signals; loky's tracker, which has to outlive the others to clean
    up after them, never does.
    """
    signals = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGHUP))
    safe_path = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if safe_path is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = safe_path
        signal.pthread_sigmask(signal.SIG_SETMASK, signals)


@contextlib.contextmanager
def open_processes(
    n_workers: int | None = None, hostfile: str | os.PathLike[str] | None = None
) -> Iterator[tuple[Executor, int]]:
    """Yield an executor over processes of this machine, and their number.

    An exception in the block ends running tasks, too.

    Parameters
    ----------
    n_workers : int, optional
        By default one for each core that this process may use.
    hostfile : path-like, optional
        Must be None.

    Raises
    ------
    ValueError
        If a hostfile is given, or more workers than a machine can have.
    EngineError
        If the workers do not start.
    """
    if hostfile is not None:
        raise ValueError(
            f"engine 'processes' uses only this machine, got hostfile={os.fspath(hostfile)!r}"
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
