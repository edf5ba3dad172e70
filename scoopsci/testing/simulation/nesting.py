"""Workers for SCOOP programs: their tasks submit tasks, and while these run, they run others."""

from __future__ import annotations

import itertools
import json
from collections import deque
from collections.abc import Sequence
from typing import Any

from scoopsci.protocol import messages as kind
from scoopsci.protocol.losses import Losses, as_lost
from scoopsci.testing.simulation.script import Program
from scoopsci.testing.simulation.workers import SimulatedWorker

__all__ = ["NestingWorker"]


class _Task:
    def __init__(self, key: bytes, program: Program) -> None:
        self.key = key
        self.program = program
        self.is_half_done = False
        self.waits_for: set[bytes] = set()


class NestingWorker(SimulatedWorker):
    """A worker whose tasks submit tasks and wait for them: meanwhile it runs another one.

    It follows `scoopsci.programs.worker`, the hub, message by message.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._numbers = itertools.count()
        self._sent: dict[bytes, tuple[_Task, Program, Losses]] = {}
        self._keys: list[bytes] = []  # one may have been given twice: it was lost, and sent again
        self._begun: deque[_Task] = deque()
        self._ready: deque[_Task] = deque()
        self._newest = b""
        self._n_answers = 0
        self._computes = False
        self._cancelling: tuple[bytes, _Task] | None = None

    #: Asks for a further task even if others can continue.
    asks_always = False

    @property
    def is_busy(self) -> bool:
        """Whether it has tasks."""
        return bool(self._keys)

    def receive(self, message: tuple[bytes, Sequence[Any]]) -> None:
        """Take a message from the broker."""
        self._checks.require(
            message[0][:2] != kind.TASK or not self._computes,
            "asked-for", self.pid, "is given a task that has to lie there",
        )  # fmt: skip
        super().receive(message)

    def _look(self) -> None:
        while self.is_alive and not self.is_stopped:
            if self._inbox and (not self._computes or self._cancelling):
                self.take(*self._inbox.popleft())
            elif not self._computes and (self._ready or self._begun):
                self._go_on((self._ready or self._begun).popleft())
            else:
                break
        if self.is_alive and not (self.is_stopped or self._computes or self._has_asked):
            self._has_asked = True
            self.send(kind.REQUEST + str(self._n_answers).encode())

    def _go_on(self, task: _Task) -> None:
        if len(self._keys) > 1 and task.key != self._newest:
            self.send(kind.RUNS + task.key)
            self._newest = task.key
        self._computes = True
        if task.program.prints and not task.is_half_done:
            self.send(kind.OUTPUT + b"1", b"text")
            self.send(kind.SET + b"constant", b"value")
        n_slices = 2 if task.program.children else 1
        self.later(task.program.duration_s / n_slices, lambda: self._end_slice(task))

    def _end_slice(self, task: _Task) -> None:
        if task.is_half_done or not task.program.children:
            self._finish_task(task)
        else:
            task.is_half_done = True
            for child in task.program.children:
                number = next(self._numbers).to_bytes(kind.NUMBER_BYTES, "big")
                task.waits_for.add(number)
                self._sent[number] = task, child, Losses()
                self.send(kind.TASK + number, child)
            if task.program.cancels:
                self._cancelling = min(task.waits_for), task
                self.send(kind.CANCEL + self._cancelling[0] + b"0")
            else:
                self._computes = False
        self._look()

    def _finish_task(self, task: _Task) -> None:
        if self._checks.note_crash(task.program):
            self.die("exit status 1", running=task.key)
            return
        self._keys.remove(task.key)
        self._newest = b""
        self._has_asked = self.asks_always or not (self._ready or self._begun)
        answers = str(self._n_answers).encode() if self._has_asked else kind.BUSY
        self.send(kind.REPLY + task.key + answers, task.program.number)
        self._computes = False

    def take(self, head: bytes, frames: Sequence[Any]) -> None:
        """Handle a message."""
        message, rest = head[:2], head[2:]
        number, details = rest[: kind.NUMBER_BYTES], rest[kind.NUMBER_BYTES :]
        if message == kind.TASK:
            can_continue = bool(self._ready) or (self._computes and not self._cancelling)
            self._checks.require(
                self._has_asked and not can_continue, "asked-for", self.pid, "has other tasks"
            )
            self._has_asked = False
            self._keys.append(rest)
            self._newest = rest
            self._begun.append(_Task(rest, frames[0]))
        elif message == kind.INITIALIZE:
            self._computes = True
            self.later(0.01, self._end_initializer)
        elif message in (kind.REPLY, kind.LOST, kind.CANCELLED):
            self._n_answers += 1
            self._has_asked = False
            self._take_answer(message, number, details)

    def _take_answer(self, message: bytes, number: bytes, details: bytes) -> None:
        if message == kind.REPLY or (message == kind.CANCELLED and details == b"1"):
            self._settle(number)
        elif message == kind.LOST and number in self._sent:
            _, program, losses = self._sent[number]
            if losses.judge(as_lost(json.loads(details))) is None:
                self.send(kind.TASK + number, program)
            else:
                self._settle(number)
        if self._cancelling is not None:
            cancelled = self._cancelling[0]
            if cancelled not in self._sent or (message, number) == (kind.CANCELLED, cancelled):
                self._continue_after_cancel()

    def _continue_after_cancel(self) -> None:
        assert self._cancelling is not None
        task, self._cancelling, self._computes = self._cancelling[1], None, False
        if not task.waits_for:
            self._ready.append(task)

    def _settle(self, number: bytes) -> None:
        found = self._sent.pop(number, None)
        if found is None:
            return
        task = found[0]
        task.waits_for.discard(number)
        is_cancelling = self._cancelling is not None and self._cancelling[1] is task
        if not task.waits_for and not is_cancelling:
            self._ready.append(task)

    def _end_initializer(self) -> None:
        self._computes = False
        self._has_asked = True
        self.send(kind.INITIALIZED)
        self._look()
