"""The driver's machine: which tasks are sent, sent again, and how each of them ends.

Its events and actions are those of `scoopsci.protocol.driving`.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scoopsci.errors import EngineError, EngineTimeoutError
from scoopsci.protocol import driving as on
from scoopsci.protocol import messages as kind
from scoopsci.protocol.losses import as_lost
from scoopsci.protocol.machine import Machine

__all__ = ["BROKER_SILENCE_S", "TICK_S", "DriverMachine"]

TICK_S = 1.0

#: A broker that does not answer is considered dead after this many seconds.
BROKER_SILENCE_S = 15.0

#: Tasks at the broker per worker: one that runs, and one to follow without delay.
N_AHEAD = 2


@dataclass
class _Call:
    frames: Sequence[Any]
    timeout_s: float | None
    judge: on.Judge | None


class DriverMachine(Machine):
    """The rules of a driver.

    A task that is lost with its worker ends with a `WorkerLostError`, unless its judge has it
    resubmitted.

    Parameters
    ----------
    now_s : float
        When it begins.

    Attributes
    ----------
    n_repeated : int
        Number of tasks that it has resubmitted.
    """

    def __init__(self, now_s: float) -> None:
        super().__init__()
        # Taking the first one from a plain dict takes longer the more have been taken.
        self._waiting: OrderedDict[bytes, _Call] = OrderedDict()
        self._sent: dict[bytes, _Call] = {}
        self._most_sent = N_AHEAD
        self._heard_s = self._asked_s = now_s
        self.n_repeated = 0
        self._handlers = {
            on.Submit: self._on_submit,
            on.TakeBack: self._on_take_back,
            on.Post: lambda event: self.act(on.Send(*event)),
            on.Message: self._on_message,
            on.BrokerEnded: self._on_broker_ended,
            on.Tick: lambda _: self._look_after_broker(),
        }
        self._readers: dict[bytes, Callable[[bytes, Sequence[Any]], None]] = {
            kind.REPLY: self._on_reply,
            kind.LOST: self._on_lost,
            kind.CANCELLED: self._on_cancelled,
            kind.HOSTS: self._on_hosts,
            kind.STATUS: self._on_status,
            kind.INITIALIZED: lambda _, frames: self.act(on.CheckSetup(frames)),
            kind.FAILED: lambda why, _: self.act(on.Stop(EngineError(why.decode()))),
            kind.LONELY: lambda *_: self._fail_all(),
        }

    @property
    def waiting(self) -> Collection[bytes]:
        """The numbers of the tasks that have not been sent."""
        return self._waiting.keys()

    @property
    def sent(self) -> Collection[bytes]:
        """The numbers of the tasks that the broker has."""
        return self._sent.keys()

    # --- what the program does

    def _on_submit(self, event: on.Submit) -> None:
        self._waiting[event.number] = _Call(event.frames, event.timeout_s, event.judge)
        self._send_waiting()

    def _send_waiting(self) -> None:
        while self._waiting and len(self._sent) < self._most_sent:
            number, call = self._waiting.popitem(last=False)
            self._sent[number] = call
            timeout = b"" if call.timeout_s is None else str(call.timeout_s).encode()
            self.act(on.Send(kind.TASK + number + timeout, call.frames))
            if call.judge is None:
                call.frames = ()

    def _on_take_back(self, event: on.TakeBack) -> None:
        if self._waiting.pop(event.number, None) is not None:
            self.act(on.Cancelled(event.number))
            self.act(on.Answered(event.number))
        elif event.asks_broker:
            self.act(on.Send(kind.CANCEL + event.number + (b"1" if event.kill else b"0"), ()))

    # --- what the broker says

    def _on_message(self, message: on.Message) -> None:
        self._heard_s = self.now_s
        reader = self._readers.get(message.head[:2])
        if reader is None:
            self.act(on.Hear(*message))
        else:
            reader(message.head[2:], message.frames)
            self._send_waiting()

    def _on_reply(self, number: bytes, frames: Sequence[Any]) -> None:
        if self._sent.pop(number, None) is not None:
            self.act(on.Settle(number, frames))

    def _on_lost(self, rest: bytes, _: Sequence[Any]) -> None:
        number, facts = rest[: kind.NUMBER_BYTES], json.loads(rest[kind.NUMBER_BYTES :])
        call = self._sent.pop(number, None)
        if call is None:
            return
        verdict = _judge(call, facts)
        if verdict is None:
            self.n_repeated += 1
            self._waiting[number] = call
            self._waiting.move_to_end(number, last=False)
        else:
            self.act(on.Fail(number, verdict))

    def _on_cancelled(self, rest: bytes, _: Sequence[Any]) -> None:
        number, taken = rest[: kind.NUMBER_BYTES], rest[kind.NUMBER_BYTES :] == b"1"
        if taken and self._sent.pop(number, None) is not None:
            self.act(on.Cancelled(number))
        self.act(on.Answered(number))

    def _on_hosts(self, rest: bytes, _: Sequence[Any]) -> None:
        hosts = json.loads(rest)
        self._most_sent = N_AHEAD * max(1, sum(host["n_wanted"] or 0 for host in hosts))
        self.act(on.NoteHosts(hosts))

    def _on_status(self, rest: bytes, _: Sequence[Any]) -> None:
        number, status = rest[: kind.NUMBER_BYTES], json.loads(rest[kind.NUMBER_BYTES :])
        self.act(on.NoteStatus(number, status))

    def _fail_all(self) -> None:
        numbers = [*self._sent, *self._waiting]
        self._sent.clear()
        self._waiting.clear()
        error = EngineError("the pool has had no worker for too long; see its hosts")
        for number in numbers:
            self.act(on.Fail(number, error))

    # --- time

    def _look_after_broker(self) -> None:
        if self.now_s - self._asked_s <= TICK_S:
            return
        silent_s = self.now_s - self._heard_s
        if self._asked_s > self._heard_s and silent_s > BROKER_SILENCE_S:
            self.act(
                on.Stop(
                    EngineError(
                        f"the broker of the pool has not answered for {BROKER_SILENCE_S:g} s; "
                        "open a new pool"
                    )
                )
            )
        self._asked_s = self.now_s
        self.act(on.Send(kind.PING, ()))

    def _on_broker_ended(self, event: on.BrokerEnded) -> None:
        message = f"the broker of the pool ended with status {event.status}; open a new pool"
        self.act(on.Stop(EngineError(message)))


def _judge(call: _Call, facts: Mapping[str, Any]) -> Exception | None:
    if facts["why"] == "timeout":
        return EngineTimeoutError(
            f"a task took longer than its timeout of {call.timeout_s:g} s, and worker "
            f"{facts['pid']} on host {facts['host']} was ended; allow it more time"
        )
    lost = as_lost(facts)
    return lost if call.judge is None else call.judge(lost)
