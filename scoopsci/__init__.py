"""Monte Carlo, map-reduce and sorting on machines reached by SSH."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from scoopsci.engines.base import Engine
from scoopsci.engines.opening import open_engine
from scoopsci.engines.taskfuture import TaskFuture
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
from scoopsci.estimation.estimates import (
    DistantGoalWarning,
    DoubtfulEstimateWarning,
    Estimate,
    PiEstimate,
)
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
from scoopsci.reporting.progress import Progress
from scoopsci.road.options import RunOptions
from scoopsci.road.replay import Replay, describe_ledger, replay_block, verify_ledger

if TYPE_CHECKING:
    from scoopsci.dashboard import Dashboard
    from scoopsci.deployment.doctor import Check, Diagnoses, Diagnosis, examine_hosts
    from scoopsci.deployment.install import install_hosts
    from scoopsci.engines.pool import Pool
    from scoopsci.pool.broadcast import Broadcast

__version__ = version("scoopsci")

__all__ = [
    "Antithetic",
    "Broadcast",
    "Check",
    "ControlVariates",
    "Dashboard",
    "Diagnoses",
    "Diagnosis",
    "DistantGoalWarning",
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
    "Progress",
    "Replay",
    "RunOptions",
    "ScoopsciError",
    "TaskError",
    "TaskFuture",
    "WorkerLostError",
    "describe_ledger",
    "estimate",
    "examine_hosts",
    "install_hosts",
    "integrate",
    "map",
    "map_as_completed",
    "map_reduce",
    "map_reduce_by_key",
    "map_scan",
    "merge_sort",
    "open_engine",
    "pi",
    "replay_block",
    "starmap",
    "verify_ledger",
]

#: Imported when they are asked for: with them come ZeroMQ, SSH or a server of pages.
_LAZY = {
    "Broadcast": "scoopsci.pool.broadcast",
    "Check": "scoopsci.deployment.doctor",
    "Dashboard": "scoopsci.dashboard",
    "Diagnoses": "scoopsci.deployment.doctor",
    "Diagnosis": "scoopsci.deployment.doctor",
    "Pool": "scoopsci.engines.pool",
    "examine_hosts": "scoopsci.deployment.doctor",
    "install_hosts": "scoopsci.deployment.install",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used; see `_LAZY`."""
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
