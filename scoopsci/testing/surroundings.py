"""Tasks that look at their surroundings, change them, and start threads and programs.

As in `scoopsci.testing.tasks`, nothing needs pytest, and functions are pickled by value.
"""

from __future__ import annotations

import decimal
import locale
import logging
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np

import scoopsci

__all__ = [
    "change_all",
    "changed",
    "fork_and",
    "inherited",
    "look_around",
    "open_in_child",
    "print_bars",
    "settings",
    "speak",
    "start_processes",
    "talk_in_thread",
    "write_bytes",
]

cloudpickle.register_pickle_by_value(sys.modules[__name__])

#: A logger with a level of its own.
LOGGER = "scoopsci.testing.surroundings"


def settings() -> dict[str, Any]:
    """Return the settings that change what a task computes or shows."""
    return {
        "third": str(decimal.Decimal(1) / 3),
        "rounding": decimal.getcontext().rounding,
        "errors": np.geterr(),
        "shown": repr(np.array([1 / 3])),
        "filter": str(warnings.filters[0]),
        "recursion": sys.getrecursionlimit(),
        "level": logging.getLogger(LOGGER).level,
    }


@contextmanager
def changed() -> Iterator[None]:
    """Change all of them in the block."""
    recursion = sys.getrecursionlimit()
    logger = logging.getLogger(LOGGER)
    with (
        decimal.localcontext() as context,
        np.errstate(divide="raise"),
        np.printoptions(precision=3),
        warnings.catch_warnings(),
    ):
        context.prec, context.rounding = 50, decimal.ROUND_DOWN
        warnings.simplefilter("error", BytesWarning)
        sys.setrecursionlimit(recursion + 1234)
        logger.setLevel(7)
        try:
            yield
        finally:
            sys.setrecursionlimit(recursion)
            logger.setLevel(0)


def look_around() -> dict[str, Any]:
    """Return what a task can change around itself."""
    umask = os.umask(0o077)
    os.umask(umask)
    return {
        "folder": os.getcwd(),
        "umask": umask,
        "variable": os.environ.get("SCOOPSCI_CHANGED"),
        "locale": locale.setlocale(locale.LC_ALL),
        "handler": str(signal.getsignal(signal.SIGUSR1)),
        "files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "settings": settings(),
    }


def change_all() -> dict[str, Any]:
    """Change all of that, and return it."""
    os.chdir("/")
    os.umask(0o777)
    os.environ["SCOOPSCI_CHANGED"] = "by a task"
    locale.setlocale(locale.LC_ALL, "C.UTF-8" if locale.setlocale(locale.LC_ALL) == "C" else "C")
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft - 1, hard))
    decimal.getcontext().prec = 5
    decimal.getcontext().rounding = decimal.ROUND_UP
    np.seterr(all="ignore")
    np.set_printoptions(precision=1)
    warnings.simplefilter("ignore", BytesWarning)
    sys.setrecursionlimit(sys.getrecursionlimit() + 1)
    return look_around()


#: What a program inherits, as far as it is not the same in all of them.
SHOW = "umask; echo $OMP_NUM_THREADS,$OPENBLAS_NUM_THREADS,$PYTHONSAFEPATH; "
SHOW += "grep -E 'Sig(Ign|Blk)' /proc/self/status"


def inherited() -> list[str]:
    """Return what programs that are started here inherit, by each way to start them."""
    ways: list[Callable[[], str]] = [_by_subprocess, _by_system, _by_spawn]
    return [way() for way in ways]


def _by_subprocess() -> str:
    return subprocess.run(["sh", "-c", SHOW], capture_output=True, text=True, check=True).stdout


def _by_system() -> str:
    read, write = os.pipe()
    os.system(f"({SHOW}) >/proc/{os.getpid()}/fd/{write}")
    os.close(write)
    with open(read) as output:
        return output.read()


def _by_spawn() -> str:
    read, write = os.pipe()
    moves = [(os.POSIX_SPAWN_DUP2, write, 1)]
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", SHOW], os.environ, file_actions=moves)
    os.waitpid(pid, 0)
    os.close(write)
    with open(read) as output:
        return output.read()


def write_bytes() -> None:
    """Write what a text stream does not take."""
    sys.stdout.write(b"bytes")  # type: ignore[arg-type]


def print_bars() -> None:
    """Show a bar as tqdm does, and say something before and after it."""
    print("before")
    for share in range(0, 101, 2):
        sys.stdout.write(f"\r{share:3}% {'#' * share}")
    print("\nafter\r")


def speak(who: str) -> None:
    """Print, warn and log."""
    print(f"printed by {who}")
    print(f"complained by {who}", file=sys.stderr)
    logging.getLogger("task.speak").warning("logged by %s", who)


def talk_in_thread() -> None:
    """Speak in a thread."""
    thread = threading.Thread(target=speak, args=("a thread",))
    thread.start()
    thread.join()


def fork_and(fn: Callable[..., object], *args: Any) -> int:
    """Call a function in a forked child, and return the child's exit status."""
    pid = os.fork()
    if pid == 0:
        fn(*args)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def open_in_child(path: Path) -> None:
    """Write the engine that a thread gets by default into a file."""

    def look() -> None:
        with scoopsci.open_engine(n_workers=2) as engine:
            path.write_text(engine.name)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()


def start_processes(method: str | None) -> list[Any]:
    """Compute in processes of the standard library, started by a method."""
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, context) as executor:
        return [multiprocessing.get_start_method(), executor.submit(abs, -3).result(60)]
