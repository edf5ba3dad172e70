"""Ties the lifetime of a worker process to that of its driver."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import io
import multiprocessing
import os
import select
import signal
import threading
from functools import cache

from scoopsci.errors import EngineError

__all__ = ["become_worker", "check_folder", "check_owner", "live_with", "prepare_worker"]


PR_SET_PDEATHSIG = 1


def prepare_worker(driver_pid: int) -> None:
    """Make a worker process end with its driver, and not write to standard output.

    Parameters
    ----------
    driver_pid : int
        Process of the driver, on this host.
    """
    ignore_interrupts()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGHUP))
    live_with(driver_pid)
    # The driver's stdout carries its data; other output of a worker goes to stderr.
    with contextlib.suppress(OSError):
        os.dup2(2, 1)


def become_worker(agent: int, umask: int, authkey: bytes) -> None:
    """Make a process that an agent has forked a worker.

    Parameters
    ----------
    agent : int
        Process of the agent.
    umask : int
        The driver's, or that of a login on this host.
    authkey : bytes
        That of the driver's process, for `multiprocessing`.
    """
    os.setsid()  # processes started by a task end with its worker, as one group
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != agent:
        os._exit(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    # What protects the agent is not for the user's code, and what that starts.
    ignore_interrupts()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    os.umask(umask)
    multiprocessing.current_process().authkey = authkey
    atexit.register(_flush_files)  # the first to be registered runs last


def _flush_files() -> None:
    """Flush files that are open: not all that code has left behind is freed at the end."""
    for file in gc.get_objects():
        if isinstance(file, (io.TextIOWrapper, io.BufferedWriter)):
            with contextlib.suppress(OSError, ValueError):  # full, or closed
                file.flush()


def ignore_interrupts() -> None:
    """Let Ctrl-C, which reaches the whole process group, end neither this process nor its tasks.

    Only the driver handles it, and ends the workers. An empty handler is not inherited by programs
    that a task starts, as an ignored signal would be; forked children get Python's own handler.
    """
    signal.signal(signal.SIGINT, _do_nothing)
    signal.siginterrupt(signal.SIGINT, False)
    os.register_at_fork(after_in_child=_handle_interrupts)


def _do_nothing(*_: object) -> None:
    """Handle a signal."""


def _handle_interrupts() -> None:
    if signal.getsignal(signal.SIGINT) is _do_nothing:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def check_owner(pid: int, what: str) -> None:
    """Raise an `EngineError` in a forked child, where threads and connections are missing.

    Parameters
    ----------
    pid : int
        The process that has opened it.
    what : str
        Engine or pool, for the error.
    """
    if os.getpid() != pid:
        raise EngineError(
            f"{what} belongs to process {pid}, and this is process {os.getpid()}, forked from it; "
            "open another one here"
        )


def check_folder(what: str) -> None:
    """Raise an `EngineError` if workers cannot start in the working folder.

    Parameters
    ----------
    what : str
        The engine, for the error.
    """
    try:
        os.getcwd()
    except FileNotFoundError as error:
        raise EngineError(
            f"{what} cannot start: the working folder has been deleted; change to one that exists "
            "by os.chdir, or use engine 'serial'"
        ) from error


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
