"""What must hold at every step of a simulation, checked against what has really happened."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scoopsci.protocol import messages as kind
from scoopsci.protocol.losses import POISON_AFTER

if TYPE_CHECKING:
    from scoopsci.testing.simulation.script import Program
    from scoopsci.testing.simulation.workers import SimulatedWorker
    from scoopsci.testing.simulation.world import World

__all__ = ["DRIVER", "Checks", "ViolationError"]

#: The driver's name at the broker.
DRIVER = b"d" * kind.NAME_BYTES


class ViolationError(AssertionError):
    """Something that must hold does not.

    Parameters
    ----------
    rule : str
        Which of the invariants.
    details : str
        What has happened.
    """

    def __init__(self, rule: str, details: str) -> None:
        super().__init__(f"{rule}: {details}")
        self.rule = rule


class Checks:
    """The truth about tasks and workers, and the rules that it must keep.

    Parameters
    ----------
    world : World
        Its clock.

    Attributes
    ----------
    faulty : set of int
        Numbers of the hosts that have had a fault.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._holders: dict[bytes, SimulatedWorker] = {}
        self._n_crashes: Counter[int] = Counter()
        self._crashed: dict[bytes, bytes | None] = {}
        self._blamed: Counter[bytes] = Counter()
        self._outcomes: dict[bytes, str] = {}
        self._cancelled: set[bytes] = set()
        self._doubted: set[bytes] = set()
        self.faulty: set[int] = set()

    def require(self, condition: object, rule: str, *details: object) -> None:
        """Fail unless something holds."""
        if not condition:
            raise ViolationError(rule, " ".join(map(str, details)))

    # --- workers

    def note_crash(self, program: Program) -> bool:
        """Tell whether a task ends its worker this time, and count it."""
        if self._n_crashes[program.number] >= program.n_crashes:
            return False
        self._n_crashes[program.number] += 1
        return True

    def note_end(self, worker: SimulatedWorker, running: bytes | None) -> None:
        """Record which task has ended its worker, if one has."""
        self._crashed[worker.name] = running

    # --- the broker's messages

    def check_task(self, worker: SimulatedWorker | None, key: bytes, believed: Any) -> None:
        """Check a task that is being given to a worker."""
        self.require(key not in self._holders, "one-worker", key.hex(), "is given twice")
        sender = key[: kind.NAME_BYTES]
        self.require(sender == DRIVER or sender in believed, "no-orphan-task", key.hex())
        self._cancelled.discard(key)
        if worker is not None:
            self._holders[key] = worker
        if self._blamed[key]:
            free = [w for w in believed.values() if w.ready and not (w.tasks or w.doomed)
                    and not w.retires and w.stopped_s is None]  # fmt: skip
            company = believed[worker.name].tasks - {key} if worker is not None else ()
            self.require(
                not (company and free), "suspects-alone", key.hex(), "gets company at a worker"
            )

    def note_undelivered(self, key: bytes) -> None:
        """Record that a task could not be given."""
        self._holders.pop(key, None)

    def check_reply(self, key: bytes, peer: bytes) -> None:
        """Check the outcome of a task, which a peer has sent, on its way to the sender."""
        worker = self._holders.pop(key, None)
        self.require(worker is not None, "one-result", key.hex(), "has a result of nobody")
        assert worker is not None
        self.require(worker.name == peer, "one-result", key.hex(), "has been given to another")

    def check_lost(self, key: bytes, facts: Mapping[str, Any]) -> None:
        """Check that a loss is true, and that its blame is."""
        worker = self._holders.pop(key, None)
        self.require(worker is not None, "true-loss", key.hex(), "was lost by nobody")
        assert worker is not None
        self.require(facts["pid"] == worker.pid, "true-loss", "process", facts["pid"])
        if facts["blame"]:
            self._blamed[key] += 1
        # The agent's line may overtake the worker's last messages.
        if worker.unheard:
            self._doubted.add(key)
        if facts["why"] == "timeout" or worker.unheard:
            return
        if facts["blame"]:
            self.require(
                self._crashed.get(worker.name) == key, "true-blame", key.hex(), facts["why"]
            )
        elif self._crashed.get(worker.name) == key and facts["why"].startswith("ended with"):
            self.require(facts["blame"], "no-excuse", key.hex(), "has ended its worker")

    def note_cancelled(self, key: bytes) -> None:
        """Record that a task has been cancelled."""
        self._holders.pop(key, None)
        self._cancelled.add(key)

    def forget_all(self) -> None:
        """Forget all tasks, which have been given up."""
        self._holders.clear()

    def check_hosts(self, rest: bytes) -> None:
        """Check that every worker that is ready has a process."""
        for host in json.loads(rest):
            self.require(None not in host["workers"], "known-process", host["name"])

    # --- the driver's futures

    def check_poison(self, number: bytes, program: Program) -> None:
        """Check that a task, or one that it waits for, has ended as many workers as are allowed."""
        is_true = any(task.n_crashes >= POISON_AFTER for task in program.walk())
        is_doubted = DRIVER + number in self._doubted
        self.require(is_true or is_doubted, "true-poison", number.hex())

    def check_cancelled(self, number: bytes) -> None:
        """Check that a task which the broker has had really has been cancelled."""
        self.require(DRIVER + number in self._cancelled, "true-cancel", number.hex())

    def note_outcome(self, number: bytes, outcome: str) -> None:
        """Record how a future has ended: once only."""
        before = self._outcomes.get(number)
        self.require(before is None, "ends-once", number.hex(), before, "then", outcome)
        self._outcomes[number] = outcome

    def check_message(self, head: bytes, worker: SimulatedWorker | None, believed: Any) -> None:
        """Check a message that the broker sends to the sender of a task, or to a worker."""
        message = head[:2]
        if message == kind.TASK:
            self.check_task(worker, head[2:], believed)
        elif message == kind.HOSTS:
            self.check_hosts(head[2:])
        elif message == kind.LONELY:
            self.require(self.faulty, "lonely-for-a-reason", "no host has had a fault")
            self.forget_all()
