"""The identity of a run: how that of a ledger differs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["describe_differences"]

#: Number of names that a message lists.
N_LISTED = 6

#: What makes a difference matter that is not one of the samples.
REASONS = {
    "declared": "an interval that holds at every look follows the bounds and the goal that were "
    "stated before the first sample, and later ones would void it: ",
    "decimal": "results of two decimal contexts are not those of one run: ",
}


def describe_differences(theirs: Mapping[str, str], ours: Mapping[str, str]) -> dict[str, str]:
    """Describe what differs between two identities.

    Parameters
    ----------
    theirs, ours : mapping
        The values in JSON by name: of the ledger, and of this run. The hashes of code come with
        ``hashed``, the version of the hash, and ``names``: see `scoopsci.basics.codehash.identify`.

    Returns
    -------
    dict
        A phrase for each name whose value differs; empty if the run is the same.
    """
    names = sorted({*theirs, *ours} - {"names"}, key=str)
    differing = [name for name in names if theirs.get(name) != ours.get(name)]
    there, here = (_read_names(identity) for identity in (theirs, ours))
    if {"code", "hashed"} <= set(differing) and "code" in theirs and "hashed" in ours:
        # Of the code, nothing else can be compared.
        differing = [name for name in differing if name not in here]
    return {
        name: _describe(name, theirs, ours, there.get(name, {}), here.get(name, {}))
        for name in differing
    }


def _describe(
    name: str,
    theirs: Mapping[str, str],
    ours: Mapping[str, str],
    there: Mapping[str, str],
    here: Mapping[str, str],
) -> str:
    if name == "hashed" and "code" in theirs and "code" in ours:
        return (
            f"its code was hashed by {theirs.get(name, 'a former version of scoopsci')}, and this "
            f"scoopsci hashes code differently ({ours.get(name, 'without a version')})"
        )
    changes = _list_changes(there, here) if there and here else []
    if not changes:
        there_is, here_is = (each.get(name, "not given") for each in (theirs, ours))
        return f"{REASONS.get(name, '')}{name} is {there_is} there and {here_is} here"
    more = [f"{len(changes) - N_LISTED} more"] * (len(changes) > N_LISTED)
    return f"{name} is different there: {' and '.join(changes[:N_LISTED] + more)}"


def _list_changes(there: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    changed = [name for name in here if name in there and there[name] != here[name]]
    return [
        *(f"{name} has changed" for name in changed),
        *(f"{name} is read only here" for name in here if name not in there),
        *(f"{name} is read only there" for name in there if name not in here),
    ]


def _read_names(identity: Mapping[str, str]) -> dict[str, dict[str, str]]:
    found: Any = json.loads(identity.get("names", "{}"))
    return found if isinstance(found, dict) else {}
