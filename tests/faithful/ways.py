# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""The ways to run the programs of this folder: each opens the engine that WAY names."""

import contextlib
import os

import scoopsci

#: In this process, by workers of this machine, and by those of a SCOOP program: first as an engine
#: of scoopsci, then by SCOOP's own interface, and last under ``python -m scoop``.
WAYS = ("serial", "processes", "pool", "run", "futures", "scoop")


class Way:
    """An engine, and a library's call on it."""

    def __init__(self, engine):
        self.engine = engine
        self.submit = engine.submit

    def call(self, fn, *args, **kwargs):
        """Return the result of one task."""
        return self.submit(fn, *args, **kwargs).result()

    def map(self, fn, *iterables):
        """Return the results of a map by the engine's own method."""
        return list(self.engine.map(fn, *iterables))

    def run(self, fn, *iterables, **options):
        """Return the results of a map by the library, as one run."""
        return list(scoopsci.map(fn, *iterables, engine=self.library, **options))

    @property
    def library(self):
        """The engine by which the library's functions do the same."""
        return self.engine if isinstance(self.engine, scoopsci.Engine) else "auto"


@contextlib.contextmanager
def open_way(n_workers=2, initializer=None, initargs=(), **options):
    """Yield the `Way` that the environment names."""
    name = os.environ["WAY"]
    if initializer is not None and name != "serial":
        options.update(initializer=initializer, initargs=initargs)
    if name == "serial":
        if initializer is not None:
            initializer(*initargs)
        with scoopsci.open_engine("serial") as engine:
            yield Way(engine)
    elif name == "futures":
        from scoop import futures

        yield Way(futures)
    elif name == "pool":
        with scoopsci.Pool(n_workers, **options) as pool:
            yield Way(pool)
    elif name == "processes":
        with scoopsci.open_engine("processes", n_workers=n_workers, **options) as engine:
            yield Way(engine)
    else:
        with scoopsci.open_engine("scoop", **options) as engine:
            yield Way(engine)
