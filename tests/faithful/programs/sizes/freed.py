"""Maps with large closures leave no more than one of them in a worker.

[0.0, 0.0] [5.0, 5.0]
at most one
"""

import gc

import numpy as np
import psutil
from ways import open_way

N_FLOATS = 5_000_000


def make_look(value):
    table = np.full(N_FLOATS, float(value))
    return lambda i: float(table[i])


def memory(_):
    gc.collect()
    return psutil.Process().memory_info().rss


if __name__ == "__main__":
    with open_way() as way:
        before = max(way.map(memory, range(8)))
        found = [way.run(make_look(value), range(2)) for value in range(6)]
        print(found[0], found[-1])
        grown = (max(way.map(memory, range(8))) - before) / (8 * N_FLOATS)
        # Of the six that were sent: the last, and what an allocator keeps.
        print("at most one" if grown < 2.5 else f"{grown:.1f}")
