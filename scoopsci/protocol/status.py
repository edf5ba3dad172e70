"""What a broker's machine tells about hosts, workers and tasks."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

from scoopsci.protocol.members import Host, Worker

__all__ = ["count_tasks", "describe_hosts", "report_hosts"]


def describe_hosts(hosts: Iterable[Host]) -> list[dict[str, Any]]:
    """Describe hosts and their workers, for `scoopsci.Pool.status`."""
    return [
        {
            "label": host.label,
            "name": host.facts.get("host"),
            "connected": host.has_agent and bool(host.facts),
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


def report_hosts(hosts: Iterable[Host]) -> list[dict[str, Any]]:
    """Describe hosts for the driver, which is told of each change."""
    return [
        {
            "name": host.label,
            "n_wanted": host.n_workers,
            "workers": [worker.pid for worker in host.workers.values() if worker.ready],
            "agent": host.facts.get("pid"),
            "facts": host.facts,
            "connected": host.has_agent and bool(host.facts),
        }
        for host in hosts
    ]
