"""The pool's protocol, simulated from seeds: what must hold does, and known faults are found."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scoopsci.cli import main
from scoopsci.protocol import messages
from scoopsci.testing.simulation.mutants import MUTANTS
from scoopsci.testing.simulation.pool import play
from scoopsci.testing.simulation.runs import simulate
from scoopsci.testing.simulation.script import FAULTS, LONG, Conditions, Program, Step, draw, shrink
from scoopsci.testing.simulation.world import NAMES, Pipe, World

N_SEEDS = 250


def explain(found: dict[str, Any]) -> str:
    failure = found["failure"]
    return "" if failure is None else "\n".join([failure["details"], *failure["script"]])


@pytest.mark.parametrize("first", range(0, 4 * N_SEEDS, N_SEEDS))
def test_what_must_hold_does(first: int) -> None:
    found = simulate(first, N_SEEDS)
    assert found["failure"] is None, explain(found)
    assert found["n_seeds"] == N_SEEDS
    assert found["n_events"] >= 300
    sent = {name.partition(": ")[2] for name in found["counts"]["messages"]}
    assert set(NAMES.values()) - {"LONELY", "FAILED"} <= sent
    faults = {fault[0] for fault in FAULTS}
    assert faults <= set(found["counts"]["steps"])


def test_every_message_of_the_protocol_is_counted() -> None:
    kinds = {name for name, value in vars(messages).items()
             if name.isupper() and isinstance(value, bytes)} - {"BUSY"}  # fmt: skip
    assert set(NAMES.values()) == kinds


@pytest.mark.parametrize("seed", [3, 17])
def test_a_seed_says_all(seed: int) -> None:
    traces = [play(*draw(seed), records=True)[0].trace for _ in range(2)]
    assert traces[0] == traces[1]
    assert traces[0]
    assert len(traces[0]) > 50


@pytest.mark.parametrize("name", MUTANTS)
def test_a_fault_that_is_put_back_is_found(name: str) -> None:
    found = simulate(0, 2_000, mutant=name)
    failure = found["failure"]
    assert failure is not None, MUTANTS[name].fault
    conditions, steps = draw(failure["seed"])
    assert play(conditions, steps)[1] is None, "without the fault, it holds"
    assert len(failure["script"]) <= len(steps)
    assert failure["rule"] in failure["details"]


@pytest.mark.parametrize("index", [0, 1])
def test_of_fewer_workers_those_stay_that_are_not_stopped(index: int) -> None:
    """A stopped one may hold a task, which has been given up, and the other one none."""
    conditions = Conditions(1, (2,), 1.0, nests=False, initializes=False, connects_after_s=0.0)
    steps = [
        Step(1.0, "submit", (Program(1, 3.0),)),
        Step(1.5, "stop_worker", (0, index, LONG)),
        Step(9.0, "resize", ((1,),)),
        Step(9.5, "submit", (Program(2, 0.1),)),
    ]
    world, broken = play(conditions, steps)
    assert broken is None
    assert world.counts["messages", "from broker: LONELY"] == 0
    assert world.counts["outcomes", "result"] == 3, "with that of the check whether all are used"


def test_a_script_is_shrunk_to_what_fails() -> None:
    steps = [Step(float(i), "status") for i in range(20)]

    def fails(some: Any) -> bool:
        return {3.0, 11.0} <= {step.at_s for step in some}

    assert [step.at_s for step in shrink(steps, fails)] == [3.0, 11.0]


class TestPipe:
    def test_keeps_the_order_and_holds(self) -> None:
        world, arrived = World(1), list[int]()
        pipe = Pipe(world, arrived.append, 0.1)
        for i in range(50):
            pipe.put(i)
        world.run_until(1.0, lambda: len(arrived) == 20)
        pipe.hold()
        for i in range(50, 60):
            pipe.put(i)
        world.run_until(100.0, lambda: False)
        assert arrived == [*range(20)]
        pipe.release()
        assert arrived == [*range(60)]

    def test_loses_what_is_on_the_way_when_it_is_closed(self) -> None:
        world, arrived = World(1), list[int]()
        pipe = Pipe(world, arrived.append, 0.1)
        pipe.put(1)
        pipe.close()
        pipe.put(2)
        world.run_until(100.0, lambda: False)
        assert arrived == []


class TestCommand:
    def test_prints_one_json_object(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["simulate", "--seed", "5", "--count", "3", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["first"], found["n_seeds"], found["failure"]) == (5, 3, None)

    def test_fails_with_a_mutant_and_shows_the_script(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["simulate", "--mutant", "late-pid"]) == 1
        said = capsys.readouterr().out
        assert "fails: known-process" in said
        assert "with this script:" in said

    def test_is_hidden_from_the_help(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["--help"]) == 0
        assert "simulate" not in capsys.readouterr().out.replace("mymodule:simulate", "")

    def test_names_the_mutants(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["simulate", "--mutant", "none-such"]) == 2
        assert "--mutant must be one of overtaken-request" in capsys.readouterr().err
