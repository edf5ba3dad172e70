"""The engine `pool`: workers on this machine and others, started for the program by SSH."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import replace
from functools import partial
from typing import Any
from weakref import finalize

import numpy.typing as npt

from scoopsci.basics.arguments import check_count, check_seconds
from scoopsci.engines.base import Engine
from scoopsci.engines.initializers import check_initialized, pack_initializer
from scoopsci.engines.opening import reduce_engine
from scoopsci.engines.taskfuture import TaskFuture
from scoopsci.engines.threads import limiting_variables
from scoopsci.hosts import MAX_WORKERS, Host, read_hostfile
from scoopsci.pickling.resources import RESOURCES
from scoopsci.pool.broadcast import Broadcast
from scoopsci.pool.config import make_config
from scoopsci.pool.driver import PoolDriver
from scoopsci.protocol.losses import POISON_AFTER, Losses
from scoopsci.reporting.markup import as_table

__all__ = ["Pool", "open_pool"]


class _PoolEngine(Engine):
    """An engine whose number of workers is the pool's current one."""

    _driver: PoolDriver

    @property
    def n_workers(self) -> int:
        """Number of workers."""
        return self._driver.n_workers

    def status(self) -> dict[str, Any]:
        """Return the state of the hosts, workers and tasks, also while the pool is busy.

        Returns
        -------
        dict
            ``hosts``: for each its ``label``, its own ``name``, ``connected`` and ``n_wanted``, by
            its agent's last heartbeat ``load``, ``n_cores``, ``memory_bytes`` and
            ``available_bytes``, and ``workers``, each with ``pid``, ``state`` ("starting", "idle",
            "running", "stopped" or "ending"), ``memory_bytes`` and ``n_done``. ``tasks``: the
            numbers ``waiting``, ``running``, ``done``, ``lost``, and ``repeated`` by the pool.
            ``losses``: the last ones, each with ``at_s`` (Unix time), ``host``, ``pid`` and
            ``why``.

        Raises
        ------
        EngineError, RuntimeError
            If the pool does not answer, has failed, or has been shut down.
        """
        return self._driver.status()


class _RunsEngine(_PoolEngine):
    """The engine for runs, which resubmit lost blocks themselves."""

    def __init__(self, pool: Pool) -> None:
        self._driver = driver = pool._driver
        carrier = contextlib.nullcontext((driver, driver.n_workers))
        super().__init__("pool", carrier, mixed=pool.mixed)
        self.watchers = pool.watchers


class Pool(_PoolEngine):
    """Workers on this machine or on those of a hostfile, from any program or notebook.

    It is an engine of scoopsci, and a `concurrent.futures.Executor` whose ``map`` also suits
    libraries that need an object with one. Use it as a context manager, or call `shutdown`; a
    program that ends first waits for its tasks.

    Parameters
    ----------
    n_workers : int, optional
        Number of workers; by default that of the hostfile, or one for each core.
    hostfile : path-like, optional
        The hosts; without one, this machine.
    worker_memory : int, optional
        Bytes of memory that a worker may use; one that uses more is ended.
    threads_per_worker : int
        Threads for linear algebra and numba. With more than one, the last bits of a result depend
        on their number.
    initializer : callable, optional
        Called with `initargs` on each worker before its first task.
    initargs : sequence
        Its arguments.
    poison_after : int
        A task that has ended this many workers is not resubmitted.
    mixed : bool
        Accept hosts that compute differently in the last bit.
    host_timeout : float
        Seconds of silence after which a host counts as lost; it is used again if it comes back.
    start_timeout : float
        Seconds within which the workers must be ready.
    python : path-like, optional
        Interpreter on the hosts; by default that of the environment made by ``scoopsci hosts
        --install``, or else the path of this one.
    ssh : path-like
        The program that connects to the hosts.
    record : path-like, optional
        A file, replaced if it exists, to record the pool's messages in, without what they carry:
        ``scoopsci replay`` tells what the pool believed, for example when it hung. By default that
        named by the environment variable ``SCOOPSCI_RECORD``, if any.

    Raises
    ------
    EngineError
        If a host or its workers do not start; the message names the host.
    HostfileError, ValueError, TypeError
        If an argument is out of range.

    Examples
    --------
    >>> with Pool(2) as pool:
    ...     list(pool.map(abs, range(-3, 0)))
    [3, 2, 1]
    """

    def __init__(
        self,
        n_workers: int | None = None,
        *,
        hostfile: str | os.PathLike[str] | None = None,
        worker_memory: int | None = None,
        threads_per_worker: int = 1,
        initializer: Callable[..., object] | None = None,
        initargs: Sequence[Any] = (),
        poison_after: int = POISON_AFTER,
        mixed: bool = False,
        host_timeout: float = 15.0,
        start_timeout: float = 60.0,
        python: str | os.PathLike[str] | None = None,
        ssh: str | os.PathLike[str] = "ssh",
        record: str | os.PathLike[str] | None = None,
    ) -> None:
        if n_workers is not None:
            check_count("n_workers", n_workers)
        if worker_memory is not None:
            check_count("worker_memory", worker_memory)
        check_count("threads_per_worker", threads_per_worker)
        check_count("poison_after", poison_after)
        check_seconds("host_timeout", host_timeout)
        check_seconds("start_timeout", start_timeout)
        hosts = _spread(n_workers, None if hostfile is None else read_hostfile(hostfile))
        setup = pack_initializer(initializer, initargs)
        config = make_config(
            hosts,
            ["scoopsci.pool.worker:work", "scoopsci.engines.payload:run_payload"],
            variables=limiting_variables(threads_per_worker),
            python=python,
            ssh=ssh,
            host_timeout=host_timeout,
            start_timeout=start_timeout,
            initializes=setup is not None,
            worker_memory=worker_memory,
            mixed=mixed,
            poison_after=poison_after,
            record=record,
        )
        self._driver = PoolDriver(config, setup, partial(check_initialized, engine="the pool"))
        try:
            self._driver.wait_until_ready(start_timeout)
        except BaseException:
            self._driver.shutdown()
            raise
        finalize(self, self._driver.shutdown)
        super().__init__("pool", _carry(self._driver, poison_after), mixed=mixed)

    @property
    def hosts(self) -> list[dict[str, Any]]:
        """Each host's ``name``, ``connected``, ``n_wanted`` and ``workers``, a list of pids."""
        return self._driver.hosts

    def _repr_html_(self) -> str:
        rows = [
            [
                host["name"],
                "connected" if host["connected"] else "not connected",
                f"{len(host['workers'])} of {host['n_wanted']}",
                host["facts"].get("python", ""),
                host["facts"].get("numpy", ""),
            ]
            for host in self.hosts
        ]
        header = ["host", "state", "workers", "Python", "NumPy"]
        return as_table(header, rows, n_words=2)

    def for_runs(self) -> Engine:
        """Return the engine that reports lost tasks instead of resubmitting them."""
        return _RunsEngine(self)

    def submit_within(
        self, timeout: float, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> TaskFuture:
        """Submit a call with a time limit.

        Parameters
        ----------
        timeout : float
            Seconds from its start, after which its worker is ended and another one started.
        fn, *args, **kwargs
            See `submit`.

        Returns
        -------
        TaskFuture
            It raises an `EngineTimeoutError` when the time has passed.
        """
        check_seconds("timeout", timeout)
        return self._send(fn, args, kwargs, timeout=timeout)

    def broadcast(self, array: npt.ArrayLike) -> Broadcast:
        """Send an array to each host once; its workers share it, memory-mapped.

        Parameters
        ----------
        array : array-like
            Of any type but objects; it is copied at once.

        Returns
        -------
        Broadcast
            An argument for tasks, which read the array as its ``array``. Keep it as long as they
            run.

        Raises
        ------
        TypeError
            If the array holds objects.
        """
        return self._driver.broadcast(array)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the pool; see `Engine.shutdown`.

        Parameters
        ----------
        wait, cancel_futures : bool
            See `Engine.shutdown`.

        Raises
        ------
        EngineError
            In a forked child of the process that has opened it.
        """
        self._driver.check_owner()
        super().shutdown(wait, cancel_futures=cancel_futures)

    def resize(self, n_workers: int) -> None:
        """Change the number of workers; surplus ones end when they have finished their tasks.

        Parameters
        ----------
        n_workers : int
            Number on all hosts together.
        """
        check_count("n_workers", n_workers)
        self._driver.resize(_deal(n_workers, [None] * len(self.hosts)))

    def __reduce__(self) -> Any:
        raise TypeError("a pool cannot be sent to a worker; inside a task, use engine='serial'")


RESOURCES[Pool] = reduce_engine


class _Resending(Executor):
    """Resubmits tasks that are lost with their workers, up to the limit of contract 3."""

    ends_with_program = True

    def __init__(self, driver: PoolDriver, poison_after: int) -> None:
        self._driver = driver
        self._poison_after = poison_after
        self.check_owner, self.is_local = driver.check_owner, driver.is_local

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return self._driver.send(*args, judge=Losses(self._poison_after).judge, **kwargs)


@contextlib.contextmanager
def _carry(driver: PoolDriver, poison_after: int) -> Iterator[tuple[Executor, int]]:
    executor = _Resending(driver, poison_after)
    try:
        yield executor, driver.n_workers
        driver.finish()
    finally:
        driver.shutdown()


@contextlib.contextmanager
def open_pool(
    n_workers: int | None = None,
    hostfile: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Iterator[tuple[Executor, int]]:
    """Yield the executor of a `Pool` for one run, which reports lost tasks, and its size."""
    # Each run compares the hosts itself, and knows whether they may differ.
    with Pool(n_workers, hostfile=hostfile, **{"mixed": True, **options}) as pool:
        yield pool._driver, pool.n_workers


def _spread(n_workers: int | None, hosts: list[Host] | None) -> list[Host]:
    """Return the hosts, the workers spread over them; each gets no more than its count."""
    if hosts is None:
        return [Host("localhost", n_workers=n_workers)]
    if n_workers is None:
        return hosts
    counts = _deal(n_workers, [host.n_workers for host in hosts])
    return [replace(host, n_workers=n) for host, n in zip(hosts, counts, strict=True) if n]


def _deal(n_workers: int, limits: Sequence[int | None]) -> list[int]:
    """Assign workers in turn, to no host more than its limit."""
    counts = [0] * len(limits)
    while (before := sum(counts)) < n_workers:
        for i, limit in enumerate(limits):
            counts[i] += sum(counts) < n_workers and counts[i] < (limit or MAX_WORKERS)
        if sum(counts) == before:
            raise ValueError(
                f"n_workers must be at most {before}, the hosts' total, got {n_workers}; name "
                "more hosts, or raise the counts in the hostfile"
            )
    return counts
