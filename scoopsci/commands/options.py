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
from typing import Any

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
    "find_where",
    "open_where",
    "print_found",
    "print_result",
    "report",
    "wants_progress",
]


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add what says where and how a run is carried out."""
    add = parser.add_argument
    add("--engine", default="auto", metavar="E", help="serial, processes, scoop, … (default auto)")
    add("--workers", type=as_count, metavar="N", help="number of workers")
    add("--hostfile", metavar="F", help="file that names the hosts")
    add("--mixed", action="store_true", help="go on where hosts differ in the last bit")
    add(
        "--dashboard",
        action="store_true",
        help="serve a live page of the run to browsers on this machine; its address is told on "
        "stderr",
    )
    add_output_options(parser)


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """Add what says where its result goes."""
    add = parser.add_argument
    add("--output", type=as_new_file, metavar="FILE", help="write the receipt or the figures there")
    add("--report", type=as_report, metavar="FILE", help="write a page of all about the run there")
    add("--json", action="store_true", help="print one JSON object instead of text")
    add("--quiet", action="store_true", help="print neither progress nor a warning of an open pool")


def _checked(check: Callable[[Any], Any], convert: Callable[[str], Any], text: str) -> Any:
    try:
        value = convert(text)
    except ValueError:
        kind = "an integer, such as 1_000_000" if convert is int else "a number"
        raise argparse.ArgumentTypeError(f"must be {kind}, got {text!r}") from None
    try:
        return check(value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def as_count(text: str) -> int:
    """Return a count."""
    return int(_checked(lambda value: check_count("the number", value), int, text))


def as_index(text: str) -> int:
    """Return an index, counted from 0."""
    return int(_checked(lambda value: check_count("a block", value, least=0), int, text))


def as_positive(text: str) -> float:
    """Return a positive number."""
    return float(_checked(lambda value: check_positive("the number", value), float, text))


def as_seconds(text: str) -> float:
    """Return a time."""
    return float(_checked(partial(check_seconds, "the time", or_zero=True), float, text))


def as_seed(text: str) -> int:
    """Return a seed."""
    return int(_checked(check_seed, int, text))


def as_confidence(text: str) -> float:
    """Return a share within (0, 1)."""
    return float(_checked(lambda value: check_fraction("confidence", value), float, text))


def as_new_file(text: str) -> Path:
    """Return the path of a file that can be written."""
    # Before the run rather than after it: a result must not be lost to a misspelt folder.
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(
            f"must name a file in a folder that exists and can be written, got {text!r}"
        )
    return path


def as_report(text: str) -> Path:
    """Return the path of a report that can be made and written."""
    from scoopsci.report import check_extras

    check_extras()
    path = as_new_file(text)
    if path.exists() and not path.is_file():
        raise argparse.ArgumentTypeError(f"must name a file, and no device, got {text!r}")
    return path


def as_function(text: str) -> Callable[..., Any]:
    """Return the function MODULE:FUNCTION."""
    try:
        return import_function(text)
    except (ValueError, TypeError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def find_where(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options that choose an engine."""
    return {
        "engine": options.engine,
        "n_workers": options.workers,
        "hostfile": options.hostfile,
        "mixed": options.mixed,
    }


def report(result: Any, options: argparse.Namespace, seed: int | None = None) -> None:
    """Write the report of a result, if one is wanted."""
    if options.report is None:
        return
    from scoopsci.report import write_report

    seeded = "" if seed is None or options.seed is not None else f" --seed {seed}"
    write_report(result, options.report, command=f"{options.command_line}{seeded}")


def wants_progress(options: argparse.Namespace) -> bool:
    """Tell whether a bar may be drawn."""
    return not (options.quiet or options.json)


@contextlib.contextmanager
def open_where(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the options that choose an engine, which is open already where its page is wanted.

    Parameters
    ----------
    options : argparse.Namespace
        Of `add_run_options`.

    Yields
    ------
    dict
        Arguments of a run. With ``--dashboard`` its ``engine`` is one that is open, and ends with
        its page when the context is left.
    """
    where = find_where(options)
    if not options.dashboard:
        yield where
        return
    mixed = where.pop("mixed")
    with open_engine(**where) as engine, engine.dashboard() as page:
        print(f"live page: {page.url}", file=sys.stderr, flush=True)
        yield {"engine": engine, "mixed": mixed}


def print_found(text: str, found: dict[str, Any], options: argparse.Namespace) -> None:
    """Print figures, and write them to the output."""
    plain = as_plain(found)
    print_result(text, plain, plain, options)


def print_result(
    text: str, found: dict[str, Any], receipt: dict[str, Any], options: argparse.Namespace
) -> None:
    """Print what was found, and write its receipt: neither is lost where the other one fails."""
    try:
        print(json.dumps(found, allow_nan=False) if options.json else text)
        sys.stdout.flush()
    finally:
        if options.output:
            write_receipt(receipt, options.output)
