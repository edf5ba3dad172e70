"""The driver's side of a pool: submits frames to the broker, and collects outcomes in a thread.

What is sent when, and how tasks end, is decided by `scoopsci.protocol.driver`.
"""

from __future__ import annotations

import itertools
import json
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, wait
from contextlib import suppress
from typing import Any

import numpy.typing as npt
import zmq

from scoopsci.errors import EngineError, EngineTimeoutError
from scoopsci.pool.broadcast import Broadcast
from scoopsci.pool.brokerprocess import BrokerProcess, name_folder
from scoopsci.pool.lifetime import check_owner
from scoopsci.pool.poolfuture import PoolFuture
from scoopsci.pool.trace import RECORD_VARIABLE, Handle, Recorder, create_trace
from scoopsci.protocol import driving as on
from scoopsci.protocol import messages as kind
from scoopsci.protocol.beliefs import describe_driver
from scoopsci.protocol.driver import BROKER_SILENCE_S, TICK_S, DriverMachine

__all__ = ["PoolDriver"]


class PoolDriver(Executor):
    """An executor on the workers of a pool, whose broker it starts.

    A task that is lost with its worker ends with a `WorkerLostError`, unless it has a judge that
    has it resubmitted.

    Parameters
    ----------
    config : dict
        For `scoopsci.pool.broker.PoolBroker`, except ``folder`` and ``driver``.
    setup : sequence of buffer, optional
        Frames for each worker to run before its first task.
    check_setup : callable
        Gets the frames of their outcome, and raises an `EngineError` if that is a failure.
    hear : callable, optional
        ``hear(kind, rest, frames)`` gets the messages that this class does not handle.

    Attributes
    ----------
    hosts : list of dict
        Their state, as last reported by the broker.
    name : bytes
        Its name at the broker.
    """

    def __init__(
        self,
        config: dict[str, Any],
        setup: Sequence[Any] | None,
        check_setup: Callable[[Sequence[Any]], None],
        hear: Callable[[bytes, bytes, Sequence[Any]], None] | None = None,
    ) -> None:
        self.hosts: list[dict[str, Any]] = []
        self.name = secrets.token_hex(16).encode()
        self._folder = name_folder()
        self._is_local = all(host["place"]["destination"] is None for host in config["hosts"])
        for number, host in enumerate(config["hosts"]):
            host["place"]["own_control"] = f"{self._folder}/ssh{number}"
        self._check_setup = check_setup
        self._hear = hear
        self._answers: dict[bytes, threading.Event] = {}
        self._asked: dict[bytes, Future[dict[str, Any]]] = {}
        self._numbers = itertools.count()
        # Acquired directly where Ctrl-C may arrive: it can leave a condition locked.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._machine = DriverMachine(begun_s := time.monotonic())
        self._handle_one: Handle = self._machine.handle
        record = config.get("record") or os.environ.get(RECORD_VARIABLE)
        self._trace = create_trace(record) if record else None
        self._recorder: Recorder | None = None
        if self._trace is not None:
            made_from = {"begun_s": begun_s, "poison_after": config["poison_after"]}
            self._recorder = Recorder(self._trace, "driver", made_from)
            self._handle_one = self._recorder.recording(self._machine.handle)
        self._futures: dict[bytes, PoolFuture] = {}
        self._closing = self._is_shut_down = False
        self._failure: EngineError | None = None
        # Ctrl-C may interrupt the main thread anywhere: it leaves events for our thread.
        self._events: deque[Any] = deque()
        if setup is not None:
            self._events.append(on.Post(kind.INITIALIZE, setup))
        self._next_tick_s = 0.0
        self._is_woken = False
        self._wake_read, self._wake_write = os.pipe()
        for descriptor in (self._wake_read, self._wake_write):
            os.set_blocking(descriptor, False)
        self._pid = os.getpid()
        self._performers: dict[type[Any], Callable[[Any], None]] = {
            on.Send: self._send,
            on.Settle: self._settle,
            on.Fail: self._fail,
            on.Cancelled: self._settle_cancelled,
            on.Answered: self._note_answer,
            on.NoteHosts: self._note_hosts,
            on.NoteStatus: self._note_status,
            on.CheckSetup: lambda setup: self._check_setup(setup.frames),
            on.Hear: self._pass_on,
            on.Stop: self._stop,
        }
        own = {
            "folder": self._folder,
            "driver": self.name.decode(),
            "driver_pid": self._pid,
            "record": self._trace,
        }
        self._broker = BrokerProcess({**config, **own})
        self._thread = threading.Thread(target=self._run, daemon=True, name="pool-driver")
        self._thread.start()

    def broadcast(self, array: npt.ArrayLike) -> Broadcast:
        """Make an array available to all workers; see `Broadcast`."""
        self.check_owner()
        return Broadcast.write(array, self._folder)

    @property
    def n_workers(self) -> int:
        """Number of workers wanted."""
        return sum(host["n_wanted"] or 0 for host in self.hosts)

    def status(self, timeout_s: float = 2.0) -> dict[str, Any]:
        """Ask the broker for the status of the pool, from any thread except the driver's own.

        Parameters
        ----------
        timeout_s : float
            Seconds to wait for the answer.

        Returns
        -------
        dict
            See `scoopsci.Pool.status`.

        Raises
        ------
        EngineTimeoutError
            If the broker does not answer in time.
        EngineError, RuntimeError
            If the pool has failed, or has been shut down.
        """
        self.check_owner()
        if threading.current_thread() is self._thread:
            raise RuntimeError("a callback of a pool's future cannot wait for the pool's status")
        number = next(self._numbers).to_bytes(kind.NUMBER_BYTES, "big")
        answer: Future[dict[str, Any]] = Future()
        with self._lock:
            self.check_open()
            self._asked[number] = answer
            self._post(on.Post(kind.STATUS + number))
        try:
            found = answer.result(timeout_s)
        except TimeoutError:
            raise EngineTimeoutError(
                f"the broker of the pool has not answered within {timeout_s:g} s; ask again"
            ) from None
        finally:
            self._asked.pop(number, None)
        found["tasks"]["waiting"] += len(self._machine.waiting)
        found["tasks"]["repeated"] = self._machine.n_repeated
        return found

    def wait_until_ready(self, timeout_s: float) -> None:
        """Wait for all workers.

        Parameters
        ----------
        timeout_s : float
            Seconds to wait.

        Raises
        ------
        EngineError
            If a host or its workers do not start.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._failure or self._is_ready(), timeout_s)
            if self._failure:
                raise self._failure
            if not self._is_ready():
                late = [host["name"] for host in self.hosts if not _is_complete(host)]
                raise EngineTimeoutError(
                    f"workers on {', '.join(late) or 'all hosts'} were not ready within "
                    f"{timeout_s:g} s; allow more time by start_timeout="
                )

    def _is_ready(self) -> bool:
        return bool(self.hosts) and all(map(_is_complete, self.hosts))

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> PoolFuture:
        """Send the arguments to the function that the workers run, which is `fn`; see `send`."""
        return self.send(*args, **kwargs)

    def send(
        self,
        frames: Sequence[Any],
        *,
        timeout: float | None = None,
        judge: on.Judge | None = None,
    ) -> PoolFuture:
        """Send a task.

        Parameters
        ----------
        frames : sequence of buffer
            For the function that the workers run.
        timeout : float, optional
            Seconds after which the worker that runs it is ended.
        judge : callable, optional
            See `scoopsci.protocol.driving.Judge`.

        Returns
        -------
        PoolFuture
            Its result is the frames of the outcome.

        Raises
        ------
        EngineError, RuntimeError
            If the pool has failed, or has been shut down.
        """
        self.check_owner()  # before the lock, which may be held for ever
        number = next(self._numbers).to_bytes(kind.NUMBER_BYTES, "big")
        future = PoolFuture(self, number)
        with self._lock:
            self.check_open()
            self._events.append(on.Submit(number, frames, timeout, judge))
            self._futures[number] = future
            self._wake()
        return future

    def is_local(self) -> bool:
        """Tell whether all workers are processes of this machine."""
        return self._is_local

    def check_owner(self) -> None:
        """Raise an `EngineError` in a forked child of the driver."""
        check_owner(self._pid, "the pool")

    def check_open(self) -> None:
        """Raise the error that has ended the pool, if any."""
        if self._closing:
            raise self._failure or RuntimeError("the pool has been shut down")

    def take_back(self, number: bytes, *, kill: bool) -> None:
        """Cancel a task if it has not started, or end its worker."""
        self.check_owner()
        is_own = threading.current_thread() is self._thread
        if is_own:  # in a callback: this thread itself would receive the broker's answer
            self._handle_events()
        self._handle(on.TakeBack(number, asks_broker=False))
        if is_own or number not in self._futures:
            return
        with self._lock:
            if self._closing:
                return
            answer = self._answers.setdefault(number, threading.Event())
            self._post(on.TakeBack(number, kill))
        answer.wait(BROKER_SILENCE_S)

    def resize(self, counts: Sequence[int]) -> None:
        """Change the number of workers on each host."""
        self.check_owner()
        self._post(on.Post(kind.RESIZE + json.dumps(counts).encode()))

    def set_variable(self, name: bytes, frames: Sequence[Any]) -> None:
        """Set a named value for all workers; the broker's answer goes to `hear`."""
        self._post(on.Post(kind.SET + name, frames))

    def finish(self) -> None:
        """Wait until every task has ended."""
        self.check_owner()
        with self._lock:
            futures = [*self._futures.values()]
        wait(futures)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the broker, and with it all agents and workers."""
        if os.getpid() != self._pid:  # a forked child of the driver does not own it
            return
        with self._lock:
            if self._is_shut_down:
                return
            self._is_shut_down = True
            self._wake()
            self._closing = True
        if threading.current_thread() is self._thread:  # a callback, which must return first
            threading.Thread(target=self._clean_up, name="pool-end").start()
        else:
            self._clean_up()

    def _clean_up(self) -> None:
        self._thread.join(timeout=10)
        self._broker.end()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _post(self, event: Any) -> None:
        self._events.append(event)
        self._wake()

    def _wake(self) -> None:
        with self._lock:
            if not self._closing and not self._is_woken:
                self._is_woken = True
                os.write(self._wake_write, b"!")

    # --- the thread

    def _run(self) -> None:
        context = zmq.Context()
        pidfd = os.pidfd_open(self._broker.pid)
        try:
            self._socket = context.socket(zmq.DEALER)
            self._socket.setsockopt(zmq.IDENTITY, self.name)
            self._socket.setsockopt(zmq.RECONNECT_IVL, 5)
            self._socket.set_hwm(0)
            self._socket.connect(f"ipc://{self._folder}/broker")
            self._poller = zmq.Poller()
            for source in (self._socket, self._wake_read, pidfd):
                self._poller.register(source, zmq.POLLIN)
            while not self._closing:
                self._turn(pidfd)
        except EngineError as error:
            self._failure = error
        except Exception as error:
            self._failure = EngineError(f"the driver of the pool failed: {error!r}")
            self._failure.__cause__ = error
        finally:
            self._end()
            context.destroy(linger=0)
            os.close(pidfd)

    def _end(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            futures, self._futures = self._futures, {}
            if self._recorder is not None:
                self._recorder.close(time.monotonic(), describe_driver(self._machine))
                self._handle_one = self._machine.handle
        for future in futures.values():
            future.set_exception(self._failure or EngineError("the pool has been shut down"))
        for answer in self._answers.values():
            answer.set()
        with self._lock:
            asked, self._asked = self._asked, {}
        for answer_to_come in asked.values():
            answer_to_come.set_exception(
                self._failure or RuntimeError("the pool has been shut down")
            )

    def _turn(self, pidfd: int) -> None:
        self._handle_events()
        ready = dict(self._poller.poll(int(1000 * TICK_S)))
        if self._wake_read in ready:
            os.read(self._wake_read, 1)
            self._is_woken = False  # what comes from now on may be too late for this turn
        if self._socket in ready:
            with suppress(zmq.Again):
                while True:
                    head, *frames = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
                    self._handle(on.Message(head.bytes, [frame.buffer for frame in frames]))
        if pidfd in ready:
            self._handle(on.BrokerEnded(self._broker.wait()))
        if time.monotonic() >= self._next_tick_s:
            self._next_tick_s = time.monotonic() + TICK_S
            self._handle(on.Tick())

    def _handle_events(self) -> None:
        """Let the machine handle what other threads have left."""
        while self._events:
            self._handle(self._events.popleft())

    def _handle(self, event: Any) -> None:
        """Let the machine handle an event, and perform its actions: callbacks without the lock."""
        with self._lock:
            actions = self._handle_one(time.monotonic(), event)
        for action in actions:
            self._performers[type(action)](action)

    # --- actions

    def _send(self, message: on.Send) -> None:
        is_task = message.head.startswith(kind.TASK)
        self._socket.send_multipart([message.head, *message.frames], copy=not is_task)

    def _settle(self, action: on.Settle) -> None:
        if (future := self._futures.pop(action.number, None)) is not None:
            future.set_result(action.frames)

    def _fail(self, action: on.Fail) -> None:
        if (future := self._futures.pop(action.number, None)) is not None:
            future.set_exception(action.error)

    def _settle_cancelled(self, action: on.Cancelled) -> None:
        if (future := self._futures.pop(action.number, None)) is not None:
            future.settle_cancelled()

    def _note_answer(self, action: on.Answered) -> None:
        if (answer := self._answers.pop(action.number, None)) is not None:
            answer.set()

    def _note_hosts(self, action: on.NoteHosts) -> None:
        with self._changed:
            self.hosts = action.hosts
            self._changed.notify_all()

    def _note_status(self, action: on.NoteStatus) -> None:
        if (asked := self._asked.pop(action.number, None)) is not None:
            asked.set_result(action.status)

    def _pass_on(self, message: on.Hear) -> None:
        if self._hear is not None:
            head = message.head
            self._hear(head[:2], head[2:], message.frames)

    def _stop(self, action: on.Stop) -> None:
        raise action.error


def _is_complete(host: dict[str, Any]) -> bool:
    return host["n_wanted"] is not None and len(host["workers"]) >= host["n_wanted"]
