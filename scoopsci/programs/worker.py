"""A worker for SCOOP programs: while a task waits for others, it runs another one.

Each task is a greenlet, a child of the greenlet called the hub here. A waiting task switches to the
hub, which continues with any task that is ready.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import json
import os
import random
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextvars import copy_context
from functools import partial
from typing import Any

import greenlet
import numpy as np
import zmq

from scoopsci.engines.threads import limit_libraries_to_come
from scoopsci.errors import EngineError
from scoopsci.pool.leash import Leash
from scoopsci.programs.futures import Future
from scoopsci.programs.pickling import run_task
from scoopsci.programs.printing import open_output
from scoopsci.programs.session import Arrivals, Session, do_nothing, open_session
from scoopsci.protocol import messages as kind
from scoopsci.protocol.losses import Losses, as_lost

__all__ = ["work"]


def work(name: str, socket: str, leash: Leash) -> None:
    """Process tasks until the agent lets go of the worker; see `scoopsci.pool.worker.work`."""
    random.seed()
    np.random.seed()
    limit_libraries_to_come()
    Hub(name.encode(), socket, leash).run()
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__


#: In effect, no timeout.
LONG_MS = 1e9


class _Sent:
    """A task submitted by this worker."""

    def __init__(self, future: Future, frames: Sequence[Any]) -> None:
        self.future, self.frames = future, frames
        self.losses = Losses()


class Hub(Session[Future]):
    """The session of a worker.

    Parameters
    ----------
    name : bytes
        Its name at the broker.
    socket : str
        Path of the broker's socket on this host.
    leash : Leash
        The agent's.
    """

    #: What is waited for may need some time of this very worker.
    glance_s = 0.001

    def __init__(self, name: bytes, socket: str, leash: Leash) -> None:
        super().__init__()
        self._leash, self._is_over = leash, False
        self._name = name
        self._socket = zmq.Context().socket(zmq.DEALER)
        self._socket.setsockopt(zmq.IDENTITY, name)
        self._socket.set_hwm(0)
        self._socket.connect(f"ipc://{socket}")
        # The socket belongs to one thread; others queue their output here, and wake it.
        self._output: deque[list[bytes]] = deque()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poller = zmq.Poller()
        for source in (self._socket, self._bell, leash.fileno()):
            self._poller.register(source, zmq.POLLIN)
        self._hub = greenlet.getcurrent()
        self._numbers = itertools.count()
        self._sent: dict[bytes, _Sent] = {}
        self._cancelled: dict[bytes, bool] = {}
        self._n_answers = 0
        self._has_asked = True
        self._begun: deque[greenlet.greenlet] = deque()
        self._ready: deque[greenlet.greenlet] = deque()
        self._context = copy_context()
        self._keys: dict[greenlet.greenlet, bytes] = {}
        self._newest = b""
        self._alarms: list[tuple[float, int, greenlet.greenlet]] = []

    @property
    def name(self) -> bytes:
        """The name of this process at the broker."""
        return self._name

    def run(self) -> None:
        """Process tasks until the agent lets go of the worker."""
        self._socket.send(kind.REQUEST + str(os.getpid()).encode())
        while not self._is_over:
            self._wake()
            self._leash.mark(busy=bool(self._keys))
            if self._ready or self._begun:
                self._go_on((self._ready or self._begun).popleft())
            else:
                self._ask()
                self.take_in(self._alarms[0][0] - time.monotonic() if self._alarms else LONG_MS)

    def _go_on(self, task: greenlet.greenlet) -> None:
        key = self._keys.get(task, self._newest)
        if (
            len(self._keys) > 1 and key != self._newest
        ):  # if this process ends, this task is to blame
            self._socket.send(kind.RUNS + key)
            self._newest = key
        task.switch()

    def _wake(self) -> None:
        now = time.monotonic()
        while self._alarms and self._alarms[0][0] <= now:
            self._ready.append(heapq.heappop(self._alarms)[2])

    def _ask(self) -> None:
        if not self._has_asked:
            self._has_asked = True
            self._socket.send(kind.REQUEST + str(self._n_answers).encode())

    # --- calls from tasks

    def send(self, future: Future, frames: Sequence[Any]) -> None:
        """Send a task; its outcome settles the future."""
        number = next(self._numbers).to_bytes(kind.NUMBER_BYTES, "big")
        future.ticket = number
        self._sent[number] = _Sent(future, frames)
        self._socket.send_multipart([kind.TASK + number, *frames], copy=False)

    def cancel(self, future: Future) -> bool:
        """Take a task back that has not started, and tell whether that was possible."""
        number: bytes = future.ticket
        if number not in self._sent:
            return False
        self._socket.send(kind.CANCEL + number + b"0")
        while number not in self._cancelled and number in self._sent:
            self.take_in(1.0)
        return self._cancelled.pop(number, False)

    def set_constant(self, name: str, frames: Sequence[Any]) -> None:
        """Name a value for all processes."""
        self._socket.send_multipart([kind.SET + name.encode(), *frames], copy=False)

    def say(self, stream: bytes, data: bytes) -> None:
        """Print something where the program runs; can be called from any thread."""
        self._output.append([kind.OUTPUT + stream, data])
        if threading.get_ident() == self.place[1]:
            self._send_output()
        else:
            os.eventfd_write(self._bell, 1)

    def _send_output(self) -> None:
        while self._output:
            self._socket.send_multipart(self._output.popleft())

    def wait_a_while(self, arrivals: Arrivals[Future], timeout_s: float) -> None:
        """Let other tasks run until a future has ended, or the time has expired."""
        me = greenlet.getcurrent()
        if me.parent is not self._hub:
            raise EngineError("scoop.futures must be used only by the thread that runs the task")

        def wake() -> None:
            arrivals.wake = do_nothing
            self._ready.append(me)

        arrivals.wake = wake
        if timeout_s < float("inf"):
            alarm = time.monotonic() + timeout_s, id(arrivals), me
            heapq.heappush(self._alarms, alarm)
        self._hub.switch()
        arrivals.wake = do_nothing
        if timeout_s < float("inf") and alarm in self._alarms:
            self._alarms.remove(alarm)
            heapq.heapify(self._alarms)

    # --- messages

    def take_in(self, timeout_s: float) -> None:
        """Process what has arrived, or else wait some time for something to arrive."""
        ready = dict(self._poller.poll(int(max(0.0, min(1000 * timeout_s, LONG_MS)))))
        self._is_over = self._is_over or self._leash.fileno() in ready
        if self._bell in ready:
            os.eventfd_read(self._bell)
            self._send_output()
        while self._socket in ready and int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            head, *frames = self._socket.recv_multipart(copy=False)
            self._take(head.bytes[:2], head.bytes[2:], [frame.buffer for frame in frames])

    def _take(self, message: bytes, rest: bytes, frames: list[Any]) -> None:
        number, details = rest[: kind.NUMBER_BYTES], rest[kind.NUMBER_BYTES :]
        if message == kind.TASK:
            self._has_asked = False
            task = greenlet.greenlet(partial(self._do, rest, frames), self._hub)
            task.gr_context = self._context.copy()  # it would have none of what the script has set
            self._keys[task] = self._newest = rest
            self._begun.append(task)
        elif message == kind.INITIALIZE:
            task = greenlet.greenlet(partial(self._initialize, frames), self._hub)
            self._begun.append(task)
        elif message == kind.VARIABLE:
            owner, name = rest[: kind.NAME_BYTES], rest[kind.NAME_BYTES :].decode()
            self.note_constant(name, owner, frames)
        elif message in (kind.REPLY, kind.LOST, kind.CANCELLED):
            self._n_answers += 1
            self._has_asked = False
            if message == kind.CANCELLED and number in self._sent:
                self._cancelled[number] = details == b"1"
                if details == b"1":
                    del self._sent[number]
            elif message == kind.REPLY:
                self._settle(number, frames)
            elif message == kind.LOST:
                self._lose(number, details)

    def _settle(
        self, number: bytes, frames: list[Any] | None, error: BaseException | None = None
    ) -> None:
        sent = self._sent.pop(number, None)
        if sent is None:
            return
        settle = partial(sent.future.settle, frames, error)
        if greenlet.getcurrent() is self._hub:  # a callback may wait, and the hub cannot
            settle = greenlet.greenlet(settle, self._hub).switch
        settle()

    def _lose(self, number: bytes, details: bytes) -> None:
        sent = self._sent.get(number)
        if sent is None:
            return
        error = sent.losses.judge(as_lost(json.loads(details)))
        if error is None:
            self._socket.send_multipart([kind.TASK + number, *sent.frames], copy=False)
        else:
            self._settle(number, None, error)

    def _do(self, key: bytes, frames: list[Any]) -> None:
        outcome = run_task(frames)
        del self._keys[greenlet.getcurrent()]
        self._newest = b""
        _flush()
        self._send_output()
        # While others can continue, a further task would only wait here.
        self._has_asked = not (self._ready or self._begun)
        head = kind.REPLY + key + (str(self._n_answers).encode() if self._has_asked else kind.BUSY)
        self._socket.send_multipart([head, *outcome], copy=False)

    def _initialize(self, frames: list[Any]) -> None:
        self._has_asked = True
        sys.stdout, sys.stderr = open_output(self.say, b"1"), open_output(self.say, b"2")
        outcome = run_task(frames, lasts=True)
        self._context = copy_context()
        _flush()
        open_session(self)
        self._socket.send_multipart([kind.INITIALIZED, *outcome], copy=False)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # replaced or closed by the program
            stream.flush()
