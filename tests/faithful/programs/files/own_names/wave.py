"""Another one; tasks import it first."""

from colorsys import OwnError


def own():
    return "own wave"


def fail():
    raise OwnError("own error")
