"""A task pickles, copies and rebuilds the program's own objects by their names.

[True, True, True] 1
__main__ Run True
[True, True, True]
"""

import copy
import pickle

from ways import open_way


class Run:
    def __init__(self, n):
        self.n = n

    def grow(self):
        return self.n + 1


def same(value):
    return value


def rebuild(run):
    again = pickle.loads(pickle.dumps(run))
    return [type(again) is Run, type(copy.deepcopy(run)) is Run, again.n == run.n]


def dump():
    return pickle.dumps(Run(1))


def names():
    found = pickle.loads(pickle.dumps(Run))
    return found.__module__, found.__qualname__, pickle.loads(pickle.dumps(same)) is same


def protocols(run):
    return [isinstance(pickle.loads(pickle.dumps(run, protocol)), Run) for protocol in (0, 2, 5)]


if __name__ == "__main__":
    with open_way() as way:
        print(way.call(rebuild, Run(1)), pickle.loads(way.call(dump)).n)
        print(*way.call(names))
        print(way.call(protocols, Run(2)))
