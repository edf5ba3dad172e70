"""A worker for SCOOP programs: while a task waits for others, it runs another one.

Each task is a greenlet, and a child of the one that is called the hub here. A task that waits hands
over to the hub, which goes on with whichever can.
"""

from __future__ import annotations

import contextlib
import heapq
import io
import itertools
import json
import os
import random
import socket as sockets
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import greenlet
import numpy as np
import scoop
import zmq

from scoopsci.errors import EngineError
from scoopsci.pool import messages as kind
from scoopsci.pool.losses import Losses, as_lost
from scoopsci.programs.futures import Future
from scoopsci.programs.pickling import run_task, share_names
from scoopsci.programs.session import Arrivals, Session, do_nothing, open_session
from scoopsci.programs.stand_in import stand_in_for_scoop

__all__ = ["load_script", "work"]


def work(name: str, socket: str) -> None:
    """Take tasks until the process is ended; see `scoopsci.pool.worker.work`."""
    random.seed()
    np.random.seed()
    Hub(name.encode(), socket).run()


#: As good as for ever.
LONG_MS = 1e9

#: As everywhere, where nothing else is asked for.
POISON_AFTER = 3


class _Sent:
    """A task that this worker has sent."""

    def __init__(self, future: Future, frames: Sequence[Any]) -> None:
        self.future, self.frames = future, frames
        self.losses = Losses(POISON_AFTER)


class Hub(Session):
    """The session of a worker.

    Parameters
    ----------
    name : bytes
        Its name at the broker.
    socket : str
        Path of the broker's socket on this host.
    """

    #: What is looked for may need a moment of this very worker.
    glance_s = 0.001

    def __init__(self, name: bytes, socket: str) -> None:
        super().__init__()
        self._name = name
        self._socket = zmq.Context().socket(zmq.DEALER)
        self._socket.setsockopt(zmq.IDENTITY, name)
        self._socket.set_hwm(0)
        self._socket.connect(f"ipc://{socket}")
        # The socket is for one thread; others leave here what they print, and ring.
        self._said: deque[list[bytes]] = deque()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poller = zmq.Poller()
        for source in (self._socket, self._bell):
            self._poller.register(source, zmq.POLLIN)
        self._hub = greenlet.getcurrent()
        self._numbers = itertools.count()
        self._sent: dict[bytes, _Sent] = {}
        self._cancelled: dict[bytes, bool] = {}
        self._n_answers = 0
        self._has_asked = True
        self._begun: deque[Callable[[], None]] = deque()
        self._ready: deque[greenlet.greenlet] = deque()
        self._alarms: list[tuple[float, int, greenlet.greenlet]] = []

    @property
    def name(self) -> bytes:
        """The name of this process at the broker."""
        return self._name

    def run(self) -> None:
        """Take tasks until the process is ended."""
        self._socket.send(kind.REQUEST + str(os.getpid()).encode())
        while True:
            self._wake()
            if self._ready:
                self._ready.popleft().switch()
            elif self._begun:
                self._begun.popleft()()
            else:
                self._ask()
                self.take_in(self._alarms[0][0] - time.monotonic() if self._alarms else LONG_MS)

    def _wake(self) -> None:
        now = time.monotonic()
        while self._alarms and self._alarms[0][0] <= now:
            self._ready.append(heapq.heappop(self._alarms)[2])

    def _ask(self) -> None:
        if not self._has_asked:
            self._has_asked = True
            self._socket.send(kind.REQUEST + str(self._n_answers).encode())

    # --- what tasks ask for

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
        """Have something printed where the program runs; any thread may."""
        self._said.append([kind.OUTPUT + stream, data])
        if threading.get_ident() == self.place[1]:
            self._send_said()
        else:
            os.eventfd_write(self._bell, 1)

    def _send_said(self) -> None:
        while self._said:
            self._socket.send_multipart(self._said.popleft())

    def wait_a_while(self, arrivals: Arrivals, timeout_s: float) -> None:
        """Let other tasks run until a future has ended, or the time is over."""
        me = greenlet.getcurrent()
        if me.parent is not self._hub:
            raise EngineError("scoop.futures are used by the thread that runs the task alone")

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

    # --- what comes

    def take_in(self, timeout_s: float) -> None:
        """Deal with what has come, or with what comes first in some time."""
        ready = dict(self._poller.poll(int(max(0.0, min(1000 * timeout_s, LONG_MS)))))
        if self._bell in ready:
            os.eventfd_read(self._bell)
            self._send_said()
        while self._socket in ready and int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            head, *frames = self._socket.recv_multipart(copy=False)
            self._take(head.bytes[:2], head.bytes[2:], [frame.buffer for frame in frames])

    def _take(self, message: bytes, rest: bytes, frames: list[Any]) -> None:
        number, details = rest[: kind.NUMBER_BYTES], rest[kind.NUMBER_BYTES :]
        if message == kind.TASK:
            self._has_asked = False
            task = greenlet.greenlet(lambda: self._do(rest, frames), self._hub)
            self._begun.append(task.switch)
        elif message == kind.INITIALIZE:
            self._begun.append(lambda: self._initialize(frames))
        elif message == kind.VARIABLE:
            owner, name = rest[: kind.NAME_BYTES], rest[kind.NAME_BYTES :].decode()
            self.note_constant(name, owner, frames)
        elif message in (kind.REPLY, kind.LOST, kind.CANCELLED):
            self._n_answers += 1
            self._has_asked = False
            if message == kind.CANCELLED:
                self._cancelled[number] = details == b"1"
                if details == b"1":
                    del self._sent[number]
            elif message == kind.REPLY:
                self._settle(number, frames)
            else:
                self._lose(number, details)

    def _settle(
        self, number: bytes, frames: list[Any] | None, error: BaseException | None = None
    ) -> None:
        sent = self._sent.pop(number, None)
        if sent is None:
            return
        settle = partial(sent.future.settle, frames, error)
        if greenlet.getcurrent() is self._hub:  # a callback may wait, which the hub cannot
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
        _flush()
        self._send_said()
        # With others to go on with, a further task would only wait here.
        self._has_asked = not (self._ready or self._begun)
        head = kind.REPLY + key + (str(self._n_answers).encode() if self._has_asked else kind.BUSY)
        self._socket.send_multipart([head, *outcome], copy=False)

    def _initialize(self, frames: list[Any]) -> None:
        self._has_asked = True
        sys.stdout, sys.stderr = _Output.open(self, b"1"), _Output.open(self, b"2")
        outcome = run_task(frames)
        _flush()
        open_session(self)
        self._socket.send_multipart([kind.INITIALIZED, *outcome], copy=False)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # the program's own, or closed by it
            stream.flush()


class _Output(io.BufferedIOBase):
    """Sends what a task prints to the origin."""

    def __init__(self, hub: Hub, stream: bytes) -> None:
        self._hub, self._stream, self._pid = hub, stream, os.getpid()

    @classmethod
    def open(cls, hub: Hub, stream: bytes) -> io.TextIOWrapper:
        """Return a stream for text, which goes line by line."""
        output: Any = cls(hub, stream)
        return io.TextIOWrapper(output, "utf-8", errors="replace", line_buffering=True)

    def write(self, data: Any, /) -> int:
        data = bytes(data)
        if os.getpid() != self._pid:  # in a process that a task has forked, the socket is not ours
            os.write(int(self._stream), data)
        else:
            self._hub.say(self._stream, data)
        return len(data)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return int(self._stream)


def load_script(
    script: str,
    folder: str,
    arguments: Sequence[str],
    constants: Mapping[str, object],
    *,
    patience_s: float,
    nice: int,
    path: Sequence[str],
    log_level: str,
) -> list[str]:
    """Load the script in a worker, as SCOOP does.

    Parameters
    ----------
    script, folder : str
        The program, and where it runs.
    arguments : sequence of str
        For the program.
    constants : mapping
        What `scoop` is to tell the program.
    patience_s : float
        The folder may be on its way for so long.
    nice : int
        Of the process.
    path : sequence of str
        Where modules are looked for first.
    log_level : str
        Of `scoop.logger`.

    Returns
    -------
    list of str
        The names that the script defines.

    Raises
    ------
    FileNotFoundError
        If there is no such script here.
    """
    stand_in_for_scoop(is_origin=False, log_level=log_level)
    for name, value in constants.items():
        setattr(scoop, name, value)
    if nice:
        os.setpriority(os.PRIO_PROCESS, 0, nice)
    until_s = time.monotonic() + patience_s
    while not Path(folder).exists() and time.monotonic() < until_s:
        time.sleep(0.1)
    try:
        os.chdir(folder)
        script = str(Path(script).absolute())
        os.stat(script)
    except OSError as error:
        raise FileNotFoundError(
            f"{error.filename!r} is not on host {sockets.gethostname()} ({error.strerror}); copy "
            "it there, or have it copied by --stage"
        ) from None
    sys.path[:0] = path
    if path:
        known = [entry for entry in [os.environ.get("PYTHONPATH")] if entry]
        os.environ["PYTHONPATH"] = os.pathsep.join([*path, *known])
    sys.argv = [script, *arguments]
    sys.path.insert(0, str(Path(script).resolve().parent))
    loader = SourceFileLoader("SCOOP_WORKER", script)  # whatever the end of the script's name
    module = ModuleType(loader.name)
    module.__file__, module.__loader__ = script, loader
    sys.modules[loader.name] = module
    loader.exec_module(module)
    names = list(getattr(module, "__all__", None) or _public(module))
    vars(sys.modules["__main__"]).update({name: getattr(module, name) for name in names})
    share_names(names)
    return names


def _public(module: ModuleType) -> list[str]:
    return [name for name in vars(module) if not name.startswith("__")]
