"""What a task raises steers no retry and ends no loop, whatever its type.

StopIteration('stop') once
CancelledError('cancelled') once
BrokenProcessPool('broken') once
WorkerLostError('lost') once
TimeoutError('late') once
GeneratorExit TaskError
SystemExit TaskError
[4, 4]
"""

import tempfile
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from ways import open_way

import scoopsci
from scoopsci import TaskError, WorkerLostError

KINDS = [
    StopIteration("stop"),
    CancelledError("cancelled"),
    BrokenProcessPool("broken"),
    WorkerLostError("lost"),
    TimeoutError("late"),
]


def fail(error, path):
    with open(path, "a") as file:
        file.write(".")
    raise error


def leave(kind):
    raise kind


def times(path):
    n = path.stat().st_size
    return "once" if n == 1 else f"{n} times"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, open_way() as way:
        for i, kind in enumerate(KINDS):
            path = Path(folder, str(i))
            try:
                way.call(fail, kind, path)
            except BaseException as error:
                print(repr(error), times(path))
        for kind in (GeneratorExit, SystemExit):
            try:
                way.call(leave, kind)
            except (TaskError, GeneratorExit) as error:
                print(kind.__name__, type(error).__name__)
        print(list(scoopsci.map(abs, [-4, 4], engine=way.library)))
