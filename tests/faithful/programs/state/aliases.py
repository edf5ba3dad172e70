"""A value with several names is the same value; binding one of them anew leaves the others.

[0] [0, 1, 2, 3]
[1] [0, 1, 2, 3]
[2] [0, 1, 2, 3]
[3] [0, 1, 2, 3]
1 [1, 1, 1, 1, 1, 1]
"""

import time

from ways import open_way

ROWS = [[0], [1], [2], [3]]


class Model:
    def __init__(self, order):
        self.order = order


model = Model(1)
best = model


def first_of_each():
    return [row[0] for row in ROWS]


def order(_):
    time.sleep(0.1)  # so that each worker has some
    return model.order


if __name__ == "__main__":
    with open_way(1) as way:
        for row in ROWS:
            print(row, way.call(first_of_each))
    with open_way() as way:
        before = way.call(order, None)
        best = Model(99)
        print(before, way.map(order, range(6)))
