"""Workers: which took part, at what cost, and whether their numerics agree."""

from __future__ import annotations

from typing import Any

import pytest

from scoopsci import EngineError
from scoopsci.reporting.workers import COSTS, FACTS, Workers


def report(**given: Any) -> dict[str, Any]:
    facts = {"host": "node1", "pid": 1, "python": "3.11.7", "numpy": "2.0", "battery": "0" * 16}
    times = {"ended_s": 0.0, "arrived_s": 0.0}
    return {**facts, **times, **dict.fromkeys(COSTS, 0), "other": "not told", **given}


def test_blocks_add_up_in_the_order_of_first_results() -> None:
    workers = Workers(mixed=False)
    workers.add(report(host="node2", elapsed_s=1.0), 10)
    workers.add(report(host="node1", elapsed_s=2.0), 1)
    workers.add(report(host="node2", elapsed_s=0.5, ended_s=9.0, arrived_s=9.0), 5)
    workers.add(report(host="node2", pid=2, elapsed_s=0.25), 1)
    assert len(workers) == 3
    told = list(workers)
    assert [(w["host"], w["pid"], w["n_blocks"], w["elapsed_s"]) for w in told] == [
        ("node2", 1, 15, 1.5),
        ("node1", 1, 1, 2.0),
        ("node2", 2, 1, 0.25),
    ]
    assert set(told[0]) == {*FACTS, "n_blocks", "elapsed_s"}
    assert [{**w, "spans": len(w.pop("spans"))} for w in workers.describe()] == [
        {**w, "spans": n} for w, n in zip(told, (2, 1, 1), strict=True)
    ]


@pytest.mark.parametrize(
    "other",
    [{"battery": "f" * 16}, {"numpy": "1.26"}, {"host": "node2", "battery": "f" * 16}],
    ids=["same name", "NumPy", "host"],
)
def test_workers_with_different_numerics_are_refused(other: dict[str, Any]) -> None:
    strict, mixed = Workers(mixed=False), Workers(mixed=True)
    for workers in (strict, mixed):
        workers.add(report(), 1)
        assert not workers.differ
    with pytest.raises(EngineError, match=r"(?s)node1.*and .*OPENBLAS_CORETYPE.*mixed=True"):
        strict.add(report(**other), 1)
    mixed.add(report(**other), 1)
    assert mixed.differ
    assert strict.differ


@pytest.mark.parametrize("other", [{"pid": 2}, {"host": "node2"}, {"python": "3.11.8"}])
def test_workers_with_equal_numerics_are_accepted(other: dict[str, Any]) -> None:
    workers = Workers(mixed=False)
    workers.add(report(), 1)
    workers.add(report(**other), 1)
    assert not workers.differ


def test_costs_are_averaged_over_workers() -> None:
    workers = Workers(mixed=False)
    costs = {
        "pack_s": 0.5, "prepare_s": 1.0, "load_s": 2.0, "elapsed_s": 8.0, "dump_s": 4.0,
        "unpack_s": 0.25, "sent_bytes": 1_000, "returned_bytes": 10,
    }  # fmt: skip
    workers.add(report(pid=1, **costs), 1)
    workers.add(report(pid=2, **costs), 3)
    told = workers.describe_costs(elapsed_s=40.0, start_up_s=3.0)
    assert told == {
        "times": {
            "start_up_s": 3.0 + 1.0,
            "serialising_s": 2 * 0.5 + 2.0,
            "computing_s": 8.0,
            "returning_s": 4.0 + 2 * 0.25,
            "waiting_s": 40.0 - 4.0 - 3.0 - 8.0 - 4.5,
        },
        "sent_bytes": 2_000,
        "returned_bytes": 20,
    }


def test_the_parts_may_exceed_the_whole() -> None:
    workers = Workers(mixed=False)
    workers.add(report(pack_s=2.0, elapsed_s=3.0), 1)
    assert workers.describe_costs(4.0, 0.0)["times"]["waiting_s"] == 0.0


def test_costs_without_any_worker() -> None:
    workers = Workers(mixed=False)
    assert len(workers) == 0
    told = workers.describe_costs(2.0, 0.5)
    assert told["times"]["start_up_s"] == 0.5
    assert told["times"]["waiting_s"] == 1.5
    assert (told["sent_bytes"], told["returned_bytes"]) == (0, 0)
