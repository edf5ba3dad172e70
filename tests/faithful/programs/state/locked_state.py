"""A task is submitted under a lock that the pickling of another one waits for.

4
[1]
"""

import threading
import time

from ways import open_way

BEGUN = threading.Event()


class Store:
    def __init__(self):
        self.lock, self.items = threading.Lock(), {}

    def __getstate__(self):
        BEGUN.set()
        with self.lock:
            return dict(self.items)

    def __setstate__(self, items):
        self.lock, self.items = threading.Lock(), items


STORE = Store()
STORE.items["a"] = 1


def count():
    return len(STORE.items)


def double(x):
    return 2 * x


if __name__ == "__main__":
    with open_way() as way:
        found = []
        thread = threading.Thread(target=lambda: found.append(way.call(count)))
        with STORE.lock:
            thread.start()
            while thread.is_alive() and not BEGUN.is_set():
                time.sleep(0.01)
            future = way.submit(double, 2)
        print(future.result())
        thread.join()
        print(found)
