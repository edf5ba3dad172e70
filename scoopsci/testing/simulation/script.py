"""What happens in a simulation: tasks, what the program does, and faults; drawn from a seed."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

__all__ = ["LONG", "Conditions", "Program", "Step", "draw", "shrink"]

#: Steps of a script at most, and simulations that shrinking may take.
MOST_STEPS, MOST_TRIALS = 28, 300


@dataclass(eq=False)
class Program:
    """What a task does.

    Attributes
    ----------
    number : int
        Its name.
    duration_s : float
        How long it computes.
    n_crashes : int
        So many executions end their worker.
    children : list of Program
        Tasks that it submits and waits for, half-way.
    cancels : bool
        Whether it cancels the first of them.
    fetches : bool
        Whether it needs a broadcast.
    prints : bool
        Whether it prints something, and names a value.
    """

    number: int
    duration_s: float
    n_crashes: int = 0
    children: list[Program] = field(default_factory=list)
    cancels: bool = False
    fetches: bool = False
    prints: bool = False

    def walk(self) -> Iterator[Program]:
        """Yield it and all that it submits."""
        yield self
        for child in self.children:
            yield from child.walk()


class Step(NamedTuple):
    """Something that happens at a time."""

    at_s: float
    what: str
    args: tuple[Any, ...] = ()

    def __str__(self) -> str:
        return f"{self.at_s:.3f} {self.what}({', '.join(map(_name, self.args))})"


def _name(value: Any) -> str:
    if not isinstance(value, Program):
        return f"{value:.3f}" if isinstance(value, float) else repr(value)
    facts = [f"#{value.number}", f"{value.duration_s:.3f} s"]
    facts += [f"crashes {value.n_crashes}"] * bool(value.n_crashes)
    facts += ["fetches"] * value.fetches + ["cancels"] * value.cancels
    facts += [f"submits {', '.join(map(_name, value.children))}"] * bool(value.children)
    return f"task({'; '.join(facts)})"


@dataclass(frozen=True)
class Conditions:
    """What holds for a whole simulation.

    Attributes
    ----------
    seed : int
        Of the delays.
    n_workers : tuple of int
        Of each host; the first host is the driver's own.
    host_timeout_s : float
        See `scoopsci.Pool`.
    nests : bool
        Whether workers are those of SCOOP programs, whose tasks may submit tasks.
    initializes : bool
        Whether workers run an initializer first.
    connects_after_s : float
        How late the driver connects.
    """

    seed: int
    n_workers: tuple[int, ...]
    host_timeout_s: float
    nests: bool
    initializes: bool
    connects_after_s: float


def draw(seed: int) -> tuple[Conditions, list[Step]]:
    """Draw a simulation from a seed."""
    rng = random.Random(seed)
    nests = rng.random() < 0.5
    conditions = Conditions(
        seed,
        tuple(rng.choice((1, 1, 2, 3)) for _ in range(rng.choice((1, 2, 2, 3)))),
        rng.choice((1.0, 2.0)),
        nests,
        nests or rng.random() < 0.3,
        rng.choice((0.0, 0.01, 1.0)),
    )
    return conditions, sorted(_draw_steps(rng, conditions), key=lambda step: step.at_s)


def _draw_steps(rng: random.Random, conditions: Conditions) -> Iterator[Step]:
    numbers = itertools.count()
    n_steps = rng.randint(4, MOST_STEPS)
    horizon_s = rng.choice((2.0, 5.0, 9.0))
    is_calm = rng.random() < 0.15
    for _ in range(n_steps):
        at_s = rng.uniform(0.0, horizon_s)
        if is_calm or rng.random() < 0.6:
            yield Step(at_s, *_draw_use(rng, conditions, numbers))
        else:
            at_s = max(at_s, 0.0 if rng.random() < 0.2 else 0.6)
            yield Step(at_s, *_draw_fault(rng, conditions))


def _draw_use(
    rng: random.Random, conditions: Conditions, numbers: Iterator[int]
) -> tuple[str, tuple[Any, ...]]:
    what = rng.choices(
        ("submit", "submit_within", "cancel", "resize", "status", "set"), (12, 1, 2, 1, 1, 1)
    )[0]
    if what == "submit":
        return what, (_draw_program(rng, conditions, numbers, 2),)
    if what == "submit_within" and conditions.nests:  # SCOOP has no time limits
        return "status", ()
    if what == "submit_within":
        return what, (_draw_program(rng, conditions, numbers, 2), rng.choice((0.1, 0.5, 5.0)))
    if what == "cancel":
        return what, (rng.randrange(8), rng.random() < 0.4)
    if what == "resize" and conditions.nests:  # nor other numbers of workers
        return "status", ()
    if what == "resize":
        return what, (tuple(rng.randint(1, 3) for _ in conditions.n_workers),)
    return what, ()


def _draw_program(
    rng: random.Random, conditions: Conditions, numbers: Iterator[int], depth: int
) -> Program:
    program = Program(next(numbers), rng.choice((0.001, 0.02, 0.2, 0.5, 3.0)))
    if rng.random() < 0.12:  # a task that was submitted by one that it ends is not known as deadly
        program.n_crashes = rng.choice((1, 2, 3, 99) if depth == 2 else (1, 2))
    if conditions.nests and depth and rng.random() < 0.5:
        program.children = [
            _draw_program(rng, conditions, numbers, depth - 1) for _ in range(rng.randint(1, 3))
        ]
        program.cancels = rng.random() < 0.2
    program.fetches = not conditions.nests and rng.random() < 0.2
    program.prints = conditions.nests and rng.random() < 0.2
    return program


def _draw_fault(rng: random.Random, conditions: Conditions) -> tuple[str, tuple[Any, ...]]:
    if rng.random() < 0.01:
        return rng.choice(("end_broker", "hang_broker")), ()
    what, *durations = rng.choice(FAULTS)
    n_hosts = len(conditions.n_workers)
    if what in ON_LINKS and n_hosts == 1:
        what = "kill_worker"
    host = rng.randrange(1, n_hosts) if what in ON_LINKS else rng.randrange(n_hosts)
    if what in ("kill_worker", "stop_worker"):
        return what, (host, rng.randrange(3), *_draw_duration(rng, conditions, durations))
    return what, (host, *_draw_duration(rng, conditions, durations))


def _draw_duration(
    rng: random.Random, conditions: Conditions, durations: Sequence[float]
) -> tuple[float, ...]:
    """Draw a duration as a multiple of host_timeout, if the fault has one."""
    return (rng.choice(durations) * conditions.host_timeout_s,) if durations else ()


#: So many times host_timeout is longer than any simulation.
LONG = 1000.0

#: Faults, and how long they may last, in multiples of host_timeout.
FAULTS: list[tuple[Any, ...]] = [
    ("kill_worker",),
    ("kill_worker",),
    ("stop_worker", 0.1, 0.5, 2.0, LONG),
    ("kill_agent",),
    ("stop_agent", 0.1, 0.5, 2.0, 5.0),
    ("cut", 0.1, 0.5, 2.0, 5.0),
    ("black_hole_to", 0.1, 0.5, 2.0, 5.0),
    ("black_hole_from", 0.1, 0.5, 2.0, 5.0),
    ("power_off", 0.5, 2.0, 6.0),
    ("end_connection",),
    ("refuse", 0.5, 3.0),
    ("start_slowly", 1.0, 3.0),
    ("reply_late", 0.5, 2.0),
]

#: Faults of connections to other machines.
ON_LINKS = (
    "cut", "black_hole_to", "black_hole_from", "power_off", "end_connection", "refuse",
)  # fmt: skip


def shrink(steps: Sequence[Step], fails: Callable[[Sequence[Step]], bool]) -> list[Step]:
    """Return as few of the steps as still fail."""
    kept, size, n_trials = list(steps), len(steps) // 2, 0
    while size and n_trials < MOST_TRIALS:
        start, found = 0, False
        while start < len(kept) and n_trials < MOST_TRIALS:
            fewer = kept[:start] + kept[start + size :]
            n_trials += 1
            if fails(fewer):
                kept, found = fewer, True
            else:
                start += size
        size = size if found and size == 1 else size // 2
    return kept
