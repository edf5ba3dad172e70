"""A module whose names are all imported."""

import os

__all__ = ["SIDES", "os_name", "square"]

SIDES = 3
os_name = os.name


def square(x):
    return x**2
