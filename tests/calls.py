"""Work for a dispatch: a function of a block's index and input, which travels by value."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import cloudpickle


@dataclass(frozen=True)
class CallBlocks:
    """Calls ``fn(block, value)`` for each input."""

    fn: Callable[[int, Any], Any]

    def __call__(self, start: int, inputs: Iterator[Any]) -> Iterator[Any]:
        for block, value in enumerate(inputs, start):
            yield self.fn(block, value)


# Workers of other engines cannot import the tests.
cloudpickle.register_pickle_by_value(sys.modules[__name__])
