"""What a task sets stays on its worker, also when the program changes another global.

True
True [9, 9, 9, 9]
"""

import os

from ways import open_way

PLACE = None
OTHER = 0


def set_place(_):
    global PLACE
    if PLACE is None:
        PLACE = os.getpid()
    return PLACE


def look(_):
    return os.getpid(), OTHER, PLACE


if __name__ == "__main__":
    with open_way() as way:
        before = set(way.map(set_place, range(8)))
        print(os.getpid() in before or PLACE is None)
        OTHER = 9
        found = way.map(look, range(4))
        print(
            all(place == (pid if pid in before else None) for pid, _, place in found),
            [other for _, other, _ in found],
        )
