"""The contract, for local processes."""

from __future__ import annotations

from tests.engines.contract import WorkersContract


class TestProcesses(WorkersContract):
    name = "processes"
