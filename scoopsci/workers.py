"""The workers of a run: what they told of themselves, what they did, and whether they agree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scoopsci.errors import EngineError

__all__ = ["Workers"]


class Workers:
    """The workers that took part, in the order of their first results.

    Parameters
    ----------
    mixed : bool
        Accept workers that compute differently in the last bit.
    """

    def __init__(self, *, mixed: bool) -> None:
        self._mixed = mixed
        # By name and process alone, two containers on one machine may look the same.
        self._numerics: dict[tuple[str, str], str] = {}
        self._workers: dict[tuple[str, int], dict[str, Any]] = {}

    def __len__(self) -> int:
        return len(self._workers)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the facts of each worker, with its ``n_blocks`` and ``elapsed_s``."""
        return iter(self._workers.values())

    @property
    def differ(self) -> bool:
        """Whether some of them compute differently from others."""
        return len(self._numerics) > 1

    def add(self, report: dict[str, Any], n_blocks: int) -> None:
        """Count the blocks that a worker has run.

        Parameters
        ----------
        report : dict
            The facts of `scoopsci.receipts.process_facts` and ``elapsed_s``.
        n_blocks : int
            Number of blocks.

        Raises
        ------
        EngineError
            If it computes differently from the others, and that is not accepted.
        """
        worker = self._workers.setdefault(
            (report["host"], report["pid"]), {**report, "n_blocks": 0, "elapsed_s": 0.0}
        )
        worker["n_blocks"] += n_blocks
        worker["elapsed_s"] += report["elapsed_s"]
        self._numerics.setdefault((report["numpy"], report["battery"]), report["host"])
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
