"""An initializer of a module sets that module's own globals, as its functions see them.

['ready 5', 'ready 5', 'ready 5']
ready 5 True
"""

import store
from ways import open_way


def ask(_):
    return store.read()


def again():
    from store import read

    return read(), store.read is read


if __name__ == "__main__":
    with open_way(initializer=store.open_store, initargs=(5,)) as way:
        print(way.map(ask, range(3)))
        print(*way.run(lambda _: again(), range(1))[0])
