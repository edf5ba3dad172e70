"""A module whose functions tell by an object of its own that an argument is missing."""

_MISSING = object()


def get(default=_MISSING, seen=[]):  # noqa: B006
    return default is _MISSING, list(seen)


class Box:
    _empty = _MISSING

    def get(self, default=_MISSING, seen=[]):  # noqa: B006
        return default is _MISSING, self._empty is _MISSING, list(seen)
