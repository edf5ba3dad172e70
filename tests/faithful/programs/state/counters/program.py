"""Counters of the script and of a module go on from task to task on each worker.

True True True
True
"""

import itertools
import os
from collections import defaultdict

import tally
from ways import open_way

COUNT = 0
SEEN = []
NUMBERS = itertools.count(1)


def count(_):
    global COUNT
    COUNT += 1
    return os.getpid(), COUNT


def gather(x):
    SEEN.append(x)
    return os.getpid(), len(SEEN)


def number(_):
    return os.getpid(), next(NUMBERS)


def count_there(_):
    return os.getpid(), tally.count()


def go_on(found):
    """Tell whether each process has counted from 1 on, in the order of its tasks."""
    counts = defaultdict(list)
    for pid, n in found:
        counts[pid].append(n)
    return all(sorted(ns) == list(range(1, len(ns) + 1)) for ns in counts.values())


if __name__ == "__main__":
    with open_way() as way:
        print(*(go_on(way.map(fn, range(12))) for fn in (count, gather, number)))
        print(go_on(way.map(count_there, range(6)) + way.run(count_there, range(6))))
