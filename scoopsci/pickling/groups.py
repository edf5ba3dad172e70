"""Objects that refer to each other: they are pickled together, and a worker makes them at once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from scoopsci.pickling.names import Key

__all__ = ["Group", "find_cycles"]

#: Groups that a worker keeps: the members of one are defined one after another.
N_KEPT = 64

_made: OrderedDict[Any, Mapping[Key, Any]] = OrderedDict()


class Group:
    """Becomes one of several values when it is unpickled.

    Parameters
    ----------
    number : tuple
        Of the group, in the present version.
    values : mapping of Key to object
        Its members.
    key : Key
        The one that it becomes.
    """

    def __init__(self, number: Any, values: Mapping[Key, Any], key: Key) -> None:
        self._call = number, values, key

    def __reduce__(self) -> Any:
        return _take, self._call


def _take(number: Any, values: Mapping[Key, Any], key: Key) -> Any:
    found = _made.setdefault(number, values)[key]
    while len(_made) > N_KEPT:
        _made.popitem(last=False)
    return found


def find_cycles(references: Mapping[Key, Iterable[Key]]) -> Iterator[set[Key]]:
    """Yield the sets of names each of which refers to all of its set, directly or not."""
    reached = {key: _follow(key, references) for key in references}
    seen: set[Key] = set()
    for key in references:
        group = {other for other in reached[key] if key in reached.get(other, ())}
        if group - {key} and key not in seen:
            seen |= group
            yield group


def _follow(key: Key, references: Mapping[Key, Iterable[Key]]) -> set[Key]:
    found: set[Key] = set()
    ahead = list(references[key])
    while ahead:
        following = ahead.pop()
        if following not in found:
            found.add(following)
            ahead.extend(references.get(following, ()))
    return found
