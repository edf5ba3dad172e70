"""Ties the lifetime of a worker process to that of its driver."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
from functools import cache

__all__ = ["live_with", "prepare_worker"]


def prepare_worker(driver_pid: int) -> None:
    """Make a worker process end with its driver, and not write to standard output.

    Parameters
    ----------
    driver_pid : int
        Process of the driver, on this host.
    """
    # Ctrl-C reaches the whole process group; only the driver handles it, and ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGHUP))
    live_with(driver_pid)
    # The driver's stdout carries its data; other output of a worker goes to stderr.
    with contextlib.suppress(OSError):
        os.dup2(2, 1)


@cache
def live_with(pid: int) -> None:
    """End when another process of this host has ended.

    Parameters
    ----------
    pid : int
        The driver, or the process that has started this one.
    """
    try:
        other = os.pidfd_open(pid)
    except ProcessLookupError:
        os._exit(1)
    threading.Thread(target=_end_with, args=(other,), daemon=True, name="end-with-another").start()


def _end_with(process: int) -> None:
    # A parent-death signal would already be sent at the end of the thread that started us.
    poll = select.poll()
    poll.register(process, select.POLLIN)
    poll.poll()
    os._exit(1)
