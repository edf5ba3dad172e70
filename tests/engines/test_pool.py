"""The contract, for a pool on this machine."""

from __future__ import annotations

from tests.engines.contract import WorkersContract


class TestPool(WorkersContract):
    name = "pool"
