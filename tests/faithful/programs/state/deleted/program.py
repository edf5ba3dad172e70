"""Globals of the script and of a module that the program has deleted are gone in tasks, too.

1 2
gone gone
[3, 3] gone
"""

import store
from ways import open_way

VALUE = 1


def look(_):
    try:
        return VALUE
    except NameError:
        return "gone"


if __name__ == "__main__":
    with open_way(1) as way:
        print(way.call(look, None), way.call(store.look))
        del VALUE, store.VALUE
        print(way.call(look, None), way.call(store.look))
        VALUE = 3
        print(way.run(look, range(2)), way.call(store.look))
