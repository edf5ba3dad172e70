"""Output of concurrent tasks in one process is separated, and appears once."""

import logging
import pickle
import subprocess
import sys
from pathlib import Path

import cloudpickle
import pytest

from scoopsci.engines.payload import Call
from scoopsci.engines.taskfuture import unpack

cloudpickle.register_pickle_by_value(sys.modules[__name__])

#: A worker that runs its tasks in threads, like those of other libraries.
WORKER = """
import pickle, sys, threading
from concurrent.futures import ThreadPoolExecutor
from scoopsci.engines.payload import run_payload

sys.barrier = threading.Barrier(2, timeout=30)
tasks = pickle.load(sys.stdin.buffer)
with ThreadPoolExecutor(2) as threads:
    outcomes = list(threads.map(run_payload, tasks))
pickle.dump(outcomes, open(sys.argv[1], "wb"))
"""


def talk(name: str) -> None:
    sys.barrier.wait()  # type: ignore[attr-defined]
    print("printed by", name)
    logging.getLogger("task").error("logged by %s", name)
    sys.barrier.wait()  # type: ignore[attr-defined]


def test_output_of_concurrent_tasks_is_separated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    tasks = pickle.dumps([Call(talk, (name,), {}).as_whole() for name in ("one", "two")])
    answer = tmp_path / "answer"
    subprocess.run([sys.executable, "-c", WORKER, answer], input=tasks, check=True, timeout=100)
    for name, frames in zip(("one", "two"), pickle.loads(answer.read_bytes()), strict=True):
        caplog.clear()
        _, report = unpack(frames)
        label = f"[{report['host']} {report['pid']}] "
        assert capsys.readouterr().err == f"{label}printed by {name}\n"
        assert caplog.messages == [f"{label}logged by {name}"]
