"""Starts agents, and talks to them: a process on this machine, or behind ssh on another."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scoopsci.pool.agent import MARK
from scoopsci.pool.place import AGENT, Place

__all__ = ["AgentProcess"]

#: How much of the last output of ssh and the agent is kept for error messages.
TAIL_BYTES = 4_000

#: Standard error may come a little later than the end of standard output.
LAST_WORDS_S = 1.0


class AgentProcess:
    """A started agent, or another program that reads and writes lines of JSON as agents do.

    Parameters
    ----------
    place : Place
        Where to start it.
    config : dict
        The first line to send.
    variables : mapping of str, optional
        Environment variables.
    arguments : sequence of str
        Arguments of Python.
    """

    def __init__(
        self,
        place: Place,
        config: dict[str, Any],
        *,
        variables: Mapping[str, str] | None = None,
        arguments: Sequence[str] = AGENT,
    ) -> None:
        self._process = subprocess.Popen(
            place.command(arguments, variables or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        streams = self._process.stdin, self._process.stdout, self._process.stderr
        self._streams = [stream for stream in streams if stream is not None]
        self._orders, self.lines, self.errors = (stream.fileno() for stream in self._streams)
        for descriptor in (self._orders, self.lines, self.errors):
            os.set_blocking(descriptor, False)
        self._unsent = b""
        self._is_remote = place.destination is not None
        self._n_told_bytes = self._n_read = 0
        self._unread = b""
        self.tail = b""
        self.heard_s = self.asked_s = time.monotonic()
        self.ended = False
        self.tell(**config)

    def tell(self, **order: Any) -> None:
        """Send a line; what the connection does not accept now is kept for the next call."""
        self._unsent += json.dumps(order).encode() + b"\n"
        self._flush()

    def beat(self) -> None:
        """Send a heartbeat to the agent."""
        self.asked_s = time.monotonic()
        if self._unsent:
            self._flush()
        else:
            self.tell(alive=True)

    def _flush(self) -> None:
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            n_bytes = os.write(self._orders, self._unsent)
            self._unsent = self._unsent[n_bytes:]
            self._n_told_bytes += n_bytes

    def listen(self) -> Iterator[dict[str, Any]]:
        """Yield the messages that have arrived since the last call."""
        data = self._read(self.lines)
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            self.heard_s = time.monotonic()
            _, mark, facts = line.decode(errors="replace").partition(MARK)
            message = _read_json(facts) if mark else None
            if message is not None:
                yield message
            else:  # output of a login shell
                self.tail = (self.tail + line + b"\n")[-TAIL_BYTES:]

    def await_messages(self, timeout_s: float) -> list[dict[str, Any]]:
        """Wait some time for output, and return the messages that have arrived."""
        ready = select.select([self.lines, self.errors], [], [], timeout_s)[0]
        if self.errors in ready:
            self.read_errors()
        return list(self.listen()) if self.lines in ready else []

    def read_errors(self) -> bytes:
        """Return its output to standard error since the last call."""
        data = self._read(self.errors)
        self.tail = (self.tail + data)[-TAIL_BYTES:]
        return data

    def _read(self, descriptor: int) -> bytes:
        try:
            data = os.read(descriptor, 1 << 16)
        except BlockingIOError:
            return b""
        self.ended |= not data
        return data

    def last_words(self) -> str:
        """Return the last output, after giving an ended connection time to deliver it."""
        deadline_s = time.monotonic() + LAST_WORDS_S
        while self.ended and (left_s := deadline_s - time.monotonic()) > 0:
            if not select.select([self.errors], [], [], left_s)[0]:
                break
            if not self.read_errors():
                break
        return self.tail.decode(errors="replace").strip()

    def last_life_s(self) -> float:
        """Return the time of the last sign of life, on the clock `time.monotonic`.

        Results on a slow link delay the agent's messages: what ssh reads counts as well, except
        for our own messages.
        """
        if self._is_remote:
            with contextlib.suppress(OSError, ValueError):
                counts = Path(f"/proc/{self._process.pid}/io").read_text("ascii")
                n_read = int(counts.split()[1]) - self._n_told_bytes
                if n_read > self._n_read:
                    self._n_read, self.heard_s = n_read, time.monotonic()
        return self.heard_s

    def dismiss(self) -> None:
        """Close the connection, which ends the agent and its workers."""
        with contextlib.suppress(OSError):
            self._streams[0].close()

    def end(self, timeout_s: float) -> int:
        """Wait until it has ended, or kill it; return its exit status."""
        self.dismiss()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for stream in self._streams:
            stream.close()
        return self._process.returncode


def _read_json(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
