"""A virtual clock, and connections that delay, hold and lose what they carry."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from scoopsci.protocol import messages as kind

__all__ = ["NAMES", "Pipe", "World", "name_message"]

#: Of the kinds of messages.
NAMES = {code: name for name, code in vars(kind).items()
         if isinstance(code, bytes) and len(code) == 2 and name != "BUSY"}  # fmt: skip


def name_message(head: bytes) -> str:
    """Return a message as words: its kind, and what the end of its head names."""
    named = head[2:].decode(errors="backslashreplace").replace("\0", "")
    return f"{NAMES[head[:2]]} {named[-60:].encode('unicode_escape').decode()}"


class World:
    """What happens, in the order of a virtual clock.

    Parameters
    ----------
    seed : int
        The same seed gives the same delays.

    Attributes
    ----------
    now_s : float
        The time.
    rng : random.Random
        For all that is left to chance.
    counts : Counter
        How often what has happened, by its group and name.
    trace : list of str
        What has happened, if it is recorded.
    """

    def __init__(self, seed: int, *, records: bool = False) -> None:
        self.now_s = 0.0
        self.rng = random.Random(seed)
        self.counts: Counter[tuple[str, str]] = Counter()
        self.trace: list[str] | None = [] if records else None
        self._queue: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = itertools.count()

    def after(self, delay_s: float, call: Callable[..., None], *args: Any) -> None:
        """Call something later."""
        self.at(self.now_s + delay_s, call, *args)

    def at(self, at_s: float, call: Callable[..., None], *args: Any) -> None:
        """Call something at a time."""
        heapq.heappush(self._queue, (at_s, next(self._order), call, args))

    def run_until(self, end_s: float, is_over: Callable[[], bool]) -> None:
        """Let everything happen up to a time, or until something is over."""
        while self._queue and self._queue[0][0] <= end_s and not is_over():
            self.now_s, _, call, args = heapq.heappop(self._queue)
            call(*args)
        if not is_over():
            self.now_s = end_s

    def note(self, *words: object) -> None:
        """Record what happens."""
        if self.trace is not None:
            self.trace.append(f"{self.now_s:9.4f} {' '.join(map(str, words))}")


class Pipe:
    """One direction of a connection: nothing overtakes, and everything takes its time.

    Parameters
    ----------
    world : World
        Its clock.
    deliver : callable
        Gets what arrives.
    delay_s : float
        Mean time on the way.
    """

    def __init__(self, world: World, deliver: Callable[[Any], None], delay_s: float) -> None:
        self._world = world
        self._deliver = deliver
        self._rate = 1 / delay_s
        self._last_s = 0.0
        self._held: list[Any] = []
        self.is_held = self.is_closed = False

    def put(self, item: Any) -> None:
        """Send something."""
        if not self.is_closed:
            world = self._world
            self._last_s = max(self._last_s, world.now_s + world.rng.expovariate(self._rate))
            world.at(self._last_s, self._arrive, item)

    def _arrive(self, item: Any) -> None:
        if self.is_held:
            self._held.append(item)
        elif not self.is_closed:
            self._deliver(item)

    def hold(self) -> None:
        """Let nothing through, and keep it."""
        self.is_held = True

    def release(self) -> None:
        """Let everything through again."""
        self.is_held = False
        while self._held and not self.is_held:
            self._deliver(self._held.pop(0))

    def lose_held(self) -> None:
        """Lose what has been held."""
        self._held = []

    def close(self) -> None:
        """Lose what is on the way, and what is still sent."""
        self.is_closed = True
        self._held = []
