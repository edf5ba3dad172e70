"""A module with a decorator that uses a function of its own."""

import functools


def log(message):
    return f"[{message}]"


def timed(fn):
    @functools.wraps(fn)
    def wrapper(*args):
        return log(fn.__name__), fn(*args)

    return wrapper
