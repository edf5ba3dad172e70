"""One instrument out of a handful of machines that answer to SSH."""

from importlib.metadata import version

from scoopsci.engines.base import Engine, open_engine
from scoopsci.errors import (
    EngineError,
    EngineNotStartedError,
    EngineTimeoutError,
    EngineUnavailableError,
    HostfileError,
    PoisonTaskError,
    ScoopsciError,
    TaskError,
    WorkerLostError,
)
from scoopsci.estimates import DoubtfulEstimateWarning, Estimate, PiEstimate
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
    "PiEstimate",
    "PoisonTaskError",
    "ScoopsciError",
    "TaskError",
    "WorkerLostError",
    "estimate",
    "integrate",
    "open_engine",
    "pi",
]
