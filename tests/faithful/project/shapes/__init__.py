"""Shapes."""

from .errors import ShapeError


def find_shape(word):
    from .inner.kinds import Kind

    try:
        return Kind[word]
    except KeyError:
        raise ShapeError(f"no shape {word!r}") from None
