"""Caches of functions, of methods and of objects are kept between the tasks of a worker.

True True
[5, 5, 5] True
[25, 25] ['cached']
True
"""

import os
from functools import cache, cached_property, lru_cache

import costly
from ways import open_way


@lru_cache(maxsize=64)
def square(x):
    return x * x


@cache
def process():
    return object()


class Table:
    def __init__(self, n):
        self.n = n

    @cached_property
    def total(self):
        self.notes = ["cached"]
        return self.n * self.n

    @lru_cache(maxsize=4)  # noqa: B019
    def look(self, key):
        return self.n


def ask(x):
    value = square(x)
    info = square.cache_info()
    return os.getpid(), value, info.hits, info.misses


def kept(found):
    """Tell whether only the first task of each process missed."""
    return all(misses == 1 for _, _, _, misses in found)


def same(_):
    return process() is process()


def costs(_):
    costly.find(3)
    return costly.find.cache_info().misses


def total(table):
    return table.total, table.total, table.notes


if __name__ == "__main__":
    with open_way() as way:
        print(kept(way.map(ask, [7] * 6)), kept(way.run(ask, [7] * 6)))
        table = Table(5)
        print(way.map(table.look, "abc"), all(way.map(same, range(3))))
        *both, notes = way.call(total, table)
        print(both, notes)
        print(set(way.map(costs, range(6))) == {1})
