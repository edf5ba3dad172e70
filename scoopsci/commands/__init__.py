"""The commands: their options, what they call, and what they print.

`montecarlo` has pi and integrate, `workloads` mapreduce, sort and compare, `run`, `hosts`,
`ledger`, `replay` and `simulate` the commands of these names, and `options` what several of them
share.
"""

from __future__ import annotations

from typing import Any

from scoopsci.commands.hosts import add_hosts
from scoopsci.commands.ledger import add_ledger
from scoopsci.commands.montecarlo import add_integrate, add_pi
from scoopsci.commands.replay import add_replay
from scoopsci.commands.run import add_run
from scoopsci.commands.simulate import add_simulate
from scoopsci.commands.workloads import add_compare, add_mapreduce, add_sort

__all__ = ["add_commands"]


def add_commands(commands: Any) -> None:
    """Add the parser of each command to the subparsers of the main parser."""
    for add in (add_pi, add_integrate, add_mapreduce, add_sort, add_compare, add_run, add_hosts,
                add_ledger, add_replay, add_simulate):  # fmt: skip
        add(commands)
