"""A module that tasks do not use is not imported for what it has in common with their values.

3.0 True
[1.0, 1.0]
shown 1
"""

import datetime
import os

import numpy as np
from ways import open_way

TABLE = np.ones(3)
START = datetime.datetime(2000, 1, 1, tzinfo=datetime.timezone.utc)  # noqa: UP017


def total():
    return float(TABLE.sum())


def is_aware():
    return START.tzinfo is not None


def item(i):
    return float(TABLE[i])


if __name__ == "__main__":
    os.environ["SCREEN_OF"] = str(os.getpid())
    import screen

    with open_way(1) as way:
        print(way.call(total), way.call(is_aware))
        print(way.run(item, range(2)))
    screen.show(1)
