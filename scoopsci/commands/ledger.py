"""The command ``scoopsci ledger``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

from scoopsci.commands.options import as_index
from scoopsci.reporting.receipts import as_plain
from scoopsci.road.replay import Replay, check_ledger, describe_ledger, replay_block

__all__ = ["add_ledger"]


def add_ledger(commands: Any) -> None:
    """Add the parser."""
    ledger = commands.add_parser(
        "ledger",
        help="inspect a ledger, or recompute one of its blocks",
        description="Inspect the ledger of a run, or recompute one of its blocks on this machine. "
        "Pickles that the file brings can run code: they are loaded with --trust only.",
        epilog="example: scoopsci ledger replay pi.ledger 1234",
    )
    actions = ledger.add_subparsers(dest="action", required=True, metavar="ACTION")
    for action, (run, what) in ACTIONS.items():
        parser = actions.add_parser(
            action, help=what, description=f"{what[0].upper()}{what[1:]}.",
            epilog=f"example: scoopsci ledger {action} pi.ledger"
            + " 1234" * (action == "replay"),
        )  # fmt: skip
        parser.add_argument("file", metavar="FILE", help="the ledger")
        if action == "replay":
            parser.add_argument(
                "blocks", metavar="BLOCK", nargs="+", type=as_index, help="index of a block"
            )
        parser.add_argument("--trust", action="store_true", help=TRUST[action])
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.set_defaults(run=run)


def _show(options: argparse.Namespace) -> None:
    found = describe_ledger(options.file, trust=options.trust)
    identity = found["identity"]
    lines = [f"{found['path']}: {identity.get('workload', 'a run')}"]
    lines += [f"  {name}: {_short(value)}" for name, value in identity.items()]
    lines.append(
        f"{found['n_blocks']:,} blocks are finished, in {found['n_rows']:,} rows and "
        f"{found['n_bytes']:,} bytes; the first {found['n_in_sequence']:,} without a gap"
    )
    lines += [f"hosts computed as NumPy {row['numpy']}, battery {row['battery']}, {row['host']}"
              for row in found["numerics"]]  # fmt: skip
    if found["estimate"] is not None:
        lines.append(
            f"the first {found['n_samples']:,} samples give {found['estimate']} "
            f"± {found['half_width']} (95 %)"
        )
    elif found["needs_trust"]:
        lines.append(
            "the estimate needs the run's function, a pickle, which can run code when it is "
            "loaded: pass --trust if you trust where the file comes from"
        )
    _print(found, "\n".join(lines), options)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) < 90 else f"{text[:80]}…"


def _verify(options: argparse.Namespace) -> None:
    n_rows, n_pickled = check_ledger(options.file, trust=options.trust)
    text = f"all {n_rows:,} rows are whole"
    if n_pickled and not options.trust:
        text += f"; {n_pickled:,} hold pickles, which were not loaded: --trust loads them, too"
    text += "; nothing was computed again: scoopsci ledger replay does that"
    found = {"n_rows": n_rows, "n_pickled": n_pickled, "ok": True}
    _print(found, text, options)


def _replay(options: argparse.Namespace) -> int:
    replays = [replay_block(options.file, block, trust=options.trust) for block in options.blocks]
    equal = all(replay.equal for replay in replays)
    found = {"equal": equal, "blocks": [replay.as_dict() for replay in replays]}
    _print(found, "\n".join(map(_describe, replays)), options)
    return 0 if equal else 1


def _describe(replay: Replay) -> str:
    first, last = replay.blocks.start, replay.blocks.stop - 1
    text = (
        f"block {replay.block}, recorded with blocks {first} to {last}, "
        f"{replay.n_samples:,} samples: {'the same' if replay.equal else 'A DIFFERENT'} partial, "
        f"{replay.digest[:16]}"
    )
    return text if replay.same_numerics else f"{text}; the numerics of this machine differ"


def _print(found: dict[str, Any], text: str, options: argparse.Namespace) -> None:
    print(json.dumps(as_plain(found), allow_nan=False) if options.json else text)
    sys.stdout.flush()


ACTIONS: dict[str, tuple[Callable[[argparse.Namespace], int | None], str]] = {
    "show": (_show, "show which run it belongs to, its progress, and the estimate so far"),
    "verify": (_verify, "read every row, and check that nothing is damaged"),
    "replay": (_replay, "recompute blocks on this machine, and compare them with the record"),
}

TRUST = {
    "show": "load the pickled function, which can run code, if the estimate needs it",
    "verify": "load the pickles, too, which can run code",
    "replay": "load the pickled function, which can run code; needed for all runs but pi",
}
