"""What agents report: why a host cannot be used, and why a worker has ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scoopsci.protocol.members import Worker

__all__ = ["SURPLUS", "explain_end", "find_fault"]

#: Why a surplus worker is ended; not a loss.
SURPLUS = "no longer wanted"


def find_fault(report: Mapping[str, Any], config: Mapping[str, Any]) -> str | None:
    """Return why a host cannot be used, as words that follow its name, or None.

    Parameters
    ----------
    report : mapping
        The agent's first line.
    config : mapping
        See `scoopsci.protocol.broker.BrokerMachine`.
    """
    if "other_python" in report:
        ours = ".".join(map(str, config["agent"]["python"]))
        return (
            f"has Python {report['other_python']}, the driver {ours}; all hosts need the "
            f"same minor version: install {ours} there, or name it by python="
        )
    theirs = report["hello"]["versions"]["scoopsci"]
    if theirs != config["version"]:
        return (
            f"has scoopsci {theirs}, the driver {config['version']}; install the same version there"
        )
    limit = config["agent"]["memory_bytes"]
    if limit is not None and report["memory_bytes"] >= limit:
        return (
            f"has workers that use {report['memory_bytes']} bytes from their start, which "
            f"exceeds worker_memory={limit}; allow them more"
        )
    return None


def explain_end(
    worker: Worker, report: Mapping[str, Any], memory_bytes: int | None
) -> tuple[str, bool]:
    """Return why a worker has ended, and whether the task that it ran is to blame."""
    if report["killed_for"] == "memory":
        return f"used more memory than worker_memory={memory_bytes} bytes allows", True
    if worker.doomed:
        return f"was ended ({worker.doomed})", False
    return f"ended with {report['how']}", report["own_doing"]
