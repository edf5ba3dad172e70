"""The engine under test, once for each suite."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import cloudpickle
import numpy as np
import pytest

from scoopsci import Engine, open_engine


@pytest.fixture(scope="class")
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Open the engine that the suite names, with all of its workers seen."""
    with open_engine(request.cls.name) as opened:
        array = np.zeros(1 << 18)
        list(opened.map(_sleep, [array] * 4 * opened.n_workers, timeout=60))
        yield opened


def _sleep(_: object) -> None:
    time.sleep(0.1)


cloudpickle.register_pickle_by_value(sys.modules[__name__])
