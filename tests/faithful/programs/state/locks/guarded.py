"""A module with a lock, an open file and a logger with a handler."""

import io
import logging
import threading

LOCK = threading.RLock()
NOTES = open(__file__)  # noqa: SIM115
logger = logging.getLogger(__name__)
logger.addHandler(logging.StreamHandler(io.StringIO()))
logger.setLevel(logging.INFO)
logger.propagate = False


def times_ten(x):
    with LOCK:
        logger.info("times ten")
        return 10 * x


def is_free():
    NOTES.seek(0)
    return NOTES.readline().startswith('"""A module with a lock') and LOCK.acquire(False)
