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
from scoopsci.estimation.estimates import Estimate

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
    add("--relative", action="store_true", help="H is a share of the estimate")
    add("--min-points", type=as_count, metavar="N", help="before H may be reached (default 1000)")
    add(
        "--max-points",
        type=as_count,
        metavar="N",
        help="give up there, with the estimate so far and status 1",
    )
    add("--seed", type=as_seed, metavar="S", help="a seed repeats the run to the last bit")
    add(
        "--confidence",
        type=as_confidence,
        default=0.95,
        metavar="C",
        help="confidence of the error bar (default %(default)s)",
    )
    add("--block-size", type=as_count, metavar="N", help="points that share a random stream")
    add("--ledger", metavar="FILE", help="keep finished work there, and go on from it")
    add_run_options(parser)


def _run_pi(options: argparse.Namespace) -> None:
    with open_where(options) as where:
        result, shortfall = _try(partial(scoopsci.pi, **_sampling(options, "points"), **where))
    assert isinstance(result, scoopsci.PiEstimate)
    _print_estimate("π ≈ ", result, {"n_inside": result.n_inside}, options)
    report(result, options, result.seed)
    if shortfall is not None:
        raise shortfall


def _sampling(options: argparse.Namespace, unit: str) -> dict[str, Any]:
    """Return the arguments that say how much to sample, and how; those that were given."""
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
        "progress": wants_progress(options),
    }


def _run_integrate(options: argparse.Namespace) -> None:
    sample = partial(
        scoopsci.integrate,
        options.function,
        options.lower if len(options.lower) > 1 else options.lower[0],
        options.upper if len(options.upper) > 1 else options.upper[0],
        dim=options.dim,
        method=options.method,
        **_sampling(options, "samples"),
    )
    with open_where(options) as where:
        result, shortfall = _try(partial(sample, **where))
    _print_estimate("", result, {}, options)
    report(result, options, result.seed)
    if shortfall is not None:
        raise shortfall


def _try(sample: Callable[[], Estimate]) -> tuple[Estimate, NotConvergedError | None]:
    """Return the estimate also where it falls short of the goal: it is not to be lost."""
    try:
        return sample(), None
    except NotConvergedError as error:
        return error.estimate, error


def _print_estimate(
    prefix: str, result: Estimate, more: dict[str, Any], options: argparse.Namespace
) -> None:
    text = (
        f"{prefix}{result}\n{result.elapsed_s:.2f} s, {_describe_speed(result)}; "
        f"engine {result.engine}, {plural(result.n_workers, 'worker')}; seed {result.seed}"
    )
    print_result(text, {**_as_json(result), **more}, result.receipt, options)


def _describe_speed(result: Estimate) -> str:
    n_recalled = result.receipt["run"]["n_recalled_blocks"]
    if n_recalled == result.n_blocks:
        return "all of it from the ledger"
    n_new = result.n_samples * (1 - n_recalled / result.n_blocks)
    speed = f"{shorten(n_new / max(result.elapsed_s, 1e-9))}points per second"
    n_lost = result.receipt["run"]["n_lost_tasks"]
    if n_lost:
        speed += f", {plural(n_lost, 'task')} lost with workers and repeated"
    return f"{speed}, {plural(n_recalled, 'block')} from the ledger" if n_recalled else speed


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
        "variance_reduction": plain["variance_reduction"] if result.variance_reduction else {},
        "notes": list(result.notes),
        "receipt": result.receipt,
    }
