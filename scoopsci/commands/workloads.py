"""The commands ``scoopsci mapreduce``, ``scoopsci sort`` and ``scoopsci compare``."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from scoopsci.commands.options import (
    add_output_options,
    add_run_options,
    as_count,
    as_seconds,
    as_seed,
    open_where,
    print_found,
    report,
    wants_progress,
)
from scoopsci.harness.methods import compare_methods
from scoopsci.harness.sorts import measure_sort

__all__ = ["add_compare", "add_mapreduce", "add_sort"]


def add_mapreduce(commands: Any) -> None:
    """Add the parser."""
    mapreduce = commands.add_parser(
        "mapreduce",
        help="sum lists serially, by SCOOP and by scoopsci",
        description="Sum lists serially, by SCOOP if it is running, and by scoopsci: each with its "
        "time, speed-up, efficiency, and whether its result is the same.",
        epilog="example: python -m scoop -n 4 scoopsci/mapreduce.py --tasks 1000",
    )
    add = mapreduce.add_argument
    add("--tasks", type=as_count, default=1000, metavar="N", help="number of lists (default 1000)")
    add(
        "--task-seconds",
        type=as_seconds,
        default=0.01,
        metavar="T",
        help="seconds that each task sleeps first (default 0.01)",
    )
    add_run_options(mapreduce)
    mapreduce.set_defaults(run=_run_mapreduce)


def add_sort(commands: Any) -> None:
    """Add the parser."""
    sort = commands.add_parser(
        "sort",
        help="sort random numbers, and advise whether to distribute such a sort",
        description="Sort a list of random integers by Python's sorted, by merge_sort on one core "
        "and by merge_sort on the engine; check the order and that nothing is lost.",
        epilog="example: python -m scoop -n 4 scoopsci/mergesort.py --items 1000000",
    )
    add = sort.add_argument
    add("--items", type=as_count, default=1_000_000, metavar="N", help="how many (default 1000000)")
    add("--seed", type=as_seed, metavar="S", help="the same seed gives the same numbers")
    add_run_options(sort)
    sort.set_defaults(run=_run_sort)


def add_compare(commands: Any) -> None:
    """Add the parser."""
    compare = commands.add_parser(
        "compare",
        help="run a workload on several engines, and advise",
        description="Run a workload on several engines in turn, each run in its own process: "
        "equality first, then speed-up, efficiency, how the time is spent, and what to do.",
        epilog="example: scoopsci compare mymodule:simulate --tasks 200 --engines "
        "serial,processes,scoop",
    )
    add = compare.add_argument
    add(
        "workload",
        metavar="WORKLOAD",
        help="pi, mapreduce, sort, or MODULE:FUNCTION, called on 0 to N - 1",
    )
    add(
        "--engines",
        type=lambda text: tuple(text.split(",")),
        default=("serial", "processes", "scoop"),
        metavar="E,…",
        help="default serial,processes,scoop",
    )
    add("--points", type=as_count, metavar="N", help="points of pi")
    add("--tasks", type=as_count, metavar="N", help="tasks of mapreduce and MODULE:FUNCTION")
    add("--task-seconds", type=as_seconds, metavar="T", help="seconds that a task sleeps first")
    add("--items", type=as_count, metavar="N", help="items of sort")
    add("--seed", type=as_seed, metavar="S", help="the same for every run")
    add("--workers", type=as_count, metavar="N", help="number of workers")
    add("--hostfile", metavar="F", help="file that names the hosts")
    add("--rounds", type=as_count, default=3, metavar="N", help="runs of each (default 3)")
    add_output_options(compare)
    compare.set_defaults(run=_run_compare)


def _run_mapreduce(options: argparse.Namespace) -> None:
    with open_where(options) as where:
        found = compare_methods(
            options.tasks, options.task_seconds, progress=wants_progress(options), **where
        )
    print_found(str(found), dataclasses.asdict(found), options)
    report(found, options)


def _run_sort(options: argparse.Namespace) -> None:
    with open_where(options) as where:
        found = measure_sort(options.items, seed=options.seed, **where)
    print_found(str(found), dataclasses.asdict(found), options)
    report(found, options, found.seed)


def _run_compare(options: argparse.Namespace) -> None:
    from scoopsci.compare import compare

    found = compare(
        options.workload,
        options.engines,
        n_workers=options.workers,
        n_rounds=options.rounds,
        n_points=options.points,
        n_tasks=options.tasks,
        task_seconds=options.task_seconds,
        n_items=options.items,
        seed=options.seed,
        hostfile=options.hostfile,
        progress=wants_progress(options),
    )
    print_found(str(found), found.as_dict(), options)
    report(found, options, found.facts["options"].get("seed"))
