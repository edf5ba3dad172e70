"""Losses of tasks with their workers, as senders hear and judge them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scoopsci.errors import PoisonTaskError, WorkerLostError

__all__ = ["LOSSES_PER_DEATH", "POISON_AFTER", "Losses", "as_lost"]

#: Deaths of workers at a task that runs alone, after which it is not sent again.
POISON_AFTER = 3

#: A task may be lost so often for each death that makes it poison: workers also die of what comes
#: from outside, and of other tasks where several runs share an engine.
LOSSES_PER_DEATH = 10


def as_lost(facts: Mapping[str, Any]) -> WorkerLostError:
    """Return the error of a task from what the broker tells of its loss."""
    return WorkerLostError(
        f"worker {facts['pid']} on host {facts['host']} {facts['why']} while it held the task",
        host=facts["host"],
        by_task=facts["blame"],
    )


class Losses:
    """The losses of one task, and what they come to.

    Parameters
    ----------
    poison_after : int
        It is not sent again once it has ended so many workers.
    """

    def __init__(self, poison_after: int = POISON_AFTER) -> None:
        self._poison_after = poison_after
        self._n_deaths = self._n_losses = 0

    def judge(self, error: WorkerLostError) -> WorkerLostError | PoisonTaskError | None:
        """Return what ends the task, or None where it is to be sent again."""
        self._n_losses += 1
        self._n_deaths += bool(error.by_task)
        if self._n_deaths < self._poison_after:
            spent = self._n_losses >= LOSSES_PER_DEATH * self._poison_after
            return error if spent else None
        return PoisonTaskError.of_deaths(self._n_deaths, error)
