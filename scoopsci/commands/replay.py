"""The command ``scoopsci replay``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any

from scoopsci.pool.trace import replay

__all__ = ["add_replay"]


def add_replay(commands: Any) -> None:
    """Add the parser."""
    parser = commands.add_parser(
        "replay",
        help="tell what a recorded pool believed",
        description="Run the driver and the broker of a recorded pool again, without any process "
        "or connection, and tell what they believed at the end of the recording.",
        epilog="example: scoopsci replay pool.trace",
    )
    parser.add_argument("file", metavar="FILE", help="made by Pool(record=FILE)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_replay)


def _replay(options: argparse.Namespace) -> None:
    found = replay(options.file)
    print(json.dumps(found) if options.json else "\n".join(_describe(found)))


def _describe(found: dict[str, Any]) -> Iterator[str]:
    for side, facts in found.items():
        yield f"{side}: {facts['n_events']:,} events, the last one at {facts['last_s']:.3f} s"
        if facts["is_full"]:
            yield "  the recording is full: later events are not in it"
        if facts["agrees"] is False:
            yield "  it believed something else when the pool was closed"
        believed = facts["believes"]
        for host in believed.pop("hosts", ()):
            yield f"  host {host['label']}: {'' if host['connected'] else 'not '}connected"
            for worker in host["workers"]:
                yield f"    worker {worker['pid']}: {worker['state']}, {worker['n_done']} done"
        for name, value in believed.items():
            yield f"  {name}: {value}"
