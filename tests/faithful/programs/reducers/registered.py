"""Reducers registered by copyreg count, for classes with what cannot be pickled otherwise.

[3, 3] True
made anew
[1, 1]
"""

import copyreg
import threading

from ways import open_way


class Guarded:
    def __init__(self, n):
        self.n, self.lock = n, threading.Lock()


def reduce_guarded(guarded):
    return Guarded, (guarded.n,)


copyreg.pickle(Guarded, reduce_guarded)


class Handle:
    def __init__(self, word):
        self.word, self.lock = word, threading.Lock()

    def __reduce_ex__(self, protocol):
        return Handle, ("made anew",)


class State:
    def __init__(self):
        self.kept, self.lock = 1, threading.Lock()

    def __getstate__(self):
        return {"kept": self.kept}

    def __setstate__(self, state):
        self.__dict__.update(state, lock=threading.Lock())


def use(guarded):
    with guarded.lock:
        return guarded.n


def same(guarded):
    return guarded


if __name__ == "__main__":
    with open_way() as way:
        print(
            way.run(use, [Guarded(3), Guarded(3)]),
            type(way.call(same, way.call(same, Guarded(1)))) is Guarded,
        )
        print(way.call(same, Handle("first")).word)
        print([state.kept for state in way.map(same, [State(), State()])])
