"""The command ``scoopsci hosts``."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from functools import partial
from typing import Any

from scoopsci.commands.options import as_seconds

__all__ = ["add_hosts"]


def add_hosts(commands: Any) -> None:
    """Add the parser."""
    hosts = commands.add_parser(
        "hosts",
        help="examine the hosts of a hostfile before a run",
        description="Examine all hosts of a hostfile at the same time, and name the remedy for "
        "each that is not ready, or install what it lacks. The status is 0 if all are ready.",
        epilog="example: scoopsci hosts hostfile --install",
    )
    add = hosts.add_argument
    add("hostfile", nargs="?", default="hostfile", metavar="HOSTFILE", help="default hostfile")
    add(
        "--install",
        action="store_true",
        help="install an environment like this one, in ~/.local/share, on hosts that need it",
    )
    add("--wheels", metavar="FOLDER", help="install from these wheels instead of pip's index")
    add("--requirements", metavar="FILE", help="further packages to install on every host")
    add(
        "--python",
        metavar="PATH",
        help="the interpreter there, or with --install the one that makes the environment "
        "(default: the path of this one)",
    )
    add("--ssh", default="ssh", metavar="PROGRAM", help="the SSH client (default ssh)")
    add(
        "--timeout",
        type=as_seconds,
        default=15.0,
        metavar="S",
        help="seconds to examine each host (default %(default)g)",
    )
    add("--json", action="store_true", help="print one JSON object instead of text")
    hosts.set_defaults(run=_run_hosts)


def _run_hosts(options: argparse.Namespace) -> int:
    from scoopsci.deployment.doctor import examine_hosts, show_diagnoses
    from scoopsci.deployment.install import install_hosts

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
