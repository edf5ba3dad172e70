"""A module that fails."""


def divide(x):
    return 1 // x
