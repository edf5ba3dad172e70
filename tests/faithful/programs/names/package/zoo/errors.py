"""Errors of the package."""


class CageError(LookupError):
    """No such cage."""
