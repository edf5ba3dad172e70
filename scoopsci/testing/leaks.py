"""Checks that threads, descriptors and child processes end with whatever has opened them."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from scoopsci.engines import scoop

__all__ = ["check_leaks", "find_children", "find_descriptors", "find_threads", "no_leaks"]

#: They live as long as the process: the first by design of the standard library, the worker that
#: stands in for the origin and its driver as long as the program that SCOOP runs.
KEPT_PROCESSES = ("resource_tracker", "pool/plain/substitute.py")
KEPT_THREADS = ("scoop-driver",)


def find_children() -> set[str]:
    """Return the processes that have been started here: identifier and command of each.

    Returns
    -------
    set of str
        All descendants, but those that last as long as this process by design.
    """
    children = set()
    for child in psutil.Process().children(recursive=True):
        try:
            command = " ".join(child.cmdline())
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
        if not any(kept in command for kept in KEPT_PROCESSES):
            children.add(f"{child.pid} {command}")
    return children


def find_threads() -> set[str]:
    """Return the threads of this process: identifier and name of each.

    Returns
    -------
    set of str
        All, but those that last as long as this process by design.
    """
    return {
        f"{thread.ident} {thread.name}"
        for thread in threading.enumerate()
        if thread.name not in KEPT_THREADS
    }


def find_descriptors() -> set[str]:
    """Return the open descriptors of this process: number and file of each.

    Returns
    -------
    set of str
        All, but those that last as long as this process by design.
    """
    opened = set()
    for link in Path("/proc/self/fd").iterdir():
        try:
            opened.add(f"{link.name} {link.readlink()}")
        except OSError:
            continue
    # Two for each connection in the name of a dead worker of SCOOP's, which stays, too.
    n_kept = 2 * len(getattr(scoop._driver, "_successors", ()))
    return set(sorted(opened)[n_kept:])


LOOKS: tuple[Callable[[], set[str]], ...] = (find_threads, find_descriptors, find_children)


def _count_of_pools(children: set[str]) -> int:
    return sum("scoopsci.pool" in child for child in children)


@contextmanager
def check_leaks(within_s: float = 10.0) -> Iterator[None]:
    """Fail if the block leaves a thread, a descriptor or a child process behind.

    Parameters
    ----------
    within_s : float
        Time that what ends by itself may take for it, in seconds.

    Raises
    ------
    AssertionError
        With what is left.

    Notes
    -----
    What a library opens once for each process, as `multiprocessing` does its resource tracker, must
    have been opened before.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> with check_leaks():
    ...     with ThreadPoolExecutor(2) as pool:
    ...         pool.submit(pow, 2, 5).result()
    32
    """
    before = [look() for look in LOOKS]
    yield
    deadline = time.monotonic() + within_s
    while True:
        now = [look() for look in LOOKS]
        # By number: an engine that outlives the block may have replaced what a dead worker broke.
        left = [n - b for n, b in zip(now, before, strict=True) if len(n) > len(b)]
        # A pool of several tests starts its dead workers again: the next test is to find them.
        recovers = _count_of_pools(now[2]) < _count_of_pools(before[2])
        if not left and not recovers:
            return
        if time.monotonic() > deadline:
            assert not left, f"left behind: {left}"
            return
        gc.collect()  # loky's executors are cycles, with their pipes in them
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def no_leaks() -> Iterator[None]:
    """Fail a test that leaves a thread, a descriptor or a child process behind.

    Yields
    ------
    None
        While the test runs. Imported in a ``conftest.py``, it is there for each test below it.
    """
    with check_leaks():
        yield
