"""A simulated pool: its script is played, then all is mended, and must come to rest."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial

from scoopsci.protocol import driving
from scoopsci.protocol import messages as kind
from scoopsci.protocol.timing import PARTING_S, find_times
from scoopsci.testing.simulation.broker import SimulatedBroker, configure
from scoopsci.testing.simulation.checks import DRIVER, Checks, ViolationError
from scoopsci.testing.simulation.driver import SimulatedDriver
from scoopsci.testing.simulation.hosts import HERE_S, Host
from scoopsci.testing.simulation.script import LONG, Conditions, Program, Step
from scoopsci.testing.simulation.workers import SimulatedWorker
from scoopsci.testing.simulation.world import Pipe, World

__all__ = ["play"]

#: Futures end within this multiple of host_timeout after the last fault, and their own time.
K_TIMEOUTS = 25

#: A lost host is reached again after this time at most.
RECOVERY_S = 25.0


class SimulatedPool:
    """A driver, a broker, and hosts with agents and workers.

    Parameters
    ----------
    conditions : Conditions
        What holds for all of it.
    records : bool
        Whether to keep a trace.
    """

    def __init__(self, conditions: Conditions, *, records: bool = False) -> None:
        self._conditions = conditions
        self.world = world = World(conditions.seed, records=records)
        self.checks = Checks(world)
        pids = itertools.count(100)
        self.hosts = [
            Host(world, self.checks, number, nests=conditions.nests, pids=pids)
            for number in range(len(conditions.n_workers))
        ]
        self.broker = SimulatedBroker(world, self.checks, configure(conditions), self.hosts)
        to_broker = Pipe(world, self.broker.receive, HERE_S)
        self.driver = SimulatedDriver(world, self.checks, to_broker, DRIVER)
        self._to_driver = Pipe(world, self.driver.receive, HERE_S)
        self._work_s = 0.0
        self._broker_failed = False
        self._stopped_for_long: list[SimulatedWorker] = []

    def play(self, steps: Sequence[Step]) -> None:
        """Play a script, and check that everything ends as it must.

        Raises
        ------
        ViolationError
            If something does not hold.
        """
        world = self.world
        world.after(0.0, self.broker.start)
        world.after(self._conditions.connects_after_s, self._connect)
        if self._conditions.initializes:
            self.driver.handle(driving.Post(kind.INITIALIZE, ["setup"]))
        for step in steps:
            world.at(step.at_s, self._do, step)
        world.run_until(max((step.at_s for step in steps), default=0.0) + 0.5, lambda: False)
        self._mend()
        patience_s = K_TIMEOUTS * self._conditions.host_timeout_s
        # First, what has happened must be noticed.
        world.run_until(world.now_s + self._conditions.host_timeout_s + 1.0, lambda: False)
        world.run_until(world.now_s + patience_s + RECOVERY_S + self._work_s, self._is_at_rest)
        self._check_rest()
        self._close()

    def _connect(self) -> None:
        self.broker.connect(DRIVER, self._to_driver)
        self.driver.connect()

    def _do(self, step: Step) -> None:
        self.world.note("---", step)
        self.world.counts["steps", step.what] += 1
        getattr(self, f"_do_{step.what}")(*step.args)

    # --- what the program does

    def _do_submit(self, program: Program, timeout_s: float | None = None) -> None:
        tasks = list(program.walk())
        n_crashes = sum(min(3, task.n_crashes) for task in tasks)
        self._work_s += (4 + n_crashes) * sum(task.duration_s for task in tasks)
        self.driver.submit(program, timeout_s)

    _do_submit_within = _do_submit

    def _do_cancel(self, index: int, kill: bool) -> None:
        self.driver.cancel(index, kill=kill)

    def _do_resize(self, counts: Sequence[int]) -> None:
        numbers = ", ".join(map(str, counts))
        self.driver.handle(driving.Post(kind.RESIZE + f"[{numbers}]".encode()))

    def _do_status(self) -> None:
        self.driver.ask_status()

    def _do_set(self) -> None:
        self.driver.handle(driving.Post(kind.SET + b"constant", ["value"]))

    # --- faults

    def _blame(self, number: int) -> Host:
        self.checks.faulty.add(number)
        return self.hosts[number]

    def _choose_worker(self, number: int, index: int) -> SimulatedWorker | None:
        workers = self._blame(number).workers
        return workers[index % len(workers)] if workers else None

    def _do_kill_worker(self, number: int, index: int, *_: float) -> None:
        worker = self._choose_worker(number, index)
        if worker is not None:
            worker.die("SIGKILL")

    def _do_stop_worker(self, number: int, index: int, stopped_s: float) -> None:
        worker = self._choose_worker(number, index)
        if worker is not None and not worker.is_stopped:
            worker.stop()
            if stopped_s > LONG / 2:
                self._stopped_for_long.append(worker)
            self.world.after(stopped_s, worker.go_on)

    def _do_kill_agent(self, number: int) -> None:
        for connection in self._blame(number).connections[-1:]:
            connection.agent.die()

    def _do_stop_agent(self, number: int, stopped_s: float) -> None:
        for connection in self._blame(number).connections[-1:]:
            connection.agent.stop()
            self.world.after(stopped_s, connection.agent.go_on)

    def _do_end_connection(self, number: int) -> None:
        for connection in self._blame(number).connections[-1:]:
            connection.up.put(None)

    def _do_cut(self, number: int, cut_s: float) -> None:
        self._hold(number, cut_s, to_host=True, from_host=True)

    def _do_black_hole_to(self, number: int, cut_s: float) -> None:
        self._hold(number, cut_s, to_host=True, from_host=False)

    def _do_black_hole_from(self, number: int, cut_s: float) -> None:
        self._hold(number, cut_s, to_host=False, from_host=True)

    def _hold(self, number: int, cut_s: float, *, to_host: bool, from_host: bool) -> None:
        host = self._blame(number)
        if not host.is_off:
            host.hold(to_host=to_host, from_host=from_host)
            self.world.after(cut_s, self._release, host)

    def _release(self, host: Host) -> None:
        if not host.is_off:
            host.hold(to_host=False, from_host=False)

    def _do_power_off(self, number: int, off_s: float) -> None:
        host = self._blame(number)
        if not host.is_off:
            host.power_off()
            self.world.after(off_s, host.power_on)

    def _do_refuse(self, number: int, refused_s: float) -> None:
        host = self._blame(number)
        host.refuses = True
        self.world.after(refused_s, partial(setattr, host, "refuses", False))

    def _do_end_broker(self) -> None:
        self._broker_failed = True
        self.broker.part()
        self.world.after(0.01, self.driver.handle, driving.BrokerEnded(1))

    def _do_hang_broker(self) -> None:
        self._broker_failed = self.broker.hangs = True

    def _do_start_slowly(self, number: int, start_s: float) -> None:
        self._blame(number).start_s = start_s

    def _do_reply_late(self, number: int, late_s: float) -> None:
        for worker in self._blame(number).workers:
            worker.late_s = late_s

    # --- the end

    def _mend(self) -> None:
        """Let no fault last."""
        for host in self.hosts:
            host.refuses, host.start_s = False, 0.05
            if host.is_off:
                host.power_on()
            else:
                host.hold(to_host=False, from_host=False)
            for connection in host.connections:
                connection.agent.go_on()
            for worker in host.workers:
                if worker not in self._stopped_for_long:
                    worker.go_on()

    def _is_at_rest(self) -> bool:
        driver = self.driver
        if driver.stopped is not None or self._broker_failed:
            return driver.stopped is not None
        if driver.futures or driver.n_unanswered or not self._is_recovered():
            return False
        workers = self.broker.workers
        return all(workers[name].is_at_rest for name in self.broker.believed if name in workers)

    def _is_recovered(self) -> bool:
        """Tell whether each host has its workers, and they are ready, those aside that stopped."""
        return all(
            host.has_agent
            and sum(not (w.retires or w.doomed) for w in host.workers.values()) == host.n_workers
            and all(
                worker.stopped_s is not None
                or (worker.ready and not worker.retires and not worker.doomed)
                for worker in host.workers.values()
            )
            for host in self.broker.machine.hosts
        )

    def _check_rest(self) -> None:
        require, driver = self.checks.require, self.driver
        if self._broker_failed:
            require(driver.stopped, "notices-the-end", "the broker has failed")
        if driver.stopped is not None:
            require(self.checks.faulty or self._broker_failed, "fails-for-a-reason", driver.stopped)
            return
        require(not driver.futures, "ends-in-time", len(driver.futures), "futures have not ended")
        require(not driver.n_unanswered, "answers-in-time", driver.n_unanswered, "questions")
        require(self._is_recovered(), "recovers", self._describe())
        self._check_is_usable()

    def _check_is_usable(self) -> None:
        """Submit a task to each worker: all must run at once."""
        able = [w for w in self.broker.believed.values() if w.stopped_s is None and w.ready]
        n_workers = len(able)
        for number in range(n_workers):
            self.driver.submit(Program(-1 - number, 1.0))
        self.world.run_until(self.world.now_s + 0.9, lambda: False)
        busy = [worker for host in self.hosts for worker in host.workers if worker.is_busy]
        self.checks.require(
            len(busy) >= n_workers, "uses-all", len(busy), "of", n_workers, "workers run a task"
        )
        self.world.run_until(self.world.now_s + 5.0, lambda: not self.driver.futures)
        self.checks.require(not self.driver.futures, "ends-in-time", "tasks at the end")

    def _describe(self) -> str:
        return "; ".join(
            f"{host.label}: agent {host.has_agent}, {len(host.workers)} of {host.n_workers}, ready "
            f"{[w.ready for w in host.workers.values()]}"
            for host in self.broker.machine.hosts
        )

    def _close(self) -> None:
        """End the driver, with the links to some hosts cut: nothing may remain."""
        self.broker.part()
        for host in self.hosts[1:]:
            if self.world.rng.random() < 0.3:
                host.hold(to_host=True, from_host=True)
        times = find_times(self._conditions.host_timeout_s)
        end_s = self.world.now_s + times["lease_s"] + PARTING_S + 2.0
        self.world.run_until(end_s, lambda: not any(host.remaining() for host in self.hosts))
        left = [f"host {host.number}: {left}" for host in self.hosts for left in host.remaining()]
        self.checks.require(not left, "nothing-left", "; ".join(left))


def play(
    conditions: Conditions, steps: Sequence[Step], *, records: bool = False
) -> tuple[World, ViolationError | None]:
    """Play a script; return what has happened, and which rule has been broken, if any."""
    pool = SimulatedPool(conditions, records=records)
    try:
        pool.play(steps)
    except ViolationError as error:
        return pool.world, error
    except Exception as error:
        return pool.world, ViolationError("machines-run", repr(error))
    return pool.world, None
