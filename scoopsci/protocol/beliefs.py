"""What the machines of a pool believe, in plain words and numbers."""

from __future__ import annotations

from typing import Any

from scoopsci.protocol import messages as kind
from scoopsci.protocol.broker import BrokerMachine
from scoopsci.protocol.driver import DriverMachine
from scoopsci.protocol.status import describe_hosts

__all__ = ["describe_broker", "describe_driver"]


def describe_broker(machine: BrokerMachine) -> dict[str, Any]:
    """Describe what a broker believes.

    Returns
    -------
    dict
        ``hosts``, see `scoopsci.Pool.status`; the numbers of the ``waiting`` tasks, and of the
        ``suspects`` among them, which have ended a worker; ``running``, the numbers of each
        worker's tasks by its process; and ``available``, the processes that accept a task.
    """
    workers = machine.workers
    waiting, suspects = machine.tasks.list_waiting()
    available = [workers[name].pid for name in machine.tasks.available if name in workers]
    return {
        "hosts": describe_hosts(machine.hosts),
        "waiting": [_as_number(key) for key in waiting],
        "suspects": [_as_number(key) for key in suspects],
        "running": {
            str(worker.pid): sorted(_as_number(key) for key in worker.tasks)
            for worker in workers.values()
            if worker.tasks
        },
        "available": available,
    }


def describe_driver(machine: DriverMachine) -> dict[str, Any]:
    """Describe what a driver believes.

    Returns
    -------
    dict
        The numbers of the tasks that are ``waiting``, and of those that the broker has, ``sent``;
        and ``n_repeated``, how many have been resubmitted.
    """
    return {
        "waiting": [_as_number(number) for number in machine.waiting],
        "sent": [_as_number(number) for number in machine.sent],
        "n_repeated": machine.n_repeated,
    }


def _as_number(key: bytes) -> int:
    return int.from_bytes(key[-kind.NUMBER_BYTES :], "big")
