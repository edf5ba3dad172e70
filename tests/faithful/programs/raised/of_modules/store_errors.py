"""A module with a tree of errors."""


class StoreError(Exception):
    """The root."""


class Missing(StoreError, KeyError):
    """A key is missing."""

    def __str__(self):
        return f"no {self.args[0]!r} in store"


def find(key):
    raise Missing(key)
