"""One instrument out of a handful of machines that answer to SSH."""

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from scoopsci.engines.base import Engine
from scoopsci.engines.opening import open_engine
from scoopsci.errors import (
    EngineError,
    EngineNotStartedError,
    EngineTimeoutError,
    EngineUnavailableError,
    ExtraMissingError,
    HostfileError,
    InstallError,
    LedgerError,
    NotConvergedError,
    PoisonTaskError,
    ScoopsciError,
    TaskError,
    WorkerLostError,
)
from scoopsci.estimation.estimates import DoubtfulEstimateWarning, Estimate, PiEstimate
from scoopsci.estimation.variance import Antithetic, ControlVariates, ImportanceSampling
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

if TYPE_CHECKING:
    from scoopsci.engines.pool import Pool

__version__ = version("scoopsci")

__all__ = [
    "Antithetic",
    "ControlVariates",
    "DoubtfulEstimateWarning",
    "Engine",
    "EngineError",
    "EngineNotStartedError",
    "EngineTimeoutError",
    "EngineUnavailableError",
    "Estimate",
    "ExtraMissingError",
    "HostfileError",
    "ImportanceSampling",
    "InstallError",
    "LedgerError",
    "NotConvergedError",
    "PiEstimate",
    "PoisonTaskError",
    "Pool",
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


def __getattr__(name: str) -> Any:
    """Import the pool, and with it ZeroMQ, when it is asked for."""
    if name == "Pool":
        from scoopsci.engines.pool import Pool

        return Pool
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
