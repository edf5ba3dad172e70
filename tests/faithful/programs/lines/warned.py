"""Warnings, log records and inspect know the file and line of the code of a task.

warned.py True OwnWarning
warned.py True talk
def look_at():
    return 'source'
"""

import inspect
import logging
import warnings
from pathlib import Path

from ways import open_way


class OwnWarning(UserWarning):
    pass


def warn():
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        warnings.warn("doubtful", OwnWarning, stacklevel=1)
    one = found[0]
    is_line = one.lineno == warn.__code__.co_firstlineno + 3
    return Path(one.filename).name, is_line, one.category.__name__


class Keeper(logging.Handler):
    def emit(self, record):
        self.record = record


def talk():
    logger, keeper = logging.getLogger("faithful.lines"), Keeper()
    logger.addHandler(keeper)
    logger.propagate = False
    logger.warning("said")
    logger.removeHandler(keeper)
    record = keeper.record
    is_line = record.lineno == talk.__code__.co_firstlineno + 4
    return Path(record.pathname).name, is_line, record.funcName


# fmt: off
def look_at():
    return 'source'
# fmt: on


def source():
    return inspect.getsource(look_at).rstrip()


if __name__ == "__main__":
    with open_way() as way:
        print(*way.call(warn))
        print(*way.call(talk))
        print(way.call(source))
