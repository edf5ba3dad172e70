"""Threads of a task use the program's functions, classes and executors.

[0, 1, 4, 9] True
[6, 6]
"""

import threading
from concurrent.futures import ThreadPoolExecutor

from ways import open_way

import scoopsci


class Own:
    def __init__(self, x):
        self.x = x


def square(x):
    return Own(x * x)


def use(n):
    with ThreadPoolExecutor(2) as executor:
        found = list(executor.map(square, range(n)))
    return [own.x for own in found], all(isinstance(own, Own) for own in found)


def call(n):
    found = []

    def work():
        found.append(sum(own.x for own in scoopsci.map(Own, range(n))))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return found[0]


if __name__ == "__main__":
    with open_way() as way:
        print(*way.call(use, 4))
        print(way.run(call, [4, 4]))
