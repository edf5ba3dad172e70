"""The command line: parse, call, print."""

from __future__ import annotations

import argparse
import importlib
import io
import json
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import scoopsci
from scoopsci.arguments import check_count, check_fraction
from scoopsci.engines.base import inside_scoop
from scoopsci.errors import (
    EngineNotStartedError,
    EngineUnavailableError,
    ScoopsciError,
    TaskError,
)
from scoopsci.estimates import DoubtfulEstimateWarning, Estimate
from scoopsci.receipts import write_receipt
from scoopsci.reporting import show_progress
from scoopsci.streams import check_seed

__all__ = ["main", "run_script"]

WRONG_USE, FAILED, INTERRUPTED = 2, 1, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those of the process.

    Returns
    -------
    int
        The exit status: 0, 1 where the run failed, 2 for wrong use, 130 after Ctrl-C.
    """
    _mend_streams()
    try:
        options = _make_parser().parse_args(arguments)
    except SystemExit as end:  # argparse ends the process, which a script under SCOOP cannot afford
        return end.code if isinstance(end.code, int) else WRONG_USE
    command: Callable[[argparse.Namespace], None] = options.run
    try:
        with warnings.catch_warnings():
            # The result's own text tells of them.
            warnings.simplefilter("ignore", DoubtfulEstimateWarning)
            command(options)
    except KeyboardInterrupt:
        return _complain(options, "interrupted", INTERRUPTED)
    except (ValueError, TypeError, EngineNotStartedError, EngineUnavailableError) as error:
        return _complain(options, str(error), WRONG_USE)
    except TaskError as error:
        print(error.remote_traceback, end="", file=sys.stderr)
        return _complain(options, str(error), FAILED)
    except (ScoopsciError, OSError) as error:
        return _complain(options, str(error), FAILED)
    return 0


def _mend_streams() -> None:
    """Let neither a closed stream nor a terminal without π cost a result."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:  # closed by whoever started us; the lowest number is free
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def run_script(command: str) -> None:
    """Run a command as a script, with the arguments of the process.

    Parameters
    ----------
    command : str
        Name of the command.
    """
    status = main([command, *sys.argv[1:]])
    # SCOOP prints a traceback of SystemExit and drops the status.
    if status and not inside_scoop():
        sys.exit(status)


def _complain(options: argparse.Namespace, message: str, status: int) -> int:
    first_line = (message.splitlines() or ["no message"])[0]
    print(f"scoopsci {options.command}: {first_line}", file=sys.stderr)
    return status


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(WRONG_USE, f"{self.prog}: {message}; see {self.prog} --help\n")


def _make_parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="scoopsci", description=scoopsci.__doc__)
    parser.add_argument("--version", action="version", version=f"scoopsci {scoopsci.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    pi = commands.add_parser(
        "pi",
        help="estimate π by random points",
        description="Estimate π by random points in the unit square, with its error bar.",
        epilog="example: scoopsci pi --points 50000000 --seed 7 --json",
    )
    _add_run_options(pi, default_points=100_000_000)
    pi.set_defaults(run=_run_pi)

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
    _add_run_options(integrate, default_points=1_000_000)
    integrate.set_defaults(run=_run_integrate)
    return parser


def _add_run_options(parser: argparse.ArgumentParser, *, default_points: int) -> None:
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
    add("--engine", default="auto", metavar="E", help="serial, processes, scoop, … (default auto)")
    add("--workers", type=_count, metavar="N", help="number of workers")
    add("--hostfile", metavar="F", help="file that names the hosts")
    add("--mixed", action="store_true", help="go on where hosts differ in the last bit")
    add("--output", type=_new_file, metavar="FILE", help="write the receipt there")
    add("--json", action="store_true", help="print one JSON object instead of text")
    add("--quiet", action="store_true", help="print no progress")


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
    module_name, _, name = text.rpartition(":")
    if not module_name:
        raise argparse.ArgumentTypeError(f"must be MODULE:FUNCTION, got {text!r}")
    sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
        function = getattr(module, name)
    except (ImportError, AttributeError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} cannot be imported: {error}") from None
    finally:
        sys.path.pop(0)
    if not callable(function):
        raise argparse.ArgumentTypeError(f"{text!r} must be callable, got {function!r}")
    source = Path(getattr(module, "__file__", None) or sys.prefix)
    if source.is_relative_to(Path.cwd()) and "site-packages" not in source.parts:
        import cloudpickle

        cloudpickle.register_pickle_by_value(module)  # other hosts do not have this folder
    return function  # type: ignore[no-any-return]


def _run_pi(options: argparse.Namespace) -> None:
    block_size = {"block_size": options.block_size} if options.block_size else {}
    with show_progress(quiet=options.quiet or options.json) as progress:
        result = scoopsci.pi(
            options.points,
            seed=options.seed,
            confidence=options.confidence,
            progress=progress,
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
            **block_size,
            **_where(options),
        )
    _print_estimate("", result, {}, options)


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
