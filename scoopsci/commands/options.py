"""Options that commands share, their values checked, and what they print."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from scoopsci.basics.arguments import check_count, check_fraction, check_positive, check_seconds
from scoopsci.engines.opening import open_engine
from scoopsci.estimation.streams import check_seed
from scoopsci.harness.workloads import import_function
from scoopsci.reporting.receipts import as_plain, write_receipt

__all__ = [
    "add_output_options",
    "add_run_options",
    "as_confidence",
    "as_count",
    "as_function",
    "as_index",
    "as_new_file",
    "as_positive",
    "as_seconds",
    "as_seed",
    "open_where",
    "print_found",
    "print_result",
    "report",
    "wants_progress",
]


N = TypeVar("N", int, float)


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add options for where and how a run is executed, and those of its output."""
    add = parser.add_argument
    add("--engine", default="auto", metavar="E", help="serial, processes, scoop, … (default auto)")
    add("--workers", type=as_count, metavar="N", help="number of workers")
    add("--hostfile", metavar="F", help="file that names the hosts")
    add("--mixed", action="store_true", help="go on where hosts differ in the last bit")
    add(
        "--dashboard",
        action="store_true",
        help="serve a live page of the run to browsers on this machine; its address is printed to "
        "stderr",
    )
    add_output_options(parser)


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """Add options for where the result goes."""
    add = parser.add_argument
    add("--output", type=as_new_file, metavar="FILE", help="write the receipt or the figures there")
    add("--report", type=as_report, metavar="FILE", help="write an HTML report of the run there")
    add("--json", action="store_true", help="print one JSON object instead of text")
    add("--quiet", action="store_true", help="print neither progress nor a warning of an open pool")


def _checked(convert: type[N], check: Callable[[N], N]) -> Callable[[str], N]:
    """Return a function that converts the text of an option to a number, and checks it."""

    def parse(text: str) -> N:
        try:
            value = convert(text)
        except ValueError:
            kind = "an integer, such as 1_000_000" if convert is int else "a number"
            raise argparse.ArgumentTypeError(f"must be {kind}, got {text!r}") from None
        try:
            return check(value)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse


as_count = _checked(int, partial(check_count, "the number"))
as_index = _checked(int, partial(check_count, "a block", least=0))
as_positive = _checked(float, partial(check_positive, "the number"))
as_seconds = _checked(float, partial(check_seconds, "the time", or_zero=True))
as_seed = _checked(int, check_seed)
as_confidence = _checked(float, partial(check_fraction, "confidence"))


def as_new_file(text: str) -> Path:
    """Return the path of a file that can be written."""
    # Checked before the run, so that no result is lost to a misspelt folder.
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(
            f"must name a file in a folder that exists and can be written, got {text!r}"
        )
    return path


def as_report(text: str) -> Path:
    """Return the path of a report that can be written, if its packages are installed."""
    from scoopsci.report import check_extras

    check_extras()
    path = as_new_file(text)
    if path.exists() and not path.is_file():
        raise argparse.ArgumentTypeError(f"must name a file, not a device, got {text!r}")
    return path


def as_function(text: str) -> Callable[..., Any]:
    """Import the function MODULE:FUNCTION."""
    try:
        return import_function(text)
    except (ValueError, TypeError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def report(result: Any, options: argparse.Namespace, seed: int | None = None) -> None:
    """Write the report of a result, if one was asked for."""
    if options.report is None:
        return
    from scoopsci.report import write_report

    seeded = "" if seed is None or options.seed is not None else f" --seed {seed}"
    write_report(result, options.report, command=f"{options.command_line}{seeded}")


def wants_progress(options: argparse.Namespace) -> bool:
    """Return whether a progress bar may be drawn."""
    return not (options.quiet or options.json)


@contextlib.contextmanager
def open_where(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the options that choose an engine.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed options, among them those of `add_run_options`.

    Yields
    ------
    dict
        Arguments of a run. With ``--dashboard``, ``engine`` is an open engine, which is closed with
        its page when the context is left.
    """
    where = {"n_workers": options.workers, "hostfile": options.hostfile}
    if not options.dashboard:
        yield {"engine": options.engine, **where, "mixed": options.mixed}
        return
    with open_engine(options.engine, **where) as engine, engine.dashboard() as page:
        print(f"live page: {page.url}", file=sys.stderr, flush=True)
        yield {"engine": engine, "mixed": options.mixed}


def print_found(text: str, found: dict[str, Any], options: argparse.Namespace) -> None:
    """Print figures, and write them to ``--output``."""
    plain = as_plain(found)
    print_result(text, plain, plain, options)


def print_result(
    text: str, found: dict[str, Any], receipt: dict[str, Any], options: argparse.Namespace
) -> None:
    """Print a result and write its receipt; if one fails, the other is still done."""
    try:
        print(json.dumps(found, allow_nan=False) if options.json else text)
        sys.stdout.flush()
    finally:
        if options.output:
            write_receipt(receipt, options.output)
