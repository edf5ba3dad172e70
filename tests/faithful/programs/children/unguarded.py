"""A script without a guard that opens a pool: workers do not run it.

[0, 1, 4]
[True, True] 1
"""

import os

from ways import open_way

N_RUNS = int(os.environ.get("N_RUNS", "0")) + 1
os.environ["N_RUNS"] = str(N_RUNS)


class Own:
    pass


def square(x):
    return x * x


def same(own):
    return own if isinstance(own, Own) else None


with open_way() as way:
    print(way.map(square, range(3)))
    print([isinstance(own, Own) for own in way.run(same, [Own(), Own()])], way.call(lambda: N_RUNS))
