"""A user's module."""

import enum


class ShapeError(Exception):
    """No such shape."""


class Kind(enum.Enum):
    A = 1
    B = 2

    @property
    def other(self):
        return Kind.B if self is Kind.A else Kind.A

    @property
    def kind(self):
        return Shape


class Shape:
    def __init__(self, kind):
        assert isinstance(kind, Kind)
        self.kind = kind

    @classmethod
    def of(cls, word):
        return cls(find_kind(word))


def find_kind(word):
    try:
        return Kind[word]
    except KeyError:
        raise ShapeError(f"no shape for {word!r}") from None
