"""The workers of a run: what they reported, what they did, and whether they compute alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from scoopsci.errors import EngineError
from scoopsci.reporting.timeline import Timeline

__all__ = ["ACTIVITIES", "Workers", "with_numerics"]

#: What time is spent on: the keys of a receipt, in words.
ACTIVITIES = {
    "start_up_s": "start-up",
    "serialising_s": "serialising",
    "computing_s": "computing",
    "returning_s": "returning",
    "waiting_s": "waiting",
}

FACTS = ("host", "pid", "python", "numpy", "battery")
COSTS = ("pack_s", "prepare_s", "load_s", "elapsed_s", "dump_s", "unpack_s", "sent_bytes",
         "returned_bytes")  # fmt: skip


class Workers:
    """The workers that took part, in the order of their first results.

    Parameters
    ----------
    mixed : bool
        Accept workers whose results differ in the last bit.
    start_s : float
        Start of the run, by the driver's monotonic clock.
    """

    def __init__(self, *, mixed: bool, start_s: float = 0.0) -> None:
        self._mixed = mixed
        self._timeline = Timeline(start_s)
        # Two containers on one machine may have the same host name and process number.
        self._numerics: dict[tuple[str, str], str] = {}
        self._workers: dict[tuple[str, int], dict[str, Any]] = {}
        self._costs: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._workers)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the facts of each worker, with its ``n_blocks`` and ``elapsed_s``."""
        return iter(self._workers.values())

    def describe(self) -> list[dict[str, Any]]:
        """Return the facts of each worker, with the ``spans`` in which it was busy.

        Returns
        -------
        list of dict
            See `scoopsci.reporting.timeline.Timeline.spans`.
        """
        return [
            {**facts, "spans": self._timeline.spans(worker)}
            for worker, facts in self._workers.items()
        ]

    @property
    def differ(self) -> bool:
        """Whether their numerics differ."""
        return len(self._numerics) > 1

    @property
    def computing_s(self) -> float:
        """Total time that they have spent on blocks."""
        return float(self._costs["elapsed_s"])

    def describe_costs(self, elapsed_s: float, start_up_s: float) -> dict[str, Any]:
        """Return how the time was spent, averaged over the workers, and the bytes transferred.

        Parameters
        ----------
        elapsed_s : float
            Time of the whole run.
        start_up_s : float
            Part of it that passed until the engine was open.

        Returns
        -------
        dict
            ``times``: ``start_up_s`` including the workers' own preparation, ``serialising_s`` of
            what was sent, ``computing_s``, ``returning_s`` of what came back, and the rest,
            ``waiting_s``; ``sent_bytes`` and ``returned_bytes``.

        Notes
        -----
        The driver packs and unpacks while workers compute, so the parts may exceed the whole.
        """
        costs, n_workers = self._costs, max(1, len(self))
        times = {
            "start_up_s": start_up_s + costs["prepare_s"] / n_workers,
            "serialising_s": costs["pack_s"] + costs["load_s"] / n_workers,
            "computing_s": costs["elapsed_s"] / n_workers,
            "returning_s": costs["dump_s"] / n_workers + costs["unpack_s"],
        }
        times["waiting_s"] = max(0.0, elapsed_s - sum(times.values()))
        transferred = {name: int(costs[name]) for name in ("sent_bytes", "returned_bytes")}
        return {"times": times, **transferred}

    def add(self, report: dict[str, Any], n_blocks: int) -> None:
        """Count the blocks that a worker has run.

        Parameters
        ----------
        report : dict
            The facts of `scoopsci.reporting.receipts.process_facts`, times and bytes.
        n_blocks : int
            Number of blocks.

        Raises
        ------
        EngineError
            If its numerics differ from the others', and that is not accepted.
        """
        name = report["host"], report["pid"]
        facts = {fact: report[fact] for fact in FACTS}
        worker = self._workers.setdefault(name, {**facts, "n_blocks": 0, "elapsed_s": 0.0})
        worker["n_blocks"] += n_blocks
        worker["elapsed_s"] += report["elapsed_s"]
        times = {key: report[key] for key in ("ended_s", "elapsed_s", "arrived_s")}
        self._timeline.add(name, **times)
        self._costs.update({name: report[name] for name in COSTS}, n_blocks=n_blocks)
        self.compare(report)

    def compare(self, facts: Mapping[str, str]) -> None:
        """Compare the numerics of a host with those of the others.

        Parameters
        ----------
        facts : mapping
            ``numpy``, ``battery`` and ``host``.

        Raises
        ------
        EngineError
            If they differ, and that is not accepted.
        """
        self._numerics.setdefault((facts["numpy"], facts["battery"]), facts["host"])
        if self.differ and not self._mixed:
            described = " and ".join(
                f"{host} (NumPy {numpy}, battery {battery})"
                for (numpy, battery), host in self._numerics.items()
            )
            raise EngineError(
                f"hosts {described} compute differently in the last bit; install the same versions "
                "and set NPY_DISABLE_CPU_FEATURES, OPENBLAS_CORETYPE and GLIBC_TUNABLES alike on "
                "both, or go on with mixed=True (--mixed)"
            )


def with_numerics(report: dict[str, Any], numerics: str) -> dict[str, Any]:
    """Add further hashes of a host's numerics to a worker's battery, separated by blanks."""
    return {**report, "battery": " ".join([report["battery"], *numerics.split()])}
