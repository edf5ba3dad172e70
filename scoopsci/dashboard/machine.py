"""The driver's machine and its processes, for engines that cannot tell of theirs."""

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
        Each with ``host``, ``pid`` and ``n_blocks``; only of those on this machine more is known.
    n_workers : int
        Workers of the engine, all together.

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
        # To the steps in which agents hear of changes: more would be news without an end.
        "load": round(os.getloadavg()[0], 2),
        "n_cores": len(os.sched_getaffinity(0)),
        "memory_bytes": memory.total,
        "available_bytes": memory.available >> 24 << 24,
    }


def _describe_worker(worker: Mapping[str, Any], *, is_here: bool) -> dict[str, Any]:
    told = {"pid": worker["pid"], "state": "seen", "memory_bytes": None, "n_done": None}
    if is_here:
        try:
            told["memory_bytes"] = psutil.Process(worker["pid"]).memory_info().rss >> 20 << 20
            told["state"] = "alive"
        except psutil.Error:
            told["state"] = "ended"
    return told
