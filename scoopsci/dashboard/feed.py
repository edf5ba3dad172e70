"""What the page shows, put together from the runs' own words and the engine's."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any

from scoopsci.dashboard.machine import describe_machines
from scoopsci.dashboard.record import RunRecord, name_run
from scoopsci.reporting.progress import Progress

__all__ = ["Feed"]

#: Runs that are remembered; the page shows the one that has started last.
MOST_RUNS = 8


class Feed:
    """Listens to the runs of an engine, and tells how everything is.

    Parameters
    ----------
    name : str
        Of the engine.
    ask_status : callable
        Returns what `scoopsci.Engine.status` does, or raises.
    count_workers : callable
        Returns the number of the engine's workers, 0 where it cannot tell.
    """

    def __init__(
        self,
        name: str,
        ask_status: Callable[[], dict[str, Any] | None],
        count_workers: Callable[[], int],
    ) -> None:
        self._name = name
        self._ask_status = ask_status
        self._count_workers = count_workers
        self._lock = Lock()
        self._runs: dict[tuple[str, float], RunRecord] = {}
        self._n_repeated_before = 0
        self._status: dict[str, Any] | None = None
        self._ended = False

    def note(self, progress: Progress) -> None:
        """Take in what a run tells of itself, in its own thread."""
        with self._lock:
            run = self._runs.get(name_run(progress))
            if run is not None and progress.elapsed_s >= run.progress.elapsed_s:
                run.note(progress)
                return
            if run is not None:  # one that does not tell when it has started
                self._forget(name_run(progress))
            self._runs[name_run(progress)] = RunRecord(progress)
            while len(self._runs) > MOST_RUNS:  # the oldest, of those that have ended if there are
                self._forget(min(self._runs, key=lambda name: not self._runs[name].progress.ended))

    def _forget(self, name: tuple[str, float]) -> None:
        self._n_repeated_before += self._runs.pop(name).n_repeated

    def end(self) -> None:
        """Note that the engine has ended: there is nothing more to come."""
        self._ended = True

    def take(self) -> dict[str, Any]:
        """Return how everything is, as JSON can hold it."""
        trouble = self._look()
        with self._lock:
            newest = max(self._runs.values(), key=lambda run: run.started_s, default=None)
            n_repeated = sum(run.n_repeated for run in self._runs.values())
            n_repeated += self._n_repeated_before
            n_others = sum(not run.progress.ended for run in self._runs.values() if run != newest)
            told = None if newest is None else newest.describe()
            workers = [] if newest is None else newest.workers
            losses = [] if newest is None else newest.losses
            tasks = {} if newest is None else _count_tasks(newest.progress)
        if self._status is None:
            n_workers = self._count_workers() or len(workers)
            hosts = describe_machines(workers, n_workers)
        else:
            hosts = [_count_alive(host) for host in self._status["hosts"]]
            losses = self._status["losses"]
            tasks = dict(self._status["tasks"])
            n_repeated += tasks["repeated"]
        return {
            "engine": self._name,
            "ended": self._ended,
            "trouble": trouble,
            "run": told,
            "n_other_runs": n_others,
            "tasks": {**tasks, "repeated": n_repeated},
            "hosts": hosts,
            "losses": losses,
        }

    def _look(self) -> str | None:
        """Ask the engine how it is; where it does not answer, the last word stands."""
        if self._ended:
            return None
        try:
            self._status = self._ask_status()
        except Exception as error:
            return str(error)
        return None


def _count_tasks(progress: Progress) -> dict[str, int]:
    return {"in_flight": progress.n_in_flight, "lost": progress.n_lost}


def _count_alive(host: dict[str, Any]) -> dict[str, Any]:
    n_alive = sum(worker["state"] in ("idle", "running") for worker in host["workers"])
    return {**host, "n_alive": n_alive}
