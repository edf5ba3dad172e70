# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""A SCOOP program whose calls all fail, and which prints the errors as JSON."""

import json
import os
import threading
import time

from scoop import futures, shared


def identity(x):
    return x


def make_lock(_):
    return threading.Lock()


def end_the_process(_):
    os._exit(3)


class Trap:
    def __reduce__(self):
        return eval, ("1 / 0",)


def make_trap(_):
    return Trap()


def main():
    shared.setConst(taken=1)
    calls = {
        "argument": lambda: futures.submit(identity, threading.Lock()),
        "result": lambda: futures.submit(make_lock, 1).result(),
        "unpickling the task": lambda: futures.submit(identity, Trap()).result(),
        "unpickling the result": lambda: futures.submit(make_trap, 1).result(),
        "worker": lambda: futures.submit(end_the_process, 1).result(),
        "timeout of result": lambda: futures.submit(time.sleep, 1).result(timeout=0.1),
        "timeout of map": lambda: list(futures.map(time.sleep, [1, 1], timeout=0.1)),
        "timeout of map_as_completed": lambda: list(
            futures.map_as_completed(time.sleep, [1, 1], timeout=0.1)
        ),
        "timeout of as_completed": lambda: list(
            futures.as_completed([futures.submit(time.sleep, 1)], timeout=0.1)
        ),
        "nothing to reduce": lambda: futures.mapReduce(identity, max, []),
        "no function": lambda: futures.submit(3),
        "constant": lambda: shared.setConst(taken=2),
    }
    found = {}
    for name, call in calls.items():
        try:
            found[name] = ["nothing", repr(call())]
        except Exception as error:
            found[name] = [type(error).__name__, str(error)]
    found["next"] = list(futures.map(identity, range(3)))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
