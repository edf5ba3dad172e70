"""Functions for the tasks of tests, which travel by value."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle

MEETING_S = 60.0


@dataclass(frozen=True)
class CallBlocks:
    """As work for a dispatch: calls ``fn(block, value)`` for each input."""

    fn: Callable[[int, Any], Any]

    def __call__(self, start: int, inputs: Iterator[Any]) -> Iterator[Any]:
        for block, value in enumerate(inputs, start):
            yield self.fn(block, value)


def bracket(left: str, right: str) -> str:
    """Merge so that the result shows every merge: neither associative nor commutative."""
    return f"({left}{right})"


def meet(folder: Path, n_workers: int) -> None:
    """Return once so many workers are in this function, or have been."""
    (folder / f"{os.getpid()}-{threading.get_ident()}").touch()
    deadline = time.monotonic() + MEETING_S
    while len(os.listdir(folder)) < n_workers:
        assert time.monotonic() < deadline, "the other workers do not come"
        time.sleep(0.001)


# Workers of other engines cannot import the tests.
cloudpickle.register_pickle_by_value(sys.modules[__name__])
