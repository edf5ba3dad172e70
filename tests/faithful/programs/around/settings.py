"""Print options, warning filters, the recursion limit and levels of loggers are the program's.

[0.33 0.67]
UserWarning
5000 5000
DEBUG True
"""

import logging
import sys
import warnings

import numpy as np
from ways import open_way


def show():
    return str(np.array([1 / 3, 2 / 3]))


def warn():
    try:
        warnings.warn("an error here", UserWarning, stacklevel=1)
    except UserWarning as error:
        return type(error).__name__
    return "only a warning"


def deep(n):
    return 0 if n == 0 else 1 + deep(n - 1)


def limit(_):
    return sys.getrecursionlimit()


def level():
    logger = logging.getLogger("faithful.levels")
    return logging.getLevelName(logger.level), logger.isEnabledFor(logging.DEBUG)


if __name__ == "__main__":
    with open_way() as way:
        np.set_printoptions(precision=2)
        print(way.call(show))
        warnings.simplefilter("error", UserWarning)
        print(way.call(warn))
        sys.setrecursionlimit(5000)
        print(way.run(limit, [0])[0], 2000 + way.call(deep, 3000))
        logging.getLogger("faithful.levels").setLevel(logging.DEBUG)
        print(*way.call(level))
