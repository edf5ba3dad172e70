"""The state that the page shows, assembled from the progress of runs and the engine's status."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any

from scoopsci.dashboard.machine import describe_machines
from scoopsci.dashboard.record import RunRecord, name_run
from scoopsci.reporting.progress import Progress

__all__ = ["Feed"]

#: Number of runs kept; the page shows the one that started last.
MOST_RUNS = 8


class Feed:
    """Collects the progress of an engine's runs, and assembles the state of the page.

    Parameters
    ----------
    name : str
        Name of the engine.
    ask_status : callable
        Returns what `scoopsci.Engine.status` does, or raises.
    count_workers : callable
        Returns the number of the engine's workers, 0 if unknown.
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
        """Record the progress of a run; called in the thread of the run."""
        with self._lock:
            run = self._runs.get(name_run(progress))
            if run is not None and progress.elapsed_s >= run.progress.elapsed_s:
                run.note(progress)
                return
            if run is not None:  # a new run that, like the last, has no starting time
                self._forget(name_run(progress))
            self._runs[name_run(progress)] = RunRecord(progress)
            while len(self._runs) > MOST_RUNS:  # forget the oldest, ended ones first
                self._forget(min(self._runs, key=lambda name: not self._runs[name].progress.ended))

    def _forget(self, name: tuple[str, float]) -> None:
        self._n_repeated_before += self._runs.pop(name).n_repeated

    def end(self) -> None:
        """Record that the engine has been closed."""
        self._ended = True

    def take(self) -> dict[str, Any]:
        """Return the state of the page, ready for JSON."""
        trouble = self._look()
        with self._lock:
            newest = max(self._runs.values(), key=lambda run: run.started_s, default=None)
            n_repeated = sum(run.n_repeated for run in self._runs.values())
            n_repeated += self._n_repeated_before
            n_others = sum(not run.progress.ended for run in self._runs.values() if run != newest)
            shown = None if newest is None else newest.describe()
            workers = [] if newest is None else newest.workers
            losses = [] if newest is None else newest.losses
            tasks = {} if newest is None else newest.tasks
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
            "run": shown,
            "n_other_runs": n_others,
            "tasks": {**tasks, "repeated": n_repeated},
            "hosts": hosts,
            "losses": losses,
        }

    def _look(self) -> str | None:
        """Ask the engine for its status; if it does not answer, keep the last one."""
        if self._ended:
            return None
        try:
            self._status = self._ask_status()
        except Exception as error:
            return str(error)
        return None


def _count_alive(host: dict[str, Any]) -> dict[str, Any]:
    n_alive = sum(worker["state"] in ("idle", "running") for worker in host["workers"])
    return {**host, "n_alive": n_alive}
