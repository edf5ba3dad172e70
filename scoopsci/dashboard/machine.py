"""The driver's machine and its processes, for engines without a status of their own."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping
from typing import Any

import psutil

__all__ = ["describe_machines"]


def describe_machines(workers: Iterable[Mapping[str, Any]], n_workers: int) -> list[dict[str, Any]]:
    """Describe the hosts of a run's workers, in the form of a pool's status.

    Parameters
    ----------
    workers : iterable of mapping
        Each with ``host``, ``pid`` and ``n_blocks``; more is known only about local ones.
    n_workers : int
        Total number of the engine's workers.

    Returns
    -------
    list of dict
        This machine first; see `scoopsci.Pool.status`.
    """
    here = socket.gethostname()
    by_host: dict[str, list[Mapping[str, Any]]] = {here: []}
    for worker in workers:
        by_host.setdefault(worker["host"], []).append(worker)
    if len(by_host) > 1 and not by_host[here]:
        del by_host[here]
    return [
        {
            "label": host,
            "name": host,
            "connected": True,
            "n_wanted": n_workers if len(by_host) == 1 else None,
            **(_read_vitals() if host == here else {}),
            "workers": [_describe_worker(worker, is_here=host == here) for worker in found],
        }
        for host, found in by_host.items()
    ]


def _read_vitals() -> dict[str, Any]:
    memory = psutil.virtual_memory()
    return {
        # Rounded as agents do: with more digits, every look would find a change.
        "load": round(os.getloadavg()[0], 2),
        "n_cores": len(os.sched_getaffinity(0)),
        "memory_bytes": memory.total,
        "available_bytes": memory.available >> 24 << 24,
    }


def _describe_worker(worker: Mapping[str, Any], *, is_here: bool) -> dict[str, Any]:
    facts = {"pid": worker["pid"], "state": "seen", "memory_bytes": None, "n_done": None}
    if is_here:
        try:
            facts["memory_bytes"] = psutil.Process(worker["pid"]).memory_info().rss >> 20 << 20
            facts["state"] = "alive"
        except psutil.Error:
            facts["state"] = "ended"
    return facts
