"""Losses of tasks with their workers, and the decision whether to resubmit a task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scoopsci.errors import PoisonTaskError, WorkerLostError

__all__ = ["LOSSES_PER_DEATH", "POISON_AFTER", "Losses", "as_lost"]

#: A task is not resubmitted after this many deaths of a worker while it ran alone.
POISON_AFTER = 3

#: Losses allowed for each of these deaths: workers also die from external causes, and from other
#: tasks if several runs share an engine.
LOSSES_PER_DEATH = 10


def as_lost(facts: Mapping[str, Any]) -> WorkerLostError:
    """Return the error of a task from the facts that the broker reports about its loss."""
    return WorkerLostError(
        f"worker {facts['pid']} on host {facts['host']} {facts['why']} while it held the task",
        host=facts["host"],
        by_task=facts["blame"],
    )


class Losses:
    """The losses of one task, and whether to resubmit it.

    Parameters
    ----------
    poison_after : int
        It is not resubmitted once it has ended this many workers.
    """

    def __init__(self, poison_after: int = POISON_AFTER) -> None:
        self._poison_after = poison_after
        self._n_deaths = self._n_losses = 0

    def judge(self, error: WorkerLostError) -> WorkerLostError | PoisonTaskError | None:
        """Return the error that ends the task, or None if it must be resubmitted."""
        self._n_losses += 1
        self._n_deaths += bool(error.by_task)
        if self._n_deaths < self._poison_after:
            spent = self._n_losses >= LOSSES_PER_DEATH * self._poison_after
            return error if spent else None
        return PoisonTaskError.of_deaths(self._n_deaths, error)
