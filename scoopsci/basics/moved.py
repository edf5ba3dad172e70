"""Former names of our modules, kept in hashes from before the package had rooms."""

from __future__ import annotations

__all__ = ["former_name"]

ROOMS = {
    "basics": "arguments codehash extras interrupts wording",
    "deployment": "doctor environment install probe wheels",
    "estimation": "comoments compiled estimates estimators fused integrand kernels moments qmc "
    "streams variance",
    "reporting": "bars markup plots receipts timeline workers",
    "road": "blocks chunks dispatch ledger mapcalls options replay runs sampling stopping",
}

FORMER = {
    f"scoopsci.{room}.{name}": f"scoopsci.{name}"
    for room, names in ROOMS.items()
    for name in names.split()
}
FORMER["scoopsci.reporting.progress"] = "scoopsci.reporting"

FORMER["scoopsci.estimation.intervals"] = "scoopsci.estimates"
FORMER["scoopsci.engines.opening"] = FORMER["scoopsci.engines.taskfuture"] = "scoopsci.engines.base"


def former_name(module_name: str) -> str:
    """Return the original name of a module of ours, so that moving it changes no hash."""
    return FORMER.get(module_name, module_name)
