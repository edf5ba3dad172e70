"""The public names: what `scoopsci` promises, and what the modules in its root add."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

import scoopsci

#: Modules that users import, beside the package itself: those in its root, and those for tests.
ROOT_MODULES = ("montecarlo", "mapreduce", "mergesort", "compare", "report", "hosts", "errors")
PUBLIC_MODULES = (*ROOT_MODULES, "testing.engines", "testing.leaks")


def public_names() -> Iterator[tuple[str, str]]:
    """Yield the place and the name of each public object, once."""
    for name in scoopsci.__all__:
        yield "scoopsci", name
    for place in (f"scoopsci.{name}" for name in PUBLIC_MODULES):
        module = importlib.import_module(place)
        for name in module.__all__:
            if getattr(scoopsci, name, None) is not getattr(module, name):
                yield place, name
