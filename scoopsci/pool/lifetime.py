"""How a worker process lives and dies with its driver."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
from functools import cache

__all__ = ["live_with", "prepare_worker"]


def prepare_worker(driver_pid: int) -> None:
    """Make a worker process live and die with its driver, and keep off its standard output.

    Parameters
    ----------
    driver_pid : int
        Process of the driver, on this host.
    """
    # Ctrl-C reaches the whole process group; the driver alone answers it, and ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGHUP))
    live_with(driver_pid)
    # The driver's stdout carries its data; what a worker writes beside Python is for people.
    with contextlib.suppress(OSError):
        os.dup2(2, 1)


@cache
def live_with(pid: int) -> None:
    """End when another process of this host has ended.

    Parameters
    ----------
    pid : int
        The driver, or whoever has started this process.
    """
    try:
        other = os.pidfd_open(pid)
    except ProcessLookupError:
        os._exit(1)
    threading.Thread(target=_end_with, args=(other,), daemon=True, name="end-with-another").start()


def _end_with(process: int) -> None:
    # A parent-death signal would be sent when the thread ends that started the worker.
    poll = select.poll()
    poll.register(process, select.POLLIN)
    poll.poll()
    os._exit(1)
