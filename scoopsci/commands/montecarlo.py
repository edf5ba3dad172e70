"""The commands ``scoopsci pi`` and ``scoopsci integrate``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import scoopsci
from scoopsci.basics.wording import plural, shorten
from scoopsci.commands.options import (
    add_run_options,
    as_confidence,
    as_count,
    as_function,
    as_positive,
    as_seed,
    open_where,
    print_result,
    report,
    wants_progress,
)
from scoopsci.errors import NotConvergedError
from scoopsci.estimation.estimates import Estimate, PiEstimate

__all__ = ["add_integrate", "add_pi"]


def add_pi(commands: Any) -> None:
    """Add the parser."""
    pi = commands.add_parser(
        "pi",
        help="estimate π by random points",
        description="Estimate π by random points in the unit square, with its error bar.",
        epilog="example: scoopsci pi --half-width 1e-4 --seed 3 --json",
    )
    _add_sampling_options(pi, default_points=100_000_000)
    pi.set_defaults(run=_run_pi)


def add_integrate(commands: Any) -> None:
    """Add the parser."""
    integrate = commands.add_parser(
        "integrate",
        help="integrate a function over a box",
        description="Integrate a function over a box by random points, with its error bar.",
        epilog="example: scoopsci integrate mymodule:f --dim 3 --lower 0 --upper 1",
    )
    integrate.add_argument(
        "function",
        metavar="MODULE:FUNCTION",
        type=as_function,
        help="f(x) of points x of shape (n, dim), returning shape (n,) or (n, k)",
    )
    integrate.add_argument("--dim", type=as_count, metavar="D", help="number of dimensions")
    for side, default in (("lower", 0.0), ("upper", 1.0)):
        integrate.add_argument(
            f"--{side}",
            type=float,
            nargs="+",
            default=[default],
            metavar="X",
            help=f"{side} bounds: one for all dimensions, or one for each (default {default:g})",
        )
    integrate.add_argument(
        "--method",
        choices=["mc", "qmc"],
        default="mc",
        help="plain Monte Carlo, or scrambled Sobol' points (default %(default)s)",
    )
    _add_sampling_options(integrate, default_points=1 << 20)
    integrate.add_argument(
        "--bounds",
        type=float,
        nargs=2,
        metavar=("A", "B"),
        help="f lies within them, for --guarantee anytime",
    )
    integrate.set_defaults(run=_run_integrate)


def _add_sampling_options(parser: argparse.ArgumentParser, *, default_points: int) -> None:
    add = parser.add_argument
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--points",
        type=as_count,
        metavar="N",
        help=f"number of points (default {default_points})",
    )
    size.add_argument(
        "--half-width",
        type=as_positive,
        metavar="H",
        help="or draw as many as it takes for an error bar of ± H",
    )
    parser.set_defaults(default_points=default_points)
    add("--relative", action="store_true", help="H is relative to the estimate")
    add("--min-points", type=as_count, metavar="N", help="draw at least N (default 1000)")
    add(
        "--max-points",
        type=as_count,
        metavar="N",
        help="draw at most N; if H is not reached, print the estimate so far and exit with 1",
    )
    add("--seed", type=as_seed, metavar="S", help="a seed repeats the run to the last bit")
    add(
        "--confidence",
        type=as_confidence,
        default=0.95,
        metavar="C",
        help="confidence of the error bar (default %(default)s)",
    )
    add(
        "--guarantee",
        choices=["asymptotic", "anytime"],
        default="asymptotic",
        help="the error bar holds at the end, or at every look (default %(default)s)",
    )
    add("--block-size", type=as_count, metavar="N", help="points that share a random stream")
    add("--ledger", metavar="FILE", help="record finished work there, and resume from it")
    add_run_options(parser)


def _run_pi(options: argparse.Namespace) -> None:
    _run(scoopsci.pi, options, "points", prefix="π ≈ ")


def _run_integrate(options: argparse.Namespace) -> None:
    lower, upper = (c if len(c) > 1 else c[0] for c in (options.lower, options.upper))
    choices = {"dim": options.dim, "method": options.method, "bounds": options.bounds}
    integrate = partial(scoopsci.integrate, options.function, lower, upper, **choices)
    _run(integrate, options, "samples")


def _run(
    sample: Callable[..., Estimate], options: argparse.Namespace, unit: str, *, prefix: str = ""
) -> None:
    """Sample, print and report; an estimate that falls short of its goal is not lost either."""
    shortfall: NotConvergedError | None = None
    with open_where(options) as where:
        try:
            result = sample(**_sampling(options, unit), **where)
        except NotConvergedError as error:
            result, shortfall = error.estimate, error
    text = (
        f"{prefix}{result}\n{result.elapsed_s:.2f} s, {_describe_speed(result)}; "
        f"engine {result.engine}, {plural(result.n_workers, 'worker')}; seed {result.seed}"
    )
    print_result(text, _as_json(result), result.receipt, options)
    report(result, options, result.seed)
    if shortfall is not None:
        raise shortfall


def _sampling(options: argparse.Namespace, unit: str) -> dict[str, Any]:
    """Return the arguments for how much to sample, and how, as far as they were given."""
    stop = {"min_samples": options.min_points, "max_samples": options.max_points}
    if options.relative:
        stop["relative"] = True
    if options.half_width is None and options.points is None:
        options.points = options.default_points
    given = {
        f"n_{unit}": options.points,
        "half_width": options.half_width,
        "block_size": options.block_size,
        "ledger": options.ledger,
        **stop,
    }
    return {
        **{name: value for name, value in given.items() if value is not None},
        "seed": options.seed,
        "confidence": options.confidence,
        "guarantee": options.guarantee,
        "progress": wants_progress(options),
    }


def _describe_speed(result: Estimate) -> str:
    n_recalled = result.receipt["run"]["n_recalled_blocks"]
    if n_recalled == result.n_blocks:
        return "all of it from the ledger"
    n_new = result.n_samples * (1 - n_recalled / result.n_blocks)
    speed = f"{shorten(n_new / max(result.elapsed_s, 1e-9))}points per second"
    n_lost = result.receipt["run"]["n_lost_tasks"]
    if n_lost:
        speed += f", {plural(n_lost, 'task')} lost with workers and resubmitted"
    return f"{speed}, {plural(n_recalled, 'block')} from the ledger" if n_recalled else speed


def _as_json(result: Estimate) -> dict[str, Any]:
    plain = result.receipt["result"]
    more = {"n_inside": result.n_inside} if isinstance(result, PiEstimate) else {}
    return {
        "estimate": plain["value"],
        **{name: plain[name] for name in ("standard_error", "half_width", "interval")},
        "confidence": result.confidence,
        "guarantee": result.guarantee,
        "n_points": result.n_samples,
        "n_blocks": result.n_blocks,
        "seed": result.seed,
        "engine": result.engine,
        "n_workers": result.n_workers,
        "elapsed_s": result.elapsed_s,
        "variance_reduction": plain["variance_reduction"] if result.variance_reduction else {},
        "notes": list(result.notes),
        "receipt": result.receipt,
        **more,
    }
