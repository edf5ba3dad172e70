"""Recordings of a pool: the events of the machines of its driver and broker, which can be replayed.

A recording has a line of JSON for each event: the side, the time, the name of the event, and its
fields. Of frames it has the sizes only, and it is bounded.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scoopsci.protocol.beliefs import describe_broker, describe_driver
from scoopsci.protocol.broker import BrokerMachine
from scoopsci.protocol.driver import DriverMachine
from scoopsci.protocol.losses import Losses
from scoopsci.protocol.machine import Machine

__all__ = ["RECORD_VARIABLE", "Handle", "Recorder", "create_trace", "describe_setup", "replay"]

#: The environment variable that has every pool recorded.
RECORD_VARIABLE = "SCOOPSCI_RECORD"

#: Neither the driver nor the broker records more than this.
MOST_BYTES = 100_000_000

#: Of the configuration, what the broker's machine reads.
CONFIGURED = (
    "folder", "driver", "host_timeout_s", "start_timeout_s", "workers_timeout_s", "mixed",
    "initializes", "version",
)  # fmt: skip
FOR_AGENTS = ("python", "heartbeat_s", "lease_s", "memory_bytes")

#: Fields of events that are bytes.
IN_BYTES = ("peer", "head", "number")

#: The method of a machine.
Handle = Callable[[float, Any], list[Any]]


def create_trace(path: str | os.PathLike[str]) -> str:
    """Create an empty recording that only this user can read, and return its full path."""
    full = os.path.abspath(path)
    Path(full).unlink(missing_ok=True)
    os.close(os.open(full, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    return full


class Recorder:
    """Records the events of one side.

    Parameters
    ----------
    path : str
        The recording.
    side : str
        "driver" or "broker".
    setup : mapping
        What its machine is made from.
    """

    def __init__(self, path: str, side: str, setup: Mapping[str, Any]) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._side = side
        self._n_bytes = 0
        self.note(0.0, "setup", setup)

    def recording(self, handle: Handle) -> Handle:
        """Return the method of a machine, which also records its events."""

        def record(now_s: float, event: Any) -> list[Any]:
            try:
                return handle(now_s, event)
            finally:  # after the names that it has drawn
                self.note(now_s, type(event).__name__, *map(_pack, event._fields, event))

        return record

    def note(self, now_s: float, name: str, *fields: Any) -> None:
        """Write a line."""
        if self._n_bytes > MOST_BYTES:
            return
        line = f"{json.dumps([self._side, now_s, name, *fields])}\n".encode()
        self._n_bytes += len(line)
        if self._n_bytes > MOST_BYTES:
            line = f"{json.dumps([self._side, now_s, 'full'])}\n".encode()
        os.write(self._file, line)  # whole, as the other side's are

    def close(self, now_s: float, beliefs: Mapping[str, Any]) -> None:
        """Write what the machine believes at the end."""
        self.note(now_s, "end", beliefs)
        os.close(self._file)


def describe_setup(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the broker's machine is made from, without what is secret in it."""
    hosts = [
        {
            "label": host["label"],
            "n_workers": host["n_workers"],
            "place": {"destination": host["place"]["destination"]},
        }
        for host in config["hosts"]
    ]
    agent = {name: config["agent"][name] for name in FOR_AGENTS}
    return {**{name: config[name] for name in CONFIGURED}, "hosts": hosts, "agent": agent}


def _pack(field: str, value: Any) -> Any:
    if field == "frames":
        return [memoryview(frame).nbytes for frame in value]
    if field == "judge":
        return value is not None
    return value.decode("latin-1") if isinstance(value, bytes) else value


# --- replay


def replay(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Run the machines of a recorded pool again.

    Parameters
    ----------
    path : path-like
        The recording.

    Returns
    -------
    dict
        For ``driver`` and ``broker``: ``n_events``, the time ``last_s`` of the last one, what the
        machine ``believes`` after it, whether the recording ``is_full``, and ``agrees``: whether
        the machine believed the same when the pool was closed, or None if it was not.

    Raises
    ------
    ValueError
        If the file is no recording.
    """
    sides: dict[str, _Side] = {}
    try:
        for side, now_s, name, *fields in _read(path):
            if name == "setup":
                sides[side] = _SIDES[side](fields[0])
            else:
                sides[side].take(now_s, name, fields)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"{path} is no recording of a pool: {error!r}") from None
    return {side: found.describe() for side, found in sides.items()}


def _read(path: str | os.PathLike[str]) -> Iterator[Any]:
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.endswith("\n"):  # else its writer was killed
                yield json.loads(line)


class _Side:
    """A machine that is run again."""

    machine: Machine

    def __init__(self) -> None:
        self._n_events, self._last_s = 0, 0.0
        self._is_full = False
        self._agrees: bool | None = None

    def take(self, now_s: float, name: str, fields: Sequence[Any]) -> None:
        """Take a line."""
        if name == "full":
            self._is_full = True
        elif name == "end":
            self._agrees = (
                None if self._is_full else fields[0] == json.loads(json.dumps(self.believes()))
            )
        else:
            event = self.machine.events[name]
            self._n_events, self._last_s = self._n_events + 1, now_s
            self.machine.handle(now_s, event(*map(self.unpack, event._fields, fields)))

    def unpack(self, field: str, value: Any) -> Any:
        """Return a field of an event as it was."""
        return value.encode("latin-1") if field in IN_BYTES else value

    def believes(self) -> dict[str, Any]:
        """Return what the machine believes."""
        raise NotImplementedError

    def describe(self) -> dict[str, Any]:
        """Return what has come of it."""
        return {
            "n_events": self._n_events,
            "last_s": self._last_s,
            "is_full": self._is_full,
            "agrees": self._agrees,
            "believes": self.believes(),
        }


class _Driver(_Side):
    machine: DriverMachine

    def __init__(self, setup: Mapping[str, Any]) -> None:
        super().__init__()
        self._poison_after = setup["poison_after"]
        self.machine = DriverMachine(setup["begun_s"])

    def unpack(self, field: str, value: Any) -> Any:
        if field == "judge":
            return Losses(self._poison_after).judge if value else None
        return super().unpack(field, value)

    def believes(self) -> dict[str, Any]:
        return describe_driver(self.machine)


class _Broker(_Side):
    machine: BrokerMachine

    def __init__(self, setup: Mapping[str, Any]) -> None:
        super().__init__()
        self._names: list[str] = []
        self.machine = BrokerMachine(setup, self._make_name)

    def _make_name(self) -> str:
        return self._names.pop(0)

    def take(self, now_s: float, name: str, fields: Sequence[Any]) -> None:
        if name == "names":
            self._names += fields
        else:
            super().take(now_s, name, fields)

    def unpack(self, field: str, value: Any) -> Any:
        if field == "heard_s":
            return {int(number): heard_s for number, heard_s in value.items()}
        return super().unpack(field, value)

    def believes(self) -> dict[str, Any]:
        return describe_broker(self.machine)


_SIDES: dict[str, type[Any]] = {"driver": _Driver, "broker": _Broker}
