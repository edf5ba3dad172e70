"""A hash of a user's code and of the values it refers to."""

from __future__ import annotations

import hashlib
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from scoopsci.basics.description import Description

__all__ = [
    "HASH_VERSION",
    "Code",
    "describe_code",
    "hash_code",
    "hash_values",
    "identify",
    "list_doubts",
]

#: How code is hashed: hashes of other versions cannot be compared. Bytecode is that of a minor
#: version of Python.
HASH_VERSION = f"version 2, Python {sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True, slots=True)
class Code:
    """What is known of a function's code and the values it refers to.

    Attributes
    ----------
    hash : str
        See `hash_code`.
    names : dict
        A short hash of what each name stands for: functions and classes by qualified name,
        globals, arguments with defaults, closure variables and attributes.
    doubts : dict
        The names of captured generators, and of distributions that draw from their own, each with
        its kind.
    reaches_compiled : bool
        Whether a function compiled by numba is among it.
    """

    hash: str
    names: dict[str, str]
    doubts: dict[str, str]
    reaches_compiled: bool


def describe_code(*values: object, most_items: int | None = None) -> Code:
    """Describe a user's code, with all that it reads.

    Parameters
    ----------
    *values
        Functions, and objects that hold functions; see `hash_code`.
    most_items : int, optional
        Look at no more items of each container: enough for doubts, and no hash.
    """
    description = Description(has_names=True, most_items=most_items)
    roots = {}
    for number, value in enumerate(values):
        named = value if hasattr(value, "__qualname__") else type(value)
        roots[str(number)] = str(named.__qualname__)
        description.add(value, str(number))

    def display(path: str) -> str:
        root, dot, rest = path.partition(".")
        return f"{roots.get(root, root)}{dot}{rest}"

    names: dict[str, bytes] = defaultdict(bytes)
    for path, digest in sorted(description.names.items()):
        names[display(path)] += digest.digest()
    return Code(
        description.hash,
        {name: hashlib.sha256(digests).hexdigest()[:16] for name, digests in names.items()},
        {display(path): kind for path, kind in description.found.doubts().items()},
        description.found.reaches_compiled,
    )


def hash_code(fn: Callable[..., object]) -> str:
    """Hash a user's code, to tell two receipts of different functions apart.

    Parameters
    ----------
    fn : callable
        A function, a `functools.partial`, a method, or an object of a class with ``__call__``.

    Returns
    -------
    str
        SHA-256 of its bytecode, defaults, closure, attributes and the globals that it reads, as
        they are now. References to the user's own modules are followed, as are those to functions
        compiled by numba, which may be inlined; objects are described by what pickle would store,
        and classes by all their attributes. The standard library, installed packages and scoopsci
        are identified by name. The same in every process of one minor version of Python.

    Notes
    -----
    Docstrings, comments and line numbers do not count; nor do weak references, and the values that
    `functools.cache` and `functools.cached_property` keep. A cache of your own, which calls fill,
    is excluded by name: a function, class or object lists the names of its attributes, globals and
    closure variables that do not count in ``__scoopsci_ignore__``, a tuple.

    What cannot be seen: files, environment variables and other machines; code in text, as for
    `eval`; attributes of modules and objects whose names are computed; the state of C extensions;
    the versions of installed packages, which the receipt has.

    Examples
    --------
    >>> from functools import partial
    >>> hash_code(partial(pow, 2)) == hash_code(partial(pow, 3))
    False
    """
    return hash_values([fn])


def hash_values(values: Iterable[object]) -> str:
    """Hash the inputs of blocks, to tell whether two runs have the same inputs.

    Parameters
    ----------
    values : iterable
        Plain values, arrays, and containers or objects that hold such values.

    Returns
    -------
    str
        SHA-256; the same for a list, a range or an array slice of the same items.
    """
    description = Description()
    for value in values:
        description.add(value)
    return description.hash


def identify(codes: Mapping[str, Code]) -> dict[str, Any]:
    """Return the part of a ledger's identity by which it names the differences of code.

    Parameters
    ----------
    codes : mapping
        Each under the name by which the identity has its hash; without any, there is no such part.
    """
    names = {name: code.names for name, code in codes.items()}
    return {"names": names, "hashed": HASH_VERSION} if codes else {}


def list_doubts(codes: Mapping[str, Code], remedy: str) -> tuple[str, ...]:
    """Return a warning for each captured source of random numbers.

    Parameters
    ----------
    codes : mapping
        Functions.
    remedy : str
        What to do, the end of each warning.
    """
    return tuple(
        f"the function has captured {name}, {kind}: numbers drawn from it may repeat, and do not "
        f"follow from the seed; {remedy}"
        for code in codes.values()
        for name, kind in code.doubts.items()
    )
