"""A module that counts its calls."""

N = 0


def count():
    global N
    N += 1
    return N
