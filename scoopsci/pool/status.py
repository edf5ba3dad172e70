"""The status of a running pool: hosts, workers, tasks, and losses."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Container, Iterable
from typing import Any

from scoopsci.pool.members import Host, Worker

__all__ = ["LossLog", "count_tasks", "describe_hosts"]

#: Number of losses that are kept; older ones are dropped.
MOST_LOSSES = 200


class LossLog:
    """The last losses of a pool: workers that ended, and hosts that could not be reached."""

    def __init__(self) -> None:
        self._losses: deque[dict[str, Any]] = deque(maxlen=MOST_LOSSES)

    def add(self, host: Host, pid: int | None, why: str) -> None:
        """Record a loss: of a worker, or of a host if no process is given."""
        self._losses.append({"at_s": time.time(), "host": host.label, "pid": pid, "why": why})

    def __iter__(self) -> Any:
        return iter(self._losses)


def describe_hosts(hosts: Iterable[Host]) -> list[dict[str, Any]]:
    """Describe hosts and their workers, for `scoopsci.Pool.status`."""
    return [
        {
            "label": host.label,
            "name": host.facts.get("host"),
            "connected": host.agent is not None and bool(host.facts),
            "n_wanted": host.n_workers,
            **host.vitals,
            "workers": [
                {
                    "pid": worker.pid,
                    "state": _name_state(worker),
                    "memory_bytes": worker.memory_bytes,
                    "n_done": worker.n_done,
                }
                for worker in host.workers.values()
            ],
        }
        for host in hosts
    ]


def _name_state(worker: Worker) -> str:
    if worker.doomed or worker.retires:
        return "ending"
    if worker.stopped_s is not None:
        return "stopped"
    if not worker.ready:
        return "starting"
    return "running" if worker.tasks else "idle"


def count_tasks(workers: Iterable[Worker], tasks: Container[bytes], n_tasks: int) -> dict[str, int]:
    """Count the tasks that wait at the broker, and those that workers have."""
    # A stopped worker may hold tasks that have been given up without its knowledge.
    n_running = sum(key in tasks for worker in workers for key in worker.tasks)
    return {"waiting": n_tasks - n_running, "running": n_running}
