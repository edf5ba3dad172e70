"""The engine `serial`: tasks run in the caller, one after the other."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from typing import Any

from scoopsci.engines.payload import as_plain

__all__ = ["open_serial"]


class _SerialExecutor(Executor):
    """Runs each call at once, on copies, as a worker elsewhere would."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        (frames,) = args
        try:
            future.set_result(
                [as_plain(frame) for frame in fn([as_plain(frame) for frame in frames])]
            )
        except Exception as error:
            future.set_exception(error)
        return future


@contextlib.contextmanager
def open_serial(
    n_workers: int | None = None, hostfile: str | os.PathLike[str] | None = None
) -> Iterator[tuple[Executor, int]]:
    """Yield an executor that runs tasks in the calling thread.

    Parameters
    ----------
    n_workers : int, optional
        Must be 1 if given.
    hostfile : path-like, optional
        Must be None: there are no hosts.

    Yields
    ------
    tuple of Executor, int
        The executor, and 1.

    Raises
    ------
    ValueError
        If more than one worker, or a hostfile, is asked for.
    """
    if n_workers not in (None, 1):
        raise ValueError(f"engine 'serial' has exactly 1 worker, got n_workers={n_workers}")
    if hostfile is not None:
        raise ValueError(f"engine 'serial' uses no hosts, got hostfile={os.fspath(hostfile)!r}")
    yield _SerialExecutor(), 1
