"""How many processors this process may use."""

from __future__ import annotations

import contextlib
import math
import os
from pathlib import Path

__all__ = ["count_processors"]

#: Where Linux shows the quota of this container or job: version 2 of control groups, and 1.
GROUPS = Path("/sys/fs/cgroup")

#: The variable by which loky, and so joblib and scikit-learn, are told to use fewer.
MOST = "LOKY_MAX_CPU_COUNT"


def count_processors() -> int:
    """Return how many processors this process may use, at least 1.

    Returns
    -------
    int
        The least of its affinity, the quota of its control group, rounded up, and the environment
        variable ``LOKY_MAX_CPU_COUNT``; as `loky.cpu_count`, without loading loky.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    counts = [os.cpu_count() or 1 if affinity is None else len(affinity(0))]
    with contextlib.suppress(OSError, ValueError):
        counts.append(_read_quota())
    with contextlib.suppress(KeyError, ValueError):
        counts.append(int(os.environ[MOST]))
    return max(1, min(counts))


def _read_quota() -> int:
    """Return the quota, in processors; raise a ValueError or OSError if there is none."""
    whole = GROUPS / "cpu.max"
    if whole.exists():
        quota, period = whole.read_text("ascii").split()
    else:
        quota, period = (
            (GROUPS / "cpu" / f"cpu.cfs_{name}_us").read_text("ascii")
            for name in ("quota", "period")
        )
    n_processors = math.ceil(int(quota) / int(period))
    if n_processors < 1:
        raise ValueError(f"a quota is positive, got {quota}")
    return n_processors
