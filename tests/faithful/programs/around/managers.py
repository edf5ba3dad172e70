"""Proxies of a manager that the program holds work in tasks.

[0, 1, 2, 3] 4
{'k': 'set by a task'}
"""

import multiprocessing
from multiprocessing.managers import BaseManager

from ways import open_way


class Counter:
    def __init__(self):
        self.n = 0

    def add(self):
        self.n += 1
        return self.n


class Manager(BaseManager):
    pass


Manager.register("Counter", Counter)


def add(proxy):
    return proxy.add()


def note(shared, numbers, i):
    shared["k"] = "set by a task"
    numbers.append(i)


if __name__ == "__main__":
    with multiprocessing.Manager() as manager, Manager() as own, open_way() as way:
        shared, numbers, counter = manager.dict(), manager.list(), own.Counter()
        way.map(note, [shared] * 4, [numbers] * 4, range(4))
        print(sorted(numbers), max(way.map(add, [counter] * 4)))
        print(dict(shared))
