"""Workers, which run one task after another."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from scoopsci.protocol import messages as kind
from scoopsci.testing.simulation.checks import Checks
from scoopsci.testing.simulation.script import Program
from scoopsci.testing.simulation.world import Pipe, World, name_message

__all__ = ["SimulatedWorker"]


class SimulatedWorker:
    """A worker that runs one task after another, as `scoopsci.pool.worker` does.

    Parameters
    ----------
    world, checks
        See there.
    name : bytes
        Its name at the broker.
    pid : int
        Its process.
    to_broker : Pipe
        Takes its messages, as heads and frames.
    end : callable
        ``end(how, own_doing)`` tells its agent that it has ended.

    Attributes
    ----------
    unheard : deque of bytes
        Kinds of the messages that are on their way to the broker.
    """

    def __init__(
        self,
        world: World,
        checks: Checks,
        name: bytes,
        pid: int,
        to_broker: Pipe,
        end: Callable[[str, bool], None],
    ) -> None:
        self._world = world
        self._checks = checks
        self.name = name
        self.pid = pid
        self._to_broker = to_broker
        self._end = end
        self._inbox: deque[tuple[bytes, Sequence[Any]]] = deque()
        self._postponed: list[Callable[[], None]] = []
        self.unheard: deque[bytes] = deque()
        self.is_alive, self.is_stopped, self.is_let_go = True, False, False
        self._has_asked = True
        self._is_late = False
        self.late_s = 0.0

    @property
    def is_busy(self) -> bool:
        """Whether it runs a task."""
        return not self._has_asked

    @property
    def is_at_rest(self) -> bool:
        """Whether it waits for a task, and the broker knows, or it does not go on."""
        waits = self._has_asked and not (self.is_busy or self._is_late or self.unheard)
        return waits or self.is_stopped

    def start(self) -> None:
        """Ask for a task."""
        self.send(kind.REQUEST + str(self.pid).encode())

    def send(self, head: bytes, *frames: Any) -> None:
        """Send a message to the broker."""
        self._world.note("worker", self.pid, "sends", name_message(head))
        self.unheard.append(head[:2])
        self._to_broker.put((self.name, head, frames))

    def later(self, delay_s: float, call: Callable[[], None]) -> None:
        """Do something later, if it lives then; when it is stopped, once it continues."""

        def do() -> None:
            if self.is_stopped:
                self._postponed.append(do)
            elif self.is_alive:
                call()

        self._world.after(delay_s, do)

    def receive(self, message: tuple[bytes, Sequence[Any]]) -> None:
        """Take a message from the broker."""
        self._inbox.append(message)
        self._look()

    def _look(self) -> None:
        while self._inbox and self.is_alive and not self.is_stopped:
            self.take(*self._inbox.popleft())

    def take(self, head: bytes, frames: Sequence[Any]) -> None:
        """Handle a message."""
        message, rest = head[:2], head[2:]
        if message == kind.TASK:
            self._checks.require(self._has_asked, "asked-for", self.pid, "is given a second task")
            self._has_asked = False
            program: Program = frames[0]
            if program.fetches:
                self.send(kind.FETCH + b"data")
            self.later(program.duration_s, lambda: self._finish(rest, program))
        elif message == kind.INITIALIZE:
            self.later(0.01, lambda: self.send(kind.INITIALIZED))

    def _finish(self, key: bytes, program: Program) -> None:
        if self._checks.note_crash(program):
            self.die("exit status 1", running=key)
            return
        self._has_asked = True
        self._is_late = self.late_s > 0.0
        self.later(self.late_s, lambda: self._reply(key, program))
        self.late_s = 0.0

    def _reply(self, key: bytes, program: Program) -> None:
        self._is_late = False
        self.send(kind.REPLY + key + b"0", program.number)

    # --- its end

    def die(self, how: str, *, running: bytes | None = None) -> None:
        """End it, by the doing of a task that runs, or from outside."""
        if not self.is_alive:
            return
        self.is_alive = False
        self._checks.note_end(self, running)
        self._world.note("worker", self.pid, "ends:", how)
        self._to_broker.put((self.name, None, ()))
        self._end(how, running is not None)

    def let_go(self) -> bool:
        """Ask it to end, and return whether it can."""
        if self.is_busy:
            return False
        self.later(0.01, lambda: self.die("exit status 0"))
        return True

    def stop(self) -> None:
        """Stop it by a signal."""
        self.is_stopped = True

    def go_on(self) -> None:
        """Let it continue."""
        self.is_stopped = False
        postponed, self._postponed = self._postponed, []
        for do in postponed:
            do()
        self._look()
