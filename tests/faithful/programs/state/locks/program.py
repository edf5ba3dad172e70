"""Locks, locals of threads and context variables of the script and of modules do no harm.

[1, 2, 3] [10, 20, 30]
default own
here
[4, 4] True
"""

import contextvars
import threading

import guarded
from ways import open_way

LOCK = threading.Lock()
REENTRANT = threading.RLock()
DONE = threading.Event()
LOCAL = threading.local()
WHERE = contextvars.ContextVar("WHERE", default="default")


def locked(x):
    with LOCK, REENTRANT:
        return x


def ask():
    before = WHERE.get()
    token = WHERE.set("own")
    try:
        return before, WHERE.get()
    finally:
        WHERE.reset(token)


def local():
    LOCAL.place = "here"
    assert not DONE.is_set()
    return LOCAL.place


def in_threads(n):
    found = []

    def work():
        with LOCK:
            found.append(WHERE.get())

    threads = [threading.Thread(target=work) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(found)


if __name__ == "__main__":
    with open_way() as way:
        print(way.map(locked, [1, 2, 3]), way.run(guarded.times_ten, [1, 2, 3]))
        print(*way.call(ask))
        print(way.call(local))
        print(way.run(in_threads, [4, 4]), way.call(guarded.is_free))
