"""The command `scoopsci run`: the options of ``python -m scoop``, or why one is missing."""

from __future__ import annotations

import argparse
import os
from typing import Any, NoReturn

from scoopsci.programs.choose import choose_hosts, read_count

__all__ = ["add_run"]

#: Options of SCOOP that are not supported, and the reason.
REFUSED = {
    "--rsh": "rsh exposes passwords and results to the network; the hosts are reached by ssh",
    "--external-hostname": "no worker connects back, so the name is not needed; leave it out",
    "--debug": "it writes SCOOP's own traces; scoopsci run -v shows more messages of scoop.logger",
    "--profile": "profile a task itself, with cProfile or py-spy",
}


def add_run(commands: Any) -> None:
    """Add the parser of the command.

    Parameters
    ----------
    commands : argparse subparsers
        Of the main parser.
    """
    run = commands.add_parser(
        "run",
        help="run a SCOOP program, as python -m scoop does, on a pool",
        description="Run a program that uses scoop.futures, unchanged, on workers that are "
        "inaccessible to others and survive each other's failures. By default, the hosts are those "
        "allocated by SLURM, PBS or SGE, or else this machine.",
        epilog="example: scoopsci run -n 4 --hostfile hostfile --stage program.py its arguments",
    )
    add = run.add_argument
    add("-n", type=_workers, dest="workers", metavar="N", help="total number of workers")
    where = run.add_mutually_exclusive_group()
    where.add_argument("--hostfile", metavar="F", help="file that names the hosts")
    where.add_argument("--hosts", "--host", nargs="*", metavar="HOST", help="or their names")
    add("--stage", action="store_true", help="copy the script's folder to the hosts for this run")
    add("--data", action="append", metavar="PATH", help="with --stage: copy this beside the script")
    add(
        "--path",
        "-p",
        metavar="FOLDER",
        help="where workers run the script (default: here); with --stage, the copy is kept there",
    )
    add("--nice", type=int, default=0, metavar="N", help="niceness of the workers, -20 to 19")
    add("--python-interpreter", metavar="PATH", help="on other hosts (default: this one's path)")
    add("--pythonpath", metavar="FOLDERS", help="where workers search for modules first")
    add("--prolog", metavar="FILE", help="on each host, sourced by bash before anything else")
    add("--ssh-executable", default="ssh", metavar="PROGRAM", help="the ssh program (default ssh)")
    add("--mixed", action="store_true", help="continue even if hosts differ in the last bit")
    add("--quiet", "-q", action="store_true", help="of scoop.logger, show only warnings and errors")
    add("--verbose", "-v", action="count", default=0, help="of scoop.logger, show everything")
    add("-b", type=int, default=1, help=argparse.SUPPRESS)
    add("--backend", default="ZMQ", help=argparse.SUPPRESS)
    add("--tunnel", action="store_true", help=argparse.SUPPRESS)  # always the case
    for name, reason in REFUSED.items():
        add(name, nargs="?", action=_Refuse, const=reason, help=argparse.SUPPRESS)
    add("script", metavar="SCRIPT", help="the program")
    add("arguments", nargs=argparse.REMAINDER, metavar="ARGS", help="its arguments, as they are")
    run.set_defaults(run=_run)


class _Refuse(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        parser.error(f"{self.option_strings[0]} is not supported: {self.const}")


def _workers(text: str) -> int:
    try:
        return read_count(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _run(options: argparse.Namespace) -> int:
    from scoopsci.programs.origin import run_program
    from scoopsci.programs.staging import find_sources

    if options.b != 1:
        raise ValueError(f"-b must be 1, got {options.b}: one broker serves all hosts")
    if options.backend != "ZMQ":
        raise ValueError(f"--backend must be ZMQ, got {options.backend!r}: no other exists")
    if options.data and not options.stage:
        raise ValueError(f"--data {options.data[0]} is only copied with --stage; add --stage")
    if not -20 <= options.nice < 20:
        raise ValueError(f"--nice must be from -20 to 19, got {options.nice}")
    script = [options.script] if options.path is None else []  # else it may be only on the hosts
    for path in (*script, *(options.data or ())):
        if not os.path.exists(path):
            raise ValueError(f"{path} must exist, relative to {os.getcwd()}")
    if os.path.isdir(options.script):
        raise ValueError(f"{options.script} must be a program, got a folder; name its file")
    if options.hosts == []:
        raise ValueError("--hosts names no host; name one, or omit it")
    return run_program(
        options.script,
        options.arguments,
        choose_hosts(options.workers, hostfile=options.hostfile, names=options.hosts or ()),
        folder=options.path,
        sources=find_sources(options.script, options.data or ()) if options.stage else None,
        nice=options.nice,
        path=options.pythonpath.split(os.pathsep) if options.pythonpath else (),
        prolog=options.prolog,
        mixed=options.mixed,
        log_level="WARNING" if options.quiet else "DEBUG" if options.verbose else "INFO",
        python=options.python_interpreter,
        ssh=options.ssh_executable,
    )
