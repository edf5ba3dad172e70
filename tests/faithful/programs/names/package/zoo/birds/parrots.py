"""Parrots."""

from .. import birds
from ..errors import CageError

CAGES = {}


class Parrot:
    def describe(self):
        try:
            raise CageError
        except CageError:
            return f"parrot of {birds.parrots.__name__}"
