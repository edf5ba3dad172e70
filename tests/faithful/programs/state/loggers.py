"""Loggers of the script, with their handlers and filters, are used by tasks.

['INFO faithful.tasks 1', 'WARNING faithful.tasks 2']
True faithful.tasks 20
"""

import io
import logging

from ways import open_way

logger = logging.getLogger("faithful.tasks")
logger.setLevel(logging.INFO)
logger.propagate = False


def attach():
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
    logger.addHandler(handler)
    return stream, handler


def talk():
    stream, handler = attach()
    logger.debug("not shown")
    logger.info("1")
    logger.warning("2")
    logger.removeHandler(handler)
    return stream.getvalue().splitlines()


def look():
    return logger is logging.getLogger("faithful.tasks"), logger.name, logger.level


if __name__ == "__main__":
    logger.addHandler(logging.StreamHandler(io.StringIO()))
    with open_way() as way:
        print(way.call(talk))
        print(*way.call(look))
