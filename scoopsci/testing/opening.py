"""The engine under test: how it is opened, and what it is able to do."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, ClassVar

import numpy as np
import pytest

from scoopsci import Engine, open_engine
from scoopsci.testing.leaks import check_leaks
from scoopsci.testing.tasks import meet

__all__ = ["EngineUnderTest"]


class EngineUnderTest:
    """The base of the contract: a class of tests for one engine.

    Attributes
    ----------
    name : str
        Its name among the entry points of the group ``scoopsci.engines``.
    n_workers : int, optional
        Number of workers to open it with; by default the engine's own choice, which it must report.
    in_caller : bool
        Whether tasks run in the process that submits them, as in threads: its handlers then get
        their warnings and log records unlabelled.
    workers_can_die : bool
        Whether a task may end its worker without breaking the engine. Where this is False, the
        tests that kill workers are skipped.
    patience_s : float
        Seconds after which a call that has not returned counts as a failure.
    """

    name: ClassVar[str]
    n_workers: ClassVar[int | None] = None
    in_caller: ClassVar[bool] = False
    workers_can_die: ClassVar[bool] = True
    patience_s: ClassVar[float] = 60.0

    @classmethod
    def open_engine(cls) -> Engine:
        """Open the engine; override this for an engine that needs options of its own.

        Returns
        -------
        Engine
            From `scoopsci.open_engine`.
        """
        return open_engine(cls.name, n_workers=cls.n_workers)

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
        """Open the engine for all tests of the class, and wait until all of its workers have met.

        Each has then been sent an array, and has opened what it keeps open.

        Parameters
        ----------
        tmp_path_factory : pytest.TempPathFactory
            Makes the folder where they meet.

        Yields
        ------
        Engine
            The engine.
        """
        with cls.open_engine() as opened:
            gather = partial(meet, tmp_path_factory.mktemp("workers"), opened.n_workers)
            arrays = [np.zeros(1 << 18)] * 4 * opened.n_workers
            list(opened.map(gather, arrays, timeout=cls.patience_s))
            yield opened

    @pytest.fixture(autouse=True)
    def no_leaks(self) -> Iterator[None]:
        """Fail a test that leaves a thread, a descriptor or a child process behind.

        Yields
        ------
        None
            While the test runs.
        """
        with check_leaks():
            yield

    def options(self, engine: Engine, **more: Any) -> Any:
        """Return options for a run on the engine, which fails if it takes too long.

        Parameters
        ----------
        engine : Engine
            The engine.
        **more
            Further options of the run.

        Returns
        -------
        dict
            All of them.
        """
        return {"engine": engine, "timeout": self.patience_s, **more}
