"""The command line: parse, call, and exit with the right status, and one line on an error."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import io
import os
import re
import shlex
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NoReturn

import scoopsci
from scoopsci.basics.extras import import_extra
from scoopsci.basics.interrupts import Terminated, terminable
from scoopsci.commands import add_commands
from scoopsci.engines.opening import inside_plain_scoop
from scoopsci.engines.scoop import KNOWN_TO_BE_OPEN
from scoopsci.errors import (
    EngineNotStartedError,
    EngineUnavailableError,
    ExtraMissingError,
    ScoopsciError,
    TaskError,
)
from scoopsci.estimation.estimates import DistantGoalWarning, DoubtfulEstimateWarning
from scoopsci.road.runs import keeping_task_errors

__all__ = ["main", "run_script"]

WRONG_USE, FAILED, BY_SIGNAL = 2, 1, 128

#: Errors in how the command was used.
WRONG = (ValueError, TypeError, EngineNotStartedError, EngineUnavailableError, ExtraMissingError)

#: The options that replace names of arguments in error messages.
_OPTIONS = {
    "n_workers": "--workers",
    "n_points": "--points",
    "n_samples": "--points",
    "min_samples": "--min-points",
    "max_samples": "--max-points",
    "half_width": "--half-width",
    "block_size": "--block-size",
}
#: Those names, unless quoted, within a path, or the name of a file that the error is about.
_OPTION = re.compile(rf"(?<![\w'\"./-])({'|'.join(_OPTIONS)})(?![\w'\":./-])")

EXAMPLES = """examples:
  scoopsci pi --half-width 1e-4 --seed 3
  scoopsci integrate mymodule:f --dim 3 --report run.html
  scoopsci compare mymodule:simulate --tasks 200
  scoopsci hosts hostfile --install
  scoopsci pi --hostfile hostfile --dashboard
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those of the process.

    Returns
    -------
    int
        The exit status: 0, 1 if the run failed, 2 for wrong use, or 128 plus the number of the
        signal that ended it: 130 after Ctrl-C.
    """
    _mend_streams()
    try:
        options = _parse(arguments)
    except SystemExit as end:  # of argparse; a script under SCOOP must not end its process
        return end.code if isinstance(end.code, int) else WRONG_USE
    except ExtraMissingError as error:
        print(f"scoopsci: {error}", file=sys.stderr)
        return WRONG_USE
    if getattr(options, "quiet", False):
        os.environ[KNOWN_TO_BE_OPEN] = "1"
    options.command_line = _find_command_line(sys.argv[1:] if arguments is None else arguments)
    command: Callable[[argparse.Namespace], int | None] = options.run
    try:
        with terminable(), keeping_task_errors(), warnings.catch_warnings():
            # The result's own text contains them.
            warnings.simplefilter("ignore", DoubtfulEstimateWarning)
            warnings.showwarning = partial(_show_warning, warnings.showwarning)
            _check_files(options)
            return command(options) or 0
    except Terminated as end:
        name = signal.Signals(end.number).name
        return _complain(options, f"ended by {name}", BY_SIGNAL + end.number)
    except KeyboardInterrupt:
        return _complain(options, "interrupted", BY_SIGNAL + signal.SIGINT)
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())  # or Python reports what it cannot write
        os.close(nowhere)
        return _complain(options, "the reader of the output closed it early", FAILED)
    except WRONG as error:
        return _complain(options, _OPTION.sub(_as_option, str(error)), WRONG_USE)
    except (ScoopsciError, OSError) as error:
        for note in getattr(error, "__notes__", ()):  # the worker's traceback, say
            print(note, file=sys.stderr)
        message = str(error)
        if isinstance(error, TaskError):  # the rest comes from the user's own exception
            message = message.partition("\n")[0]
        return _complain(options, message, FAILED)


def _show_warning(
    show: Callable[..., None], message: Warning | str, category: type[Warning], *where: Any
) -> None:
    """Print what concerns the run in one line, and other warnings as Python does."""
    if category is DistantGoalWarning:
        print(f"scoopsci: {message}", file=sys.stderr)
    else:
        show(message, category, *where)


def _as_option(match: re.Match[str]) -> str:
    return _OPTIONS[match[0]]


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse; for an unknown option, suggest the one that may be meant."""
    parser = _make_parser()
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
        command = commands.choices[options.command]
        known = [name for action in _walk_actions(command) for name in action.option_strings]
        like = difflib.get_close_matches(unknown[0].partition("=")[0], known, 1)
        meant = f"; did you mean {like[0]}?" if like else ""
        command.error(f"unrecognized arguments: {' '.join(unknown)}{meant}")
    return options


def _find_command_line(words: Sequence[str]) -> str:
    """Return the command that repeats a run, without the options for its live page and report."""
    kept: list[str] = []
    for word, before in zip(words, ["", *words], strict=False):
        if not (word == "--dashboard" or word.startswith("--report") or before == "--report"):
            kept.append(word)
    return shlex.join(["scoopsci", *kept])


def _check_files(options: argparse.Namespace) -> None:
    report = getattr(options, "report", None)
    if report is not None and report == options.output:
        raise ValueError(f"--report and --output must differ, got {os.fspath(report)} twice")


def _mend_streams() -> None:
    """Ensure that neither a closed stream nor a terminal that cannot show π loses a result."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:  # closed by our parent; the lowest number is free
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
    if status and not inside_plain_scoop():
        sys.exit(status)


def _complain(options: argparse.Namespace, message: str, status: int) -> int:
    lines = [line.strip() for line in message.splitlines() if line.strip()] or ["no message"]
    line = "; ".join(lines).replace(":; ", ": ")
    with contextlib.suppress(OSError):  # the terminal may be gone
        print(f"scoopsci {options.command}: {line}", file=sys.stderr)
    return status


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(WRONG_USE, f"{self.prog}: {message}; see {self.prog} --help\n")


class _PrintCompletion(argparse.Action):
    """Prints a script that completes commands, options and files in a shell, and exits."""

    def __call__(self, parser: argparse.ArgumentParser, *rest: Any) -> NoReturn:
        shtab = import_extra("shtab", "completion")
        for action in _walk_actions(parser):
            if action.metavar in ("F", "FILE", "HOSTFILE", "INPUT", "OUTPUT", "SCRIPT"):
                action.complete = shtab.FILE  # type: ignore[attr-defined]
        print(shtab.complete(parser, rest[1]))
        parser.exit()


def _walk_actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for child in dict.fromkeys(action.choices.values()):
                yield from _walk_actions(child)


def _make_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="scoopsci",
        description=scoopsci.__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"scoopsci {scoopsci.__version__}")
    parser.add_argument(
        "--print-completion",
        action=_PrintCompletion,
        choices=("bash", "zsh", "tcsh"),
        metavar="SHELL",
        help="print a script for bash, zsh or tcsh that completes commands, options and files",
    )
    add_commands(parser.add_subparsers(dest="command", required=True, metavar="COMMAND"))
    return parser
