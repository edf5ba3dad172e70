"""A module that only tasks import."""

from functools import cache

VALUE = 7


class Own:
    @classmethod
    @cache
    def of(cls):
        return cls()
