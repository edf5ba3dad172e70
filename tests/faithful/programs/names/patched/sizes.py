"""A module that the program changes."""

UNIT = "metre"


def area(x):
    return x**2


def describe():
    return UNIT
