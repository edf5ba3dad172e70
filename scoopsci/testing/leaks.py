"""Checks for threads, descriptors and child processes that are left behind."""

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

__all__ = ["check_leaks", "no_leaks"]

#: They live as long as the process: the first two by design of the standard library, the worker
#: that replaces the origin and its driver as long as the program that SCOOP runs.
KEPT_PROCESSES = ("resource_tracker", "multiprocessing.forkserver", "pool/plain/substitute.py")
KEPT_THREADS = ("scoop-driver",)


def find_children() -> set[str]:
    """Return the processes started from this one: the identifier and command of each.

    Returns
    -------
    set of str
        All descendants, except those that are meant to last as long as this process.
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
    """Return the threads of this process: the identifier and name of each.

    Returns
    -------
    set of str
        All, except those that are meant to last as long as this process, or as an engine: the large
        globals that its workers may still map.
    """
    return {
        f"{thread.ident} {thread.name}"
        for thread in threading.enumerate()
        if thread.name not in KEPT_THREADS
    }


#: In the name of a file of `scoopsci.engines.mapped`.
MAPPED = "memfd:scoopsci"


def find_descriptors() -> set[str]:
    """Return the open descriptors of this process: the number and file of each.

    Returns
    -------
    set of str
        All, except those that are meant to last as long as this process, or as an engine: the large
        globals that its workers may still map.
    """
    opened = set()
    for link in Path("/proc/self/fd").iterdir():
        try:
            file = f"{link.name} {link.readlink()}"
        except OSError:
            continue
        if MAPPED not in file:
            opened.add(file)
    # Two for each connection in the name of a dead worker of SCOOP's, which also stays open.
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
        How long to wait for what is still ending by itself, in seconds.

    Raises
    ------
    AssertionError
        With what is left.

    Notes
    -----
    Numbers are compared, not identities: one that ends hides another that is left. Whatever a
    library opens once per process, like the resource tracker of `multiprocessing`, must have been
    opened before. If a `scoopsci.Pool` has fewer workers than before the block, it waits as long
    for the pool to replace those that died.

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
        # Only numbers are compared: an engine that outlives the block may have replaced what a dead
        # worker broke.
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
        While the test runs. Imported in a ``conftest.py``, it applies to every test below it.
    """
    with check_leaks():
        yield
