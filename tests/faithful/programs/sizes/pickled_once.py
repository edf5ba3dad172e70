"""What a function needs is pickled for the first task, and not again while nothing changes.

[0, 3, 6, 9] few
[0, 3, 6, 9] few
"""

import numpy as np
from ways import open_way

N_REDUCED = 0


class Large:
    """More than is looked at for changes at each call."""

    def __init__(self, table):
        self.table = table

    def __reduce__(self):
        global N_REDUCED
        N_REDUCED += 1
        return Large, (self.table,)


LARGE = Large(np.full(300_000, 3.0))


def scale(x):
    return int(LARGE.table[0]) * x


def amount():
    """Tell whether it was pickled for some workers, or for each task."""
    return "few" if N_REDUCED <= 6 else f"{N_REDUCED} times"


if __name__ == "__main__":
    with open_way() as way:
        futures = [way.submit(scale, i % 4) for i in range(40)]
        print([future.result() for future in futures][:4], amount())
        found = [way.call(scale, i % 4) for i in range(20)]
        print(found[:4], amount())
