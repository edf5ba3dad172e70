"""A user's package."""

from . import birds
from .errors import CageError

__all__ = ["birds", "find_cage"]


def find_cage(word):
    raise CageError(f"no cage for {word!r}")
