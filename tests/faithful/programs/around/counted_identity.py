"""A map without ledger or receipt computes no identity of its items.

6 no more than one pickle of each item
"""

from ways import open_way

import scoopsci

N_PICKLED = [0]


class Item:
    def __init__(self, x):
        self.x = x

    def __reduce__(self):
        N_PICKLED[0] += 1
        return Item, (self.x,)


def take(item):
    return item.x


if __name__ == "__main__":
    with open_way() as way:
        found = list(scoopsci.map(take, [Item(x) for x in range(4)], engine=way.library))
        words = "no more than one" if N_PICKLED[0] <= 4 else f"{N_PICKLED[0]} times a"
        print(sum(found), words, "pickle of each item")
