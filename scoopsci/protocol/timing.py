"""How long the sides of a pool wait for each other."""

from __future__ import annotations

__all__ = ["FIRST_RETRY_S", "LAST_RETRY_S", "PARTING_S", "find_times"]

#: A pool fails after this multiple of host_timeout without a worker.
LONELY_TIMES = 4

#: Interval between heartbeats of agent and broker, and the least number of them in a host_timeout:
#: a single late one is no loss.
HEARTBEAT_S, BEATS_PER_TIMEOUT = 2.0, 4

#: Agents end after this multiple of host_timeout without a message from the broker.
LEASE_TIMES = 2

#: Time before the first attempt to reach a lost host again; it doubles, up to the last.
FIRST_RETRY_S, LAST_RETRY_S = 1.0, 10.0

#: Workers have so long to end: to run what they have registered for it, and to flush files.
PARTING_S = 4.0


def find_times(host_timeout_s: float) -> dict[str, float]:
    """Return the times that follow from the silence after which a host counts as lost."""
    return {
        "heartbeat_s": min(HEARTBEAT_S, host_timeout_s / BEATS_PER_TIMEOUT),
        "lease_s": LEASE_TIMES * host_timeout_s,
        "workers_timeout_s": LONELY_TIMES * host_timeout_s,
    }
