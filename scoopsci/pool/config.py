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

__all__ = ["make_config"]

#: A pool fails after this multiple of host_timeout without a worker.
LONELY_TIMES = 4

#: Interval between heartbeats of agent and broker, and the least number of them in a host_timeout:
#: a single late one is no loss.
HEARTBEAT_S, BEATS_PER_TIMEOUT = 2.0, 4

#: Agents end after this multiple of host_timeout without a message from the broker.
LEASE_TIMES = 2


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
    python, ssh, host_timeout, start_timeout, worker_memory, mixed
        See `scoopsci.Pool`.
    """

    def describe(host: Host) -> dict[str, Any]:
        place = Place.of(host, python=python, ssh=ssh, patience_s=host_timeout)
        return {
            "label": host.name,
            "n_workers": host.n_workers,
            "place": {**asdict(place), "prolog": prolog},
        }

    return {
        "hosts": [describe(host) for host in hosts],
        "host_timeout_s": host_timeout,
        "start_timeout_s": start_timeout,
        "workers_timeout_s": LONELY_TIMES * host_timeout,
        "mixed": mixed,
        "initializes": initializes,
        "variables": dict(variables),
        "agent": {
            "python": sys.version_info[:2],
            "work": list(work),
            "path": [os.path.abspath(entry) for entry in sys.path if _is_users(entry)],
            "heartbeat_s": min(HEARTBEAT_S, host_timeout / BEATS_PER_TIMEOUT),
            "lease_s": LEASE_TIMES * host_timeout,
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
