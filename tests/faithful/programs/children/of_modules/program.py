"""Processes that a module's function starts in a task know the module.

[2, 4] [2, 4]
spawn
"""

import work
from ways import open_way


def start(method):
    import multiprocessing

    assert multiprocessing.get_start_method() in ("fork", "spawn", "forkserver")
    return work.start(method)


if __name__ == "__main__":
    with open_way() as way:
        print(*way.map(start, ["spawn", "fork"]))
        print(way.call(work.method_of, "spawn"))
