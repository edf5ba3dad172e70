"""The commands: their options, what they call, and what they print."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import scoopsci
from scoopsci.arguments import check_count, check_fraction, check_seconds
from scoopsci.estimates import Estimate
from scoopsci.harness.methods import compare_methods
from scoopsci.harness.sorts import measure_sort
from scoopsci.harness.workloads import import_function
from scoopsci.programs.options import add_run
from scoopsci.receipts import as_plain, write_receipt
from scoopsci.reporting import show_progress
from scoopsci.streams import check_seed

__all__ = ["add_commands"]


def add_commands(commands: Any) -> None:
    """Add the parser of each command.

    Parameters
    ----------
    commands : argparse subparsers
        Of the main parser.
    """
    for add in (
        _add_pi,
        _add_integrate,
        _add_mapreduce,
        _add_sort,
        _add_compare,
        add_run,
        _add_hosts,
    ):
        add(commands)


def _add_pi(commands: Any) -> None:
    pi = commands.add_parser(
        "pi",
        help="estimate π by random points",
        description="Estimate π by random points in the unit square, with its error bar.",
        epilog="example: scoopsci pi --points 50000000 --seed 7 --json",
    )
    _add_sampling_options(pi, default_points=100_000_000)
    pi.set_defaults(run=_run_pi)


def _add_integrate(commands: Any) -> None:
    integrate = commands.add_parser(
        "integrate",
        help="integrate a function over a box",
        description="Integrate a function over a box by random points, with its error bar.",
        epilog="example: scoopsci integrate mymodule:f --dim 3 --lower 0 --upper 1",
    )
    integrate.add_argument(
        "function",
        metavar="MODULE:FUNCTION",
        type=_function,
        help="f(x) of points x of shape (n, dim), returning shape (n,) or (n, k)",
    )
    integrate.add_argument("--dim", type=_count, metavar="D", help="number of dimensions")
    for side, default in (("lower", 0.0), ("upper", 1.0)):
        integrate.add_argument(
            f"--{side}",
            type=float,
            nargs="+",
            default=[default],
            metavar="X",
            help=f"{side} bounds: one for all dimensions, or one for each (default {default:g})",
        )
    integrate.add_argument("--method", choices=["mc"], default="mc", help="plain Monte Carlo")
    _add_sampling_options(integrate, default_points=1_000_000)
    integrate.set_defaults(run=_run_integrate)


def _add_mapreduce(commands: Any) -> None:
    mapreduce = commands.add_parser(
        "mapreduce",
        help="sum lists serially, by SCOOP and by scoopsci",
        description="Sum lists serially, by SCOOP where there is one, and by scoopsci: each with "
        "its time, speed-up, efficiency, and whether it gives the same.",
        epilog="example: python -m scoop -n 4 scoopsci/mapreduce.py --tasks 1000",
    )
    add = mapreduce.add_argument
    add("--tasks", type=_count, default=1000, metavar="N", help="number of lists (default 1000)")
    add(
        "--task-seconds",
        type=_seconds,
        default=0.01,
        metavar="T",
        help="seconds that each task sleeps first (default 0.01)",
    )
    _add_run_options(mapreduce)
    mapreduce.set_defaults(run=_run_mapreduce)


def _add_sort(commands: Any) -> None:
    sort = commands.add_parser(
        "sort",
        help="sort random numbers, and say whether that should be distributed",
        description="Sort a list of random integers by Python's sorted, by merge_sort on one core "
        "and by merge_sort on the engine; check the order and that nothing is lost.",
        epilog="example: python -m scoop -n 4 scoopsci/mergesort.py --items 1000000",
    )
    add = sort.add_argument
    add("--items", type=_count, default=1_000_000, metavar="N", help="how many (default 1000000)")
    add("--seed", type=_seed, metavar="S", help="a seed repeats the numbers")
    _add_run_options(sort)
    sort.set_defaults(run=_run_sort)


def _add_compare(commands: Any) -> None:
    compare = commands.add_parser(
        "compare",
        help="run a workload on several engines, and advise",
        description="Run a workload on several engines in turn, each run a process of its own: "
        "equality first, then speed-up, efficiency, where the time goes, and what to do.",
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
    add("--points", type=_count, metavar="N", help="of pi")
    add("--tasks", type=_count, metavar="N", help="of mapreduce and MODULE:FUNCTION")
    add("--task-seconds", type=_seconds, metavar="T", help="seconds that a task sleeps first")
    add("--items", type=_count, metavar="N", help="of sort")
    add("--seed", type=_seed, metavar="S", help="the same for every run")
    add("--workers", type=_count, metavar="N", help="number of workers")
    add("--hostfile", metavar="F", help="file that names the hosts")
    add("--rounds", type=_count, default=3, metavar="N", help="runs of each (default 3)")
    _add_output_options(compare)
    compare.set_defaults(run=_run_compare)


def _add_hosts(commands: Any) -> None:
    hosts = commands.add_parser(
        "hosts",
        help="examine the hosts of a hostfile before a run",
        description="Examine every host of a hostfile, all at the same time, and say what to do "
        "where one is not ready, or install what it lacks. The status is 0 if all are ready.",
        epilog="example: scoopsci hosts hostfile --install",
    )
    add = hosts.add_argument
    add("hostfile", nargs="?", default="hostfile", metavar="HOSTFILE", help="default hostfile")
    add(
        "--install",
        action="store_true",
        help="give the hosts that need one an environment like this one, in ~/.local/share",
    )
    add("--wheels", metavar="FOLDER", help="to install from, instead of pip's index")
    add("--requirements", metavar="FILE", help="further packages to install on every host")
    add(
        "--python",
        metavar="PATH",
        help="the interpreter there, or with --install the one that makes the environment "
        "(default: the path of this one)",
    )
    add("--ssh", default="ssh", metavar="PROGRAM", help="what reaches them (default ssh)")
    add(
        "--timeout",
        type=_seconds,
        default=15.0,
        metavar="S",
        help="seconds to examine each host (default %(default)g)",
    )
    add("--json", action="store_true", help="print one JSON object instead of text")
    hosts.set_defaults(run=_run_hosts)


def _add_sampling_options(parser: argparse.ArgumentParser, *, default_points: int) -> None:
    add = parser.add_argument
    add(
        "--points",
        type=_count,
        default=default_points,
        metavar="N",
        help="number of points (default %(default)s)",
    )
    add("--seed", type=_seed, metavar="S", help="a seed repeats the run to the last bit")
    add(
        "--confidence",
        type=_confidence,
        default=0.95,
        metavar="C",
        help="confidence of the error bar (default %(default)s)",
    )
    add("--block-size", type=_count, metavar="N", help="points that share a random stream")
    add("--ledger", metavar="FILE", help="keep finished work there, and go on from it")
    _add_run_options(parser)


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--engine", default="auto", metavar="E", help="serial, processes, scoop, … (default auto)")
    add("--workers", type=_count, metavar="N", help="number of workers")
    add("--hostfile", metavar="F", help="file that names the hosts")
    add("--mixed", action="store_true", help="go on where hosts differ in the last bit")
    _add_output_options(parser)


def _add_output_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--output", type=_new_file, metavar="FILE", help="write the receipt or the figures there")
    add("--json", action="store_true", help="print one JSON object instead of text")
    add("--quiet", action="store_true", help="print neither progress nor a warning of an open pool")


def _checked(check: Callable[[Any], Any], convert: Callable[[str], Any], text: str) -> Any:
    try:
        value = convert(text)
    except ValueError:
        kind = "an integer" if convert is int else "a number"
        raise argparse.ArgumentTypeError(f"must be {kind}, got {text!r}") from None
    try:
        return check(value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _count(text: str) -> int:
    return int(_checked(lambda value: check_count("the number", value), int, text))


def _seconds(text: str) -> float:
    return float(_checked(lambda value: value and check_seconds("the time", value), float, text))


def _seed(text: str) -> int:
    return int(_checked(check_seed, int, text))


def _confidence(text: str) -> float:
    return float(_checked(lambda value: check_fraction("confidence", value), float, text))


def _new_file(text: str) -> Path:
    # Before the run rather than after it: a result must not be lost to a misspelt folder.
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(
            f"must name a file in a folder that exists and can be written, got {text!r}"
        )
    return path


def _function(text: str) -> Callable[..., Any]:
    try:
        return import_function(text)
    except (ValueError, TypeError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _run_pi(options: argparse.Namespace) -> None:
    block_size = {"block_size": options.block_size} if options.block_size else {}
    with show_progress(quiet=options.quiet or options.json) as progress:
        result = scoopsci.pi(
            options.points,
            seed=options.seed,
            confidence=options.confidence,
            progress=progress,
            ledger=options.ledger,
            **block_size,
            **_where(options),
        )
    _print_estimate("π ≈ ", result, {"n_inside": result.n_inside}, options)


def _run_integrate(options: argparse.Namespace) -> None:
    block_size = {"block_size": options.block_size} if options.block_size else {}
    with show_progress(quiet=options.quiet or options.json) as progress:
        result = scoopsci.integrate(
            options.function,
            options.lower if len(options.lower) > 1 else options.lower[0],
            options.upper if len(options.upper) > 1 else options.upper[0],
            options.points,
            dim=options.dim,
            seed=options.seed,
            confidence=options.confidence,
            progress=progress,
            ledger=options.ledger,
            **block_size,
            **_where(options),
        )
    _print_estimate("", result, {}, options)


def _run_mapreduce(options: argparse.Namespace) -> None:
    with show_progress(quiet=options.quiet or options.json) as progress:
        found = compare_methods(
            options.tasks, options.task_seconds, progress=progress, **_where(options)
        )
    _print_found(str(found), dataclasses.asdict(found), options)


def _run_sort(options: argparse.Namespace) -> None:
    found = measure_sort(options.items, seed=options.seed, **_where(options))
    _print_found(str(found), dataclasses.asdict(found), options)


def _run_compare(options: argparse.Namespace) -> None:
    from scoopsci.compare import compare

    with show_progress(quiet=options.quiet or options.json) as progress:
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
            progress=progress,
        )
    _print_found(str(found), found.as_dict(), options)


def _run_hosts(options: argparse.Namespace) -> int:
    from scoopsci.doctor import examine_hosts, show_diagnoses
    from scoopsci.install import install_hosts

    common = {"python": options.python, "ssh": options.ssh, "timeout": options.timeout}
    sources = {"wheels": options.wheels, "requirements": options.requirements}
    if options.install:
        found = install_hosts(
            options.hostfile, tell=partial(print, file=sys.stderr), **common, **sources
        )
    elif any(sources.values()):
        raise ValueError("--wheels and --requirements must come with --install")
    else:
        found = examine_hosts(options.hostfile, **common)
    all_are_ready = all(diagnosis.ok for diagnosis in found)
    if options.json:
        hosts = [{**dataclasses.asdict(diagnosis), "ok": diagnosis.ok} for diagnosis in found]
        print(json.dumps({"ok": all_are_ready, "hosts": hosts}))
    else:
        show_diagnoses(found)
    sys.stdout.flush()
    return 0 if all_are_ready else 1


def _print_found(text: str, found: dict[str, Any], options: argparse.Namespace) -> None:
    if options.output:
        write_receipt(as_plain(found), options.output)
    print(json.dumps(as_plain(found), allow_nan=False) if options.json else text)
    sys.stdout.flush()


def _where(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "engine": options.engine,
        "n_workers": options.workers,
        "hostfile": options.hostfile,
        "mixed": options.mixed,
    }


def _print_estimate(
    prefix: str, result: Estimate, more: dict[str, Any], options: argparse.Namespace
) -> None:
    if options.output:
        write_receipt(result.receipt, options.output)
    if options.json:
        print(json.dumps({**_as_json(result), **more}, allow_nan=False))
    else:
        rate = result.n_samples / max(result.elapsed_s, 1e-9)
        speed = f"{rate / 1e6:,.3g} million points" if rate >= 1e6 else f"{rate:,.0f} points"
        print(
            f"{prefix}{result}\n{result.elapsed_s:.2f} s, {speed} per second; "
            f"engine {result.engine}, {_plural(result.n_workers, 'worker')}; seed {result.seed}"
        )
    sys.stdout.flush()


def _plural(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _as_json(result: Estimate) -> dict[str, Any]:
    plain = result.receipt["result"]
    return {
        "estimate": plain["value"],
        "standard_error": plain["standard_error"],
        "half_width": plain["half_width"],
        "interval": plain["interval"],
        "confidence": result.confidence,
        "n_points": result.n_samples,
        "n_blocks": result.n_blocks,
        "seed": result.seed,
        "engine": result.engine,
        "n_workers": result.n_workers,
        "elapsed_s": result.elapsed_s,
        "notes": list(result.notes),
        "receipt": result.receipt,
    }
