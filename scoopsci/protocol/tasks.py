"""The tasks at a broker: which one is given to which worker."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from scoopsci.protocol import messages as kind
from scoopsci.protocol.brokering import Send
from scoopsci.protocol.machine import Machine
from scoopsci.protocol.members import Task, Worker
from scoopsci.protocol.status import count_tasks

__all__ = ["Tasks"]


class Tasks:
    """All tasks of a broker, and the requests of its workers.

    Parameters
    ----------
    owner : Machine
        The broker's machine.
    workers : mapping
        All workers by their names.
    unassigned : deque of Task
        Gets the tasks that wait for a worker.
    available : deque of bytes
        Gets the names of workers that accept a task.
    """

    def __init__(
        self,
        owner: Machine,
        workers: Mapping[bytes, Worker],
        unassigned: deque[Task],
        available: deque[bytes],
    ) -> None:
        self._owner = owner
        self._workers = workers
        self._unassigned = unassigned
        self._available = available
        self._tasks: dict[bytes, Task] = {}
        #: Tasks that have ended a worker, and those of them that wait for another worker.
        self._deadly: set[bytes] = set()
        self._suspects: dict[bytes, Task] = {}
        self._n_done = self._n_lost = 0

    def __len__(self) -> int:
        return len(self._tasks)

    def get(self, key: bytes) -> Task | None:
        """Return a task that has neither ended nor been given up."""
        return self._tasks.get(key)

    @property
    def available(self) -> Sequence[bytes]:
        """The names of workers that accept a task."""
        return self._available

    def list_waiting(self) -> tuple[list[bytes], list[bytes]]:
        """Return the keys of the tasks that wait, and of the suspects among them."""
        waiting = [task.key for task in self._tasks.values() if task.worker is None]
        return waiting, [key for key in waiting if key in self._suspects]

    def count(self) -> dict[str, int]:
        """Count them by their states."""
        counts = count_tasks(self._workers.values(), self._tasks, len(self._tasks))
        return {**counts, "done": self._n_done, "lost": self._n_lost}

    # --- what senders do

    def add(self, task: Task, *, first: bool) -> None:
        """Add a task, before all others or after them."""
        self._tasks[task.key] = task
        if task.key in self._deadly:
            self._suspects[task.key] = task
        elif first:
            self._unassigned.appendleft(task)
        else:
            self._unassigned.append(task)
        self.assign()

    def drop(self, task: Task) -> None:
        """Drop a task that nobody waits for."""
        del self._tasks[task.key]

    def drop_all(self) -> None:
        """Drop all tasks."""
        self._tasks.clear()

    def forget(self, worker: Worker) -> None:
        """Drop the tasks that were sent by a worker."""
        for key in [key for key, task in self._tasks.items() if task.sender == worker.name]:
            del self._tasks[key]
        self._deadly = {key for key in self._deadly if not key.startswith(worker.name)}

    # --- what workers do

    def offer(self, worker: Worker) -> None:
        """Give a task to a worker, now or later."""
        self._available.append(worker.name)
        self.assign()

    def withdraw(self, worker: Worker) -> None:
        """Take back that a worker accepts a task."""
        worker.n_requests = 0
        with contextlib.suppress(ValueError):
            self._available.remove(worker.name)

    def resume(self, worker: Worker) -> None:
        """Give tasks to a worker that was stopped."""
        self._available.extend([worker.name] * worker.n_requests)
        worker.n_requests = 0
        self.assign()

    def finish(self, key: bytes, worker: Worker) -> Task | None:
        """Return the task that a worker has ended, or None if it has been given up."""
        worker.tasks.discard(key)
        worker.running = None
        worker.n_done += 1
        self._n_done += 1
        self._deadly.discard(key)
        task = self._tasks.get(key)
        if task is None or task.worker != worker.name:
            return None
        del self._tasks[key]
        return task

    def lose(self, worker: Worker, *, blame: bool) -> list[tuple[Task, bool]]:
        """Give up the tasks of a worker, and tell of each whether it is to blame."""
        lost = []
        for key in list(worker.tasks):
            task = self._tasks.get(key)
            if task is not None and task.worker == worker.name:
                del self._tasks[key]
                self._n_lost += 1
                is_to_blame = blame and (len(worker.tasks) == 1 or key == worker.running)
                if is_to_blame:
                    self._deadly.add(key)
                lost.append((task, is_to_blame))
        return lost

    def find_late(self) -> list[Task]:
        """Return the tasks that have taken too long."""
        now_s = self._owner.now_s
        return [
            task
            for task in self._tasks.values()
            if task.deadline_s is not None and now_s > task.deadline_s and task.worker
        ]

    # --- assignment

    def assign(self) -> None:
        """Give tasks to workers that accept them."""
        if self._suspects:
            self._assign_suspects()
        while self._unassigned and self._available:
            task = self._unassigned[0]
            if self._tasks.get(task.key) is not task:
                self._unassigned.popleft()  # cancelled meanwhile
                continue
            worker = self._workers.get(self._available.popleft())
            if worker is not None and self._give(task, worker):
                self._unassigned.popleft()

    def _assign_suspects(self) -> None:
        """Give a task that has ended a worker to one without tasks: others would be lost with it.

        If every worker has tasks, that cannot be avoided.
        """
        for key, task in list(self._suspects.items()):
            idle = [w for w in self._workers.values() if not w.tasks and w.stopped_s is None]
            able = [worker for worker in idle if worker.name in self._available]
            if self._tasks.get(key) is not task:
                del self._suspects[key]
            elif not idle:
                self._unassigned.appendleft(self._suspects.pop(key))
            elif able:
                self._available.remove(able[0].name)
                if self._give(task, able[0]):
                    del self._suspects[key]

    def _give(self, task: Task, worker: Worker) -> bool:
        if worker.doomed or worker.retires:
            return False
        if worker.stopped_s is not None:
            worker.n_requests += 1  # until it continues
            return False
        self._owner.act(Send(worker.name, kind.TASK + task.key, task.frames))
        task.frames = []
        task.worker = worker.name
        worker.tasks.add(task.key)
        worker.running, worker.ran_before = task.key, worker.running
        if task.timeout_s is not None:
            task.deadline_s = self._owner.now_s + task.timeout_s
        return True

    def take_back(self, key: bytes, worker: Worker, frames: Sequence[Any]) -> None:
        """Take a task back that a worker, which has just ended, could not get."""
        task = self._tasks.get(key)
        worker.tasks.discard(key)
        if task is None or task.worker != worker.name:
            return
        task.frames, task.worker, task.deadline_s = frames, None, None
        worker.running = worker.ran_before
        if task.key in self._deadly:
            self._suspects[key] = task
        else:
            self._unassigned.appendleft(task)
        self.assign()
