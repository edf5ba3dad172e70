"""The engine `serial`: tasks run in the calling thread, one after another."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from typing import Any

__all__ = ["open_serial"]


class _SerialExecutor(Executor):
    """Runs each call when it is submitted."""

    plain_frames = True  # tasks get copies, as on a worker elsewhere

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@contextlib.contextmanager
def open_serial(
    n_workers: int | None = None, hostfile: str | os.PathLike[str] | None = None
) -> Iterator[tuple[Executor, int]]:
    """Yield an executor that runs tasks in the calling thread, and 1.

    Parameters
    ----------
    n_workers : int, optional
        Must be None or 1.
    hostfile : path-like, optional
        Must be None.

    Raises
    ------
    ValueError
        If an argument is anything else.
    """
    if n_workers not in (None, 1):
        raise ValueError(f"engine 'serial' has exactly 1 worker, got n_workers={n_workers}")
    if hostfile is not None:
        raise ValueError(f"engine 'serial' uses no hosts, got hostfile={os.fspath(hostfile)!r}")
    yield _SerialExecutor(), 1
