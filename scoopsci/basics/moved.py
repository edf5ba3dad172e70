"""Former names of our modules, kept in ledgers and hashes from before the package had rooms."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable
from typing import Any

__all__ = ["former_name", "load_recorded"]

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

MOVED = {former: name for name, former in FORMER.items()}

FORMER["scoopsci.estimation.intervals"] = "scoopsci.estimates"
FORMER["scoopsci.engines.opening"] = FORMER["scoopsci.engines.taskfuture"] = "scoopsci.engines.base"


def former_name(module_name: str) -> str:
    """Return the original name of a module of ours, so that moving it changes no hash."""
    return FORMER.get(module_name, module_name)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module_name: str, name: str) -> Any:
        return super().find_class(MOVED.get(module_name, module_name), name)


def load_recorded(pickled: bytes, buffers: Iterable[Any] = ()) -> Any:
    """Unpickle a ledger's content, even if our classes have moved since it was written.

    Parameters
    ----------
    pickled : bytes
        A pickle that can be trusted.
    buffers : iterable of buffer
        Its out-of-band buffers.
    """
    return _Unpickler(io.BytesIO(pickled), buffers=buffers).load()
