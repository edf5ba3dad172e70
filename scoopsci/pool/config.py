"""The configuration of a pool's broker."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from multiprocessing import current_process
from pathlib import Path
from typing import Any

from scoopsci.hosts import Host
from scoopsci.pool.place import Place
from scoopsci.protocol.losses import POISON_AFTER
from scoopsci.protocol.timing import find_times

__all__ = ["make_config"]


def make_config(
    hosts: Sequence[Host],
    work: Sequence[str],
    *,
    variables: Mapping[str, str],
    python: str | os.PathLike[str] | None,
    ssh: str | os.PathLike[str],
    host_timeout: float,
    start_timeout: float,
    initializes: bool,
    worker_memory: int | None = None,
    mixed: bool = False,
    prolog: str | None = None,
    poison_after: int = POISON_AFTER,
    record: str | os.PathLike[str] | None = None,
) -> dict[str, Any]:
    """Return the configuration of a broker, for `scoopsci.pool.driver.PoolDriver`.

    Parameters
    ----------
    hosts : sequence of Host
        Hosts of the workers.
    work : sequence of str
        The function of a worker, as MODULE:FUNCTION, and further such names, its arguments.
    variables : mapping of str
        Environment variables of agents and workers.
    initializes : bool
        Whether each worker first runs frames of an initializer.
    prolog : str, optional
        A file for bash on each host, sourced before the agent starts.
    python, ssh, host_timeout, start_timeout, worker_memory, mixed, poison_after, record
        See `scoopsci.Pool`.
    """

    def describe(host: Host) -> dict[str, Any]:
        place = Place.of(host, python=python, ssh=ssh, patience_s=host_timeout)
        return {
            "label": host.name,
            "n_workers": host.n_workers,
            "place": {**asdict(place), "prolog": prolog},
        }

    times = find_times(host_timeout)
    return {
        "hosts": [describe(host) for host in hosts],
        "host_timeout_s": host_timeout,
        "start_timeout_s": start_timeout,
        "workers_timeout_s": times["workers_timeout_s"],
        "mixed": mixed,
        "initializes": initializes,
        "poison_after": poison_after,
        "record": None if record is None else os.fspath(record),
        "variables": dict(variables),
        "agent": {
            "python": sys.version_info[:2],
            "work": list(work),
            "path": [os.path.abspath(entry) for entry in sys.path if _is_users(entry)],
            "heartbeat_s": times["heartbeat_s"],
            "lease_s": times["lease_s"],
            "memory_bytes": worker_memory,
            # It goes through pipes and SSH connections only, as the names of workers do.
            "authkey": bytes(current_process().authkey).hex(),
        },
    }


def _is_users(entry: str) -> bool:
    """Tell whether an entry of the path is the user's own, not Python's or its packages'."""
    path = Path(entry).resolve()
    roots = {Path(root).resolve() for root in (sys.prefix, sys.base_prefix)}
    return path.is_dir() and not any(path.is_relative_to(root) for root in roots)
