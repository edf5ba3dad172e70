"""One instrument out of a handful of machines that answer to SSH."""

from importlib.metadata import version

from scoopsci.engines.base import Engine, open_engine
from scoopsci.errors import (
    EngineError,
    EngineNotStartedError,
    EngineTimeoutError,
    EngineUnavailableError,
    HostfileError,
    LedgerError,
    PoisonTaskError,
    ScoopsciError,
    TaskError,
    WorkerLostError,
)
from scoopsci.estimates import DoubtfulEstimateWarning, Estimate, PiEstimate
from scoopsci.mapreduce import (
    map,
    map_as_completed,
    map_reduce,
    map_reduce_by_key,
    map_scan,
    starmap,
)
from scoopsci.mergesort import merge_sort
from scoopsci.montecarlo import estimate, integrate, pi

__version__ = version("scoopsci")

__all__ = [
    "DoubtfulEstimateWarning",
    "Engine",
    "EngineError",
    "EngineNotStartedError",
    "EngineTimeoutError",
    "EngineUnavailableError",
    "Estimate",
    "HostfileError",
    "LedgerError",
    "PiEstimate",
    "PoisonTaskError",
    "ScoopsciError",
    "TaskError",
    "WorkerLostError",
    "estimate",
    "integrate",
    "map",
    "map_as_completed",
    "map_reduce",
    "map_reduce_by_key",
    "map_scan",
    "merge_sort",
    "open_engine",
    "pi",
    "starmap",
]
