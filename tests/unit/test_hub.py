"""What a worker for SCOOP programs tells the broker."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from scoopsci.programs import futures
from scoopsci.programs.pickling import RESULT, dump, make_task
from scoopsci.programs.stand_in import stand_in_for_scoop
from scoopsci.protocol import messages as kind
from tests.conftest import REPOSITORY

SETUP = {"is_origin": False, "log_level": "INFO"}
WAIT_MS = 60_000


def wait_for_another() -> int:
    result: int = futures.submit(abs, -1).result()
    return result


def be_busy() -> bool:
    """Wait for the answer to a cancellation, during which no other task continues."""
    return futures.submit(abs, -1).cancel()


class FakeBroker:
    """The other end of one worker's socket."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self._socket = socket

    def hear(self) -> list[bytes]:
        """Return the worker's next message."""
        assert self._socket.poll(WAIT_MS)
        self._worker, *frames = self._socket.recv_multipart()
        return self.hear() if frames[0].startswith(kind.RUNS) else frames

    def tell(self, head: bytes, *frames: bytes) -> None:
        """Send it a message."""
        self._socket.send_multipart([self._worker, head, *frames])


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[FakeBroker]:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as socket:
        socket.linger = 0
        socket.bind(f"ipc://{tmp_path}/broker")
        program = "import sys; from scoopsci.pool.leash import Leash; "
        program += "from scoopsci.programs.worker import work; work(*sys.argv[1:], Leash())"
        command = [sys.executable, "-c", program, "w" * 32, f"{tmp_path}/broker"]
        with subprocess.Popen(command, cwd=REPOSITORY) as process:
            yield FakeBroker(socket)
            process.kill()


def test_a_worker_with_tasks_to_continue_requests_no_other(broker: FakeBroker) -> None:
    """It would lie there, however long they take, while other workers idle."""
    assert broker.hear()[0].startswith(kind.REQUEST)
    broker.tell(kind.INITIALIZE, *make_task(stand_in_for_scoop, (), SETUP))
    assert broker.hear()[0] == kind.INITIALIZED
    first, second, third, fourth = (bytes([i]) * kind.KEY_BYTES for i in range(4))
    numbers = []
    for key in (first, second):
        broker.tell(kind.TASK + key, *make_task(wait_for_another, (), {}))
        numbers.append(broker.hear()[0].removeprefix(kind.TASK))
        assert broker.hear() == [kind.REQUEST + b"0"]
    broker.tell(kind.TASK + third, *make_task(abs, (-1,), {}))
    assert broker.hear()[0] == kind.REPLY + third + b"0", "the others wait"
    broker.tell(kind.TASK + fourth, *make_task(be_busy, (), {}))
    cancelled = broker.hear()[0].removeprefix(kind.TASK)
    assert broker.hear() == [kind.CANCEL + cancelled + b"0"]
    for number in numbers:  # while it is busy
        broker.tell(kind.REPLY + number, RESULT, *dump(1))
    broker.tell(kind.CANCELLED + cancelled + b"1")  # it comes after the replies
    assert broker.hear()[0] == kind.REPLY + fourth + kind.BUSY
    assert broker.hear()[0] == kind.REPLY + first + kind.BUSY
    assert broker.hear()[0] == kind.REPLY + second + b"3"
