"""Its module."""


def own():
    return "own xdrlib.sub"
