"""The shell of a driver's machine, in a simulation, and the program that uses it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from scoopsci.errors import PoisonTaskError
from scoopsci.protocol import driving as on
from scoopsci.protocol import messages as kind
from scoopsci.protocol.driver import DriverMachine
from scoopsci.protocol.losses import Losses
from scoopsci.testing.simulation.checks import Checks
from scoopsci.testing.simulation.script import Program
from scoopsci.testing.simulation.world import Pipe, World

__all__ = ["SimulatedDriver"]

TICK_S = 1.0


class SimulatedDriver:
    """Performs the actions of a driver's machine.

    Parameters
    ----------
    world, checks
        See there.
    to_broker : Pipe
        Takes its messages.
    name : bytes
        Its name at the broker.

    Attributes
    ----------
    futures : dict
        The tasks that have not ended, by their numbers.
    """

    def __init__(self, world: World, checks: Checks, to_broker: Pipe, name: bytes) -> None:
        self._world, self._checks = world, checks
        self._to_broker = to_broker
        self._name = name
        self.machine = DriverMachine(world.now_s)
        self.futures: dict[bytes, Program] = {}
        self.errors: list[tuple[Program, Exception]] = []
        self.stopped: Exception | None = None
        self._unanswered: set[bytes] = set()
        self._at_broker: set[bytes] = set()
        self._n_numbers = 0
        self._is_connected = False
        self._unsent: list[Any] = []
        self._performers: dict[type[Any], Callable[[Any], None]] = {
            on.Send: self._send,
            on.Settle: lambda action: self._end(action.number, "result"),
            on.Fail: lambda action: self._fail(action.number, action.error),
            on.Cancelled: lambda action: self._cancel(action.number),
            on.Answered: lambda action: self._unanswered.discard(action.number),
            on.NoteHosts: lambda _: None,
            on.NoteStatus: lambda action: self._unanswered.discard(action.number),
            on.CheckSetup: lambda _: None,
            on.Hear: lambda _: None,
            on.Stop: self._stop,
        }

    @property
    def n_unanswered(self) -> int:
        """Number of questions that have not been answered."""
        return len(self._unanswered)

    def connect(self) -> None:
        """Send what has waited for the connection."""
        self._is_connected = True
        for message in self._unsent:
            self._to_broker.put(message)
        self._unsent.clear()
        self._tick()

    def handle(self, event: Any) -> None:
        """Let the machine handle an event, and perform its actions."""
        if self.stopped is not None:
            return
        self._world.counts["events", f"driver {type(event).__name__}"] += 1
        for action in self.machine.handle(self._world.now_s, event):
            self._performers[type(action)](action)

    def receive(self, message: tuple[bytes, Sequence[Any]]) -> None:
        """Take a message of the broker."""
        if message[0][:2] == kind.LOST:
            self._at_broker.discard(message[0][2 : 2 + kind.NUMBER_BYTES])
        self.handle(on.Message(*message))

    def _tick(self) -> None:
        self.handle(on.Tick())
        self._world.after(TICK_S, self._tick)

    # --- the program

    def _make_number(self) -> bytes:
        self._n_numbers += 1
        return self._n_numbers.to_bytes(kind.NUMBER_BYTES, "big")

    def submit(self, program: Program, timeout_s: float | None = None) -> None:
        """Submit a task."""
        if self.stopped is not None:
            return
        number = self._make_number()
        self.futures[number] = program
        self.handle(on.Submit(number, [program], timeout_s, Losses().judge))

    def cancel(self, index: int, *, kill: bool) -> None:
        """Cancel one of the tasks that have not ended, if there is one."""
        if self.futures and self.stopped is None:
            number = list(self.futures)[index % len(self.futures)]
            self._unanswered.add(number)
            self.handle(on.TakeBack(number, kill))

    def ask_status(self) -> None:
        """Ask for the status of the pool."""
        if self.stopped is None:
            number = self._make_number()
            self._unanswered.add(number)
            self.handle(on.Post(kind.STATUS + number))

    # --- actions

    def _send(self, action: on.Send) -> None:
        if action.head[:2] == kind.TASK:
            self._at_broker.add(action.head[2 : 2 + kind.NUMBER_BYTES])
        message = (self._name, action.head, action.frames)
        if self._is_connected:
            self._to_broker.put(message)
        else:
            self._unsent.append(message)

    def _end(self, number: bytes, outcome: str) -> None:
        self._checks.note_outcome(number, outcome)
        self._world.note("future", number.hex()[-4:], "ends:", outcome)
        self._world.counts["outcomes", outcome] += 1
        del self.futures[number]

    def _cancel(self, number: bytes) -> None:
        if number in self._at_broker:
            self._checks.check_cancelled(number)
        self._end(number, "cancelled")

    def _fail(self, number: bytes, error: Exception) -> None:
        program = self.futures[number]
        self.errors.append((program, error))
        if isinstance(error, PoisonTaskError):
            self._checks.check_poison(number, program)
        self._end(number, type(error).__name__)

    def _stop(self, action: on.Stop) -> None:
        self._world.note("the pool has failed:", action.error)
        self.stopped = action.error
        for number in list(self.futures):
            self._end(number, "pool failed")
        self._unanswered.clear()
