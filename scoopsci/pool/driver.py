"""The driver's side of a pool: submits frames to the broker, and collects outcomes in a thread."""

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
from scoopsci.pool import messages as kind
from scoopsci.pool.broadcast import Broadcast
from scoopsci.pool.brokerprocess import BrokerProcess, name_folder
from scoopsci.pool.calls import Call, Calls, Judge, PoolFuture
from scoopsci.pool.lifetime import check_owner
from scoopsci.pool.losses import as_lost

__all__ = ["PoolDriver"]

TICK_S = 1.0

#: A broker that does not answer is considered dead after this many seconds.
BROKER_SILENCE_S = 15.0

#: Tasks at the broker per worker: one that runs, and one to follow without delay.
N_AHEAD = 2


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
        for number, host in enumerate(config["hosts"]):
            host["place"]["own_control"] = f"{self._folder}/ssh{number}"
        self._most_sent = N_AHEAD
        self._check_setup = check_setup
        self._hear = hear
        self._answers: dict[bytes, threading.Event] = {}
        self._asked: dict[bytes, Future[dict[str, Any]]] = {}
        self._numbers = itertools.count()
        # Acquired directly where Ctrl-C may arrive: it can leave a condition locked.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._calls = Calls(self._lock)
        self._closing = self._is_shut_down = False
        self._failure: EngineError | None = None
        # Ctrl-C may interrupt the main thread between frames of a message: only our thread sends.
        self._outbox: deque[list[Any]] = deque()
        if setup is not None:
            self._outbox.append([kind.INITIALIZE, *setup])
        self._is_woken = False
        self._wake_read, self._wake_write = os.pipe()
        for descriptor in (self._wake_read, self._wake_write):
            os.set_blocking(descriptor, False)
        self._pid = os.getpid()
        own = {"folder": self._folder, "driver": self.name.decode(), "driver_pid": self._pid}
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
            self._post(kind.STATUS + number)
        try:
            found = answer.result(timeout_s)
        except TimeoutError:
            raise EngineTimeoutError(
                f"the broker of the pool has not answered within {timeout_s:g} s; ask again"
            ) from None
        finally:
            self._asked.pop(number, None)
        found["tasks"]["waiting"] += self._calls.n_waiting
        found["tasks"]["repeated"] = self._calls.n_repeated
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
        judge: Judge | None = None,
    ) -> PoolFuture:
        """Send a task.

        Parameters
        ----------
        frames : sequence of buffer
            For the function that the workers run.
        timeout : float, optional
            Seconds after which the worker that runs it is ended.
        judge : callable, optional
            See `scoopsci.pool.calls.Judge`.

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
            self._calls.add(number, Call(future, frames, timeout, judge))
            self._wake()
        return future

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
        with self._lock:
            call = self._calls.take_waiting(number)
            if call is None:
                if threading.current_thread() is self._thread:
                    return  # in a callback: this thread itself would receive the answer
                answer = self._answers.setdefault(number, threading.Event())
                self._post(kind.CANCEL + number + (b"1" if kill else b"0"))
        if call is not None:
            call.future.settle_cancelled()
            return
        answer.wait(BROKER_SILENCE_S)

    def resize(self, counts: Sequence[int]) -> None:
        """Change the number of workers on each host."""
        self.check_owner()
        self._post(kind.RESIZE + json.dumps(counts).encode())

    def set_variable(self, name: bytes, frames: Sequence[Any]) -> None:
        """Set a named value for all workers; the broker's answer goes to `hear`."""
        self._post(kind.SET + name, *frames)

    def finish(self) -> None:
        """Wait until every task has ended."""
        self.check_owner()
        wait(self._calls.futures())

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

    def _post(self, *frames: Any) -> None:
        self._outbox.append([*frames])
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
            self._heard_s = self._asked_s = time.monotonic()
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
        self._calls.fail_all(self._failure or EngineError("the pool has been shut down"))
        for answer in self._answers.values():
            answer.set()
        with self._lock:
            asked, self._asked = self._asked, {}
        for answer_to_come in asked.values():
            answer_to_come.set_exception(
                self._failure or RuntimeError("the pool has been shut down")
            )

    def _turn(self, pidfd: int) -> None:
        self._send()
        ready = dict(self._poller.poll(int(1000 * TICK_S)))
        if self._wake_read in ready:
            os.read(self._wake_read, 1)
            self._is_woken = False  # what comes from now on may be too late for this turn
        if self._socket in ready:
            with suppress(zmq.Again):
                while True:
                    self._receive(self._socket.recv_multipart(zmq.NOBLOCK, copy=False))
        if pidfd in ready:
            raise EngineError(
                f"the broker of the pool ended with status {self._broker.wait()}; open a new pool"
            )
        self._look_after_broker()

    def _send(self) -> None:
        while self._outbox:
            self._socket.send_multipart(self._outbox.popleft())
        while self._calls.n_sent < self._most_sent and (found := self._calls.next_to_send()):
            number, call = found
            timeout = b"" if call.timeout_s is None else str(call.timeout_s).encode()
            message = [kind.TASK + number + timeout, *call.frames]
            self._socket.send_multipart(message, copy=False)
            if call.judge is None:
                call.frames = ()

    def _look_after_broker(self) -> None:
        now = time.monotonic()
        if now - self._asked_s > TICK_S:
            if self._asked_s > self._heard_s and now - self._heard_s > BROKER_SILENCE_S:
                raise EngineError(
                    f"the broker of the pool has not answered for {BROKER_SILENCE_S:g} s; open a "
                    "new pool"
                )
            self._asked_s = now
            self._post(kind.PING)

    def _receive(self, frames: list[Any]) -> None:
        self._heard_s = time.monotonic()
        head = frames[0].bytes
        message, rest = head[:2], head[2:]
        number, details = rest[: kind.NUMBER_BYTES], rest[kind.NUMBER_BYTES :]
        if message == kind.REPLY:
            call = self._calls.take_sent(number)
            if call is not None:
                call.future.set_result([frame.buffer for frame in frames[1:]])
        elif message == kind.LOST:
            self._lose(number, json.loads(details))
        elif message == kind.CANCELLED:
            if details == b"1" and (call := self._calls.take_sent(number)):
                call.future.settle_cancelled()
            if number in self._answers:
                self._answers.pop(number).set()
        elif message == kind.HOSTS:
            with self._changed:
                self.hosts = json.loads(rest)
                self._most_sent = N_AHEAD * max(1, self.n_workers)
                self._changed.notify_all()
        elif message == kind.STATUS:
            if (asked := self._asked.pop(number, None)) is not None:
                asked.set_result(json.loads(details))
        elif message == kind.INITIALIZED:
            self._check_setup([frame.buffer for frame in frames[1:]])
        elif message == kind.FAILED:
            raise EngineError(rest.decode())
        elif message == kind.LONELY:
            self._calls.fail_all(
                EngineError("the pool has had no worker for too long; see its hosts")
            )
        elif self._hear is not None:
            self._hear(message, rest, [frame.buffer for frame in frames[1:]])

    def _lose(self, number: bytes, facts: dict[str, Any]) -> None:
        call = self._calls.find_sent(number)
        if call is None:
            return
        verdict: Exception | None
        if facts["why"] == "timeout":
            verdict = EngineTimeoutError(
                f"a task took longer than its timeout of {call.timeout_s:g} s, and worker "
                f"{facts['pid']} on host {facts['host']} was ended; allow it more time"
            )
        else:
            verdict = lost = as_lost(facts)
            if call.judge is not None:
                verdict = call.judge(lost)
        if verdict is None:
            self._calls.repeat(number)
        else:
            self._calls.take_sent(number)
            call.future.set_exception(verdict)


def _is_complete(host: dict[str, Any]) -> bool:
    return host["n_wanted"] is not None and len(host["workers"]) >= host["n_wanted"]
