"""A driver of a SCOOP pool: submits tasks to the broker and collects results, in a thread.

It is neither worker nor broker: it never executes a task, so no task can end it, and its futures
are those of the standard library.
"""

from __future__ import annotations

import itertools
import os
import pickle
import random
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import zmq
from scoop.broker.brokerzmq import STATUS_HERE, STATUS_NONE, STATUS_REQ, TASK

from scoopsci.errors import EngineError, WorkerLostError
from scoopsci.pool.plain.links import Links
from scoopsci.pool.plain.successors import Successors, pack_identity
from scoopsci.pool.plain.task import Task

__all__ = ["ScoopDriver"]

TICK_S = 1.0
#: A broker only passes messages on: one that does not answer is dead after this many seconds.
BROKER_SILENCE_S = 15.0
#: How long a task may take from broker to worker, and the slowest link to allow for.
DELIVERY_S = 5.0
DELIVERY_BYTES_PER_S = 1e6
#: SCOOP's workers start Python and import the user's script before they take a task.
FIRST_WORKER_S = 60.0


@dataclass
class _Call:
    number: int
    future: Future[Any]
    message: bytes
    n_bytes: int = 0
    worker: bytes | None = None
    missed_s: float | None = None
    wanted: bool | None = None

    def claim(self) -> bool:
        """Return whether the outcome is still wanted; after this the call cannot be cancelled."""
        if self.wanted is None:
            self.wanted = self.future.set_running_or_notify_cancel()
        return self.wanted


@dataclass
class _Worker:
    host: str
    pid: int
    calls: set[int] = field(default_factory=set)


class ScoopDriver(Executor):
    """An executor on the workers of a SCOOP pool that is running.

    Parameters
    ----------
    hostname : str
        Host of the broker.
    port : int
        Its task port.
    n_workers : int
        Number of workers; the broker is given up to four tasks for each at a time.
    start_worker : callable
        Starts one worker beside the driver, as a process; called again after its death.

    Attributes
    ----------
    n_found_waiting : int
        How often the broker has reported that a task still waits for a worker.
    """

    def __init__(
        self,
        hostname: str,
        port: int,
        n_workers: int,
        start_worker: Callable[[], subprocess.Popen[bytes]],
    ) -> None:
        self._address = f"tcp://{hostname}:{port}"
        # Workers try to reach a submitter by its name before they answer through the broker. The
        # name is an address on which nothing listens, one of 16 million: no socket is bound.
        self._name = "127.{}.{}.{}:1".format(*random.SystemRandom().randbytes(3)).encode()
        self._limit = 4 * n_workers
        self._start_worker = start_worker
        self._own_worker = start_worker()
        self._n_failed_starts = 0
        self._own_worker_ran = False
        self._numbers = itertools.count()
        self._waiting: deque[_Call] = deque()
        self._sent: dict[int, _Call] = {}
        self._swallowed: deque[int] = deque()
        self._workers: dict[bytes, _Worker] = {}
        self._last_answer_s = self._last_start_s = time.monotonic()
        self._lock = threading.Lock()  # the ending thread fails a task, unless submit refuses it
        self._closing = False
        self._failure: EngineError | None = None
        self.n_found_waiting = 0
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._thread = threading.Thread(target=self._run, daemon=True, name="scoop-driver")
        self._thread.start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Submit a call of an importable function; see `concurrent.futures.Executor.submit`."""
        number = next(self._numbers)
        message = pickle.dumps(Task(self._name, number, fn, args), protocol=5)
        call = _Call(number, Future(), message, n_bytes=len(message))
        with self._lock:
            if self._closing:
                raise self._failure or RuntimeError("the driver has been shut down")
            self._waiting.append(call)
        self._wake()
        return call.future

    def ask(self) -> None:
        """Ask the broker where the tasks are now, not at the next tick."""
        self._next_tick_s = 0.0
        self._wake()

    def abandon(self, number: int) -> None:
        """Give up a task that the origin has received; its future ends with a `WorkerLostError`."""
        self._swallowed.append(number)
        self._wake()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the thread, the sockets and the worker that the driver has started."""
        with self._lock:
            self._closing = True
        self._wake()
        self._thread.join(timeout=10)
        os.close(self._wake_read)
        os.close(self._wake_write)
        # If terminated regularly, a SCOOP worker would end the whole pool.
        self._own_worker.kill()
        self._own_worker.wait()

    def _wake(self) -> None:
        with suppress(BlockingIOError):  # a full pipe wakes it as well
            os.write(self._wake_write, b"!")

    def _run(self) -> None:
        context = zmq.Context()
        try:
            self._open_sockets(context)
            while not self._closing:
                self._turn()
        except Exception as error:
            self._failure = EngineError(f"the driver of the SCOOP pool failed: {error}")
            self._failure.__cause__ = error
        finally:
            with self._lock:
                self._closing = True
            ended = EngineError("the driver of the SCOOP pool has been shut down")
            self._fail_all(self._failure or ended)
            context.destroy(linger=0)

    def _open_sockets(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self._tasks = context.socket(zmq.DEALER)
        self._tasks.setsockopt(zmq.IDENTITY, self._name)
        # Queries have a connection of their own, or a large task would delay the answers.
        self._pulse = context.socket(zmq.DEALER)
        self._poller = zmq.Poller()
        for connection in (self._tasks, self._pulse):
            connection.set_hwm(0)
            connection.connect(self._address)
            self._poller.register(connection, zmq.POLLIN)
        self._poller.register(self._wake_read, zmq.POLLIN)
        self._links = Links(context, self._poller)
        self._successors = Successors(context, self._poller, self._address)
        self._next_tick_s = 0.0

    def _turn(self) -> None:
        self._send()
        ready = dict(self._poller.poll(int(1000 * TICK_S)))
        with suppress(BlockingIOError):
            while os.read(self._wake_read, 4096):
                pass
        for connection, handle in ((self._tasks, self._on_reply), (self._pulse, self._on_status)):
            with suppress(zmq.Again):
                while connection in ready:
                    handle(connection.recv_multipart(zmq.NOBLOCK))
        while self._swallowed:
            self._lose(self._swallowed.popleft(), "the origin, which runs no tasks,", None)
        for name in self._links.take_broken():
            self._successors.add(name)
            worker = self._workers.pop(name)
            for number in list(worker.calls):
                self._lose(number, f"worker {worker.pid} on host {worker.host} ended", worker.host)
        for identity, frames in self._successors.take_tasks():
            self._send_on(identity, frames)
        if time.monotonic() >= self._next_tick_s:
            self._next_tick_s = time.monotonic() + TICK_S
            self._tick()

    def _send(self) -> None:
        while self._waiting and len(self._sent) < self._limit:
            call = self._waiting.popleft()
            if call.future.cancelled():
                call.claim()
                continue
            if not self._sent:  # the broker was not asked while there were no tasks
                self._last_answer_s = self._last_start_s = time.monotonic()
            self._sent[call.number] = call
            self._tasks.send_multipart([TASK, self._id(call.number), call.message], copy=False)
            call.message = b""

    def _send_on(self, identity: tuple[bytes, int], frames: list[bytes]) -> None:
        """Resubmit to the broker what it had given to a dead worker."""
        submitter, number = identity
        if submitter == self._name:
            if number not in self._sent:
                return
            self._sent[number].missed_s = None
        self._tasks.send_multipart(frames, copy=False)

    def _id(self, number: int) -> bytes:
        return pack_identity((self._name, number))

    def _on_reply(self, frames: list[bytes]) -> None:
        name, content = frames[-1], pickle.loads(frames[1])
        if not isinstance(content, Task):
            self._on_started(name, *content)
            return
        call = self._forget(content.id[1])
        if call is None or not call.claim():
            return  # late: the task was given up, or cancelled
        if content.exceptionValue is not None:
            call.future.set_exception(content.exceptionValue)
        else:
            call.future.set_result(content.resultValue)

    def _on_started(self, name: bytes, number: int, host: str, pid: int) -> None:
        self._last_start_s = time.monotonic()
        self._own_worker_ran |= pid == self._own_worker.pid and host == socket.gethostname()
        self._workers.setdefault(name, _Worker(host, pid))
        self._links.watch(name, host)
        call = self._sent.get(number)
        if call is not None:
            call.worker = name
            self._workers[name].calls.add(number)
            call.claim()

    def _forget(self, number: int) -> _Call | None:
        call = self._sent.pop(number, None)
        if call is not None and call.worker in self._workers:
            self._workers[call.worker].calls.discard(number)
        return call

    def _lose(self, number: int, what: str, host: str | None) -> None:
        call = self._forget(number)
        if call is not None and call.claim():
            call.future.set_exception(WorkerLostError(f"{what} while it held the task", host=host))

    def _fail_all(self, error: Exception) -> None:
        calls = [*self._sent.values(), *self._waiting]
        self._sent.clear()
        self._waiting.clear()
        for call in calls:
            if call.claim():
                call.future.set_exception(error)

    def _on_status(self, frames: list[bytes]) -> None:
        self._last_answer_s = now = time.monotonic()
        number = pickle.loads(frames[1])[1]
        call = self._sent.get(number)
        if call is None or call.worker is not None:
            return
        if frames[2] != STATUS_NONE:
            self.n_found_waiting += frames[2] == STATUS_HERE
            call.missed_s = None
            return
        # Neither at the broker nor started: in transit, or lost with the worker it was given to.
        call.missed_s = call.missed_s or now
        if now - call.missed_s > DELIVERY_S + call.n_bytes / DELIVERY_BYTES_PER_S:
            self._lose(number, "a worker ended", None)

    def _tick(self) -> None:
        if not self._sent:
            return
        unstarted = [call.number for call in self._sent.values() if call.worker is None]
        for number in unstarted or [-1]:
            self._pulse.send_multipart([STATUS_REQ, self._id(number)])
        now = time.monotonic()
        if now - self._last_answer_s > BROKER_SILENCE_S:
            self._fail_all(
                EngineError(
                    f"SCOOP's broker at {self._address} has not answered for "
                    f"{BROKER_SILENCE_S:g} s, as after the death of an idle worker; start the "
                    "program again"
                )
            )
        elif not self._workers and now - self._last_start_s > FIRST_WORKER_S:
            self._fail_all(
                EngineError(
                    f"no SCOOP worker has accepted a task for {FIRST_WORKER_S:g} s; see the "
                    "workers' messages above, and check that each host has scoopsci installed"
                )
            )
        self._successors.try_again()
        self._keep_own_worker()

    def _keep_own_worker(self) -> None:
        status = self._own_worker.poll()
        if status is None:
            return
        self._n_failed_starts = 0 if self._own_worker_ran else self._n_failed_starts + 1
        if self._n_failed_starts == 3:
            raise EngineError(f"the worker beside the driver does not start, status {status}")
        self._own_worker_ran = False
        self._own_worker = self._start_worker()
