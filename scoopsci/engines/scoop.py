"""The engine `scoop`: the workers of the SCOOP pool that this program runs in."""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, wait
from threading import Lock
from typing import Any
from weakref import WeakSet

from scoopsci.errors import EngineNotStartedError
from scoopsci.pool.lifetime import check_folder, check_owner
from scoopsci.pool.plain import substitute

__all__ = ["KNOWN_TO_BE_OPEN", "OPEN", "open_scoop", "use_workers"]

#: Environment variable: if it is set, the line below is not shown.
KNOWN_TO_BE_OPEN = "SCOOPSCI_OPEN_POOL"

#: Shown once, if the pool is SCOOP's own.
OPEN = (
    "scoopsci: a pool of python -m scoop is open to the network and runs what anybody sends; "
    f"scoopsci run starts a safe one (--quiet or {KNOWN_TO_BE_OPEN}=1: hide this line)"
)

_lock = Lock()
_driver: Executor | None = None


class _Tenant(Executor):
    """One engine's share of the driver: it ends with its own tasks, and the driver goes on."""

    def __init__(self, driver: Executor) -> None:
        self._driver = driver
        self._owner = os.getpid()
        self.futures: WeakSet[Future[Any]] = WeakSet()

    def check_owner(self) -> None:
        """Raise an `EngineError` in a forked child of the driver."""
        check_owner(self._owner, "the engine 'scoop'")

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = self._driver.submit(fn, *args, **kwargs)
        self.futures.add(future)
        return future


@contextlib.contextmanager
def open_scoop(
    n_workers: int | None = None, hostfile: str | os.PathLike[str] | None = None
) -> Iterator[tuple[Executor, int]]:
    """Yield an executor over the workers of ``python -m scoop``, and their number.

    The number is 0 if the hostfile gives no counts: SCOOP does not report it then. The pool is
    SCOOP's and lives as long as the program. So do the driver and the worker that replaces the
    origin, which start when the engine is first opened.

    Parameters
    ----------
    n_workers : int, optional
        Must be None, or the ``-n`` of ``python -m scoop``.
    hostfile : path-like, optional
        Must be None: ``python -m scoop`` has read its own.

    Raises
    ------
    EngineNotStartedError
        Outside of ``python -m scoop``.
    ValueError
        If an argument is anything else.
    """
    import scoop

    if not (scoop.IS_RUNNING and getattr(scoop, "IS_ORIGIN", False)):
        raise EngineNotStartedError(
            "engine 'scoop' needs a SCOOP pool around the program; start it as "
            "scoopsci run --hostfile hostfile PROGRAM, or with python -m scoop"
        )
    if n_workers not in (None, scoop.SIZE):
        raise ValueError(
            f"the SCOOP pool has {scoop.SIZE} workers, got n_workers={n_workers}; "
            f"start it with python -m scoop -n {n_workers}"
        )
    if hostfile is not None:
        raise ValueError(
            f"the SCOOP pool has its hosts already, got hostfile={os.fspath(hostfile)!r}; "
            "give it to python -m scoop --hostfile"
        )
    tenant = _Tenant(_shared_driver())
    try:
        yield tenant, scoop.SIZE
    except BaseException:
        for future in tenant.futures:
            future.cancel()
        raise
    wait([future for future in tenant.futures if not future.cancelled()])


def use_workers(workers: Executor) -> None:
    """Make the engine use these workers, of a pool that replaces SCOOP's."""
    global _driver
    _driver = workers


def _shared_driver() -> Executor:
    global _driver
    import scoop

    with _lock:
        if _driver is None:
            from scoopsci.pool.plain.origin import retire_origin
            from scoopsci.pool.plain.scoopdriver import ScoopDriver

            if not os.environ.get(KNOWN_TO_BE_OPEN):
                with contextlib.suppress(AttributeError, ValueError):  # closed by the program
                    sys.stderr.write(f"{OPEN}\n")
            _driver = ScoopDriver(
                scoop.BROKER.hostname, scoop.BROKER.task_port, scoop.SIZE or 64, _start_substitute
            )
            atexit.register(_driver.shutdown)
            retire_origin(_driver, scoop.SIZE or 64)
        return _driver


def _start_substitute() -> subprocess.Popen[bytes]:
    """Start the worker that takes the origin's place."""
    import scoop

    check_folder("engine 'scoop'")
    command = [
        *("sh", "-c", 'trap "" INT; exec "$0" "$@"'),  # Ctrl-C must not end it during its start
        *(sys.executable, "-m", "scoop.bootstrap.__main__"),
        *("--size", str(max(2, scoop.SIZE))),  # a pool of one would hoard tasks
        *("--workingDirectory", os.getcwd()),
        *("--brokerHostname", scoop.BROKER.hostname),
        *("--externalBrokerHostname", scoop.BROKER.externalHostname),
        *("--taskPort", str(scoop.BROKER.task_port)),
        *("--metaPort", str(scoop.BROKER.info_port)),
        substitute.__file__,
    ]
    variables = {
        "PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path),
        "SCOOPSCI_SCRIPT": os.path.abspath(scoop.MAIN_MODULE),
        "SCOOPSCI_ORIGIN": str(os.getpid()),
    }
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, env={**os.environ, **variables})
