"""The events and the actions of the broker's machine.

Hosts are named by their numbers in the hostfile, peers of the socket by their names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

__all__ = [
    "AgentEnded",
    "Beat",
    "DropAgent",
    "Forward",
    "Forwarded",
    "LogLoss",
    "Message",
    "NoAgent",
    "Order",
    "Reported",
    "Send",
    "SendData",
    "Start",
    "StartAgent",
    "TellDriver",
    "TellStatus",
    "TellUnusable",
    "Tick",
    "Undelivered",
]

# --- events


class Start(NamedTuple):
    """The broker begins to serve."""


class Message(NamedTuple):
    """A message has arrived from a peer."""

    peer: bytes
    head: bytes
    frames: Sequence[Any]


class Undelivered(NamedTuple):
    """The peer of a message is not connected."""

    peer: bytes
    head: bytes
    frames: Sequence[Any]


class NoAgent(NamedTuple):
    """The process of an agent, or of its ssh, could not be started."""

    host: int
    why: str


class Reported(NamedTuple):
    """An agent has sent a line."""

    host: int
    report: Mapping[str, Any]


class AgentEnded(NamedTuple):
    """The connection to an agent has ended."""

    host: int


class Forwarded(NamedTuple):
    """The command that forwards the socket of a host has ended, with its status and words."""

    host: int
    attempt: int
    status: int
    words: str


class Tick(NamedTuple):
    """Some time has passed; agents have been heard last at these times, by their hosts."""

    heard_s: Mapping[int, float]


# --- actions


class Send(NamedTuple):
    """Send a message, or report that it is undelivered."""

    peer: bytes
    head: bytes
    frames: Sequence[Any] = ()


class TellDriver(NamedTuple):
    """Send a message to the driver as soon as it is connected."""

    head: bytes
    frames: Sequence[Any] = ()


class TellStatus(NamedTuple):
    """Answer the driver's request for the status, and add the log of losses."""

    number: bytes
    found: dict[str, Any]


class TellUnusable(NamedTuple):
    """Tell the driver that a host cannot be used: with the agent's last words, and a remedy."""

    host: int
    why: str


class SendData(NamedTuple):
    """Send the data of a broadcast, or that it does not exist."""

    peer: bytes
    name: str


class StartAgent(NamedTuple):
    """Start the agent of a host, which removes folders that others have left there."""

    host: int
    stale: Sequence[str]


class Order(NamedTuple):
    """Send a line to an agent."""

    host: int
    order: Mapping[str, Any]


class Beat(NamedTuple):
    """Send a heartbeat to an agent."""

    host: int


class Forward(NamedTuple):
    """Forward a path on a host to the broker's socket, over the connection of its agent."""

    host: int
    attempt: int
    there: str


class DropAgent(NamedTuple):
    """End an agent, its connection, and the forwarding of a socket if there is one."""

    host: int
    socket: str | None


class LogLoss(NamedTuple):
    """Add a loss to the log: of a worker, or of a host if no process is given."""

    host: str
    pid: int | None
    why: str
