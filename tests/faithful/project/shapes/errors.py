"""Errors of the package."""


class ShapeError(Exception):
    """No such shape."""
