"""Birds."""

from .parrots import Parrot

__all__ = ["Parrot"]
