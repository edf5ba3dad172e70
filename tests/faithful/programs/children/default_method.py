"""The start method of processes that a task starts is the program's own default.

fork True
[1, 2]
"""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

from ways import open_way


def method():
    return multiprocessing.get_start_method()


def use():
    with ProcessPoolExecutor(1) as executor:
        return list(executor.map(abs, [-1, -2]))


if __name__ == "__main__":
    own = multiprocessing.get_context().get_start_method()
    with open_way() as way:
        found = way.call(method)
        print(found, found == own)
        print(way.call(use))
