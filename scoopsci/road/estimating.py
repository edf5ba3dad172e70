"""From an estimator to an estimate: the run, its receipt, and what is doubtful or missing."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from scoopsci.basics.codehash import Code, identify, list_doubts
from scoopsci.errors import EngineTimeoutError, NotConvergedError
from scoopsci.estimation.estimates import DoubtfulEstimateWarning, Estimate, format_with_error
from scoopsci.estimation.estimators import Estimator
from scoopsci.reporting.receipts import make_receipt
from scoopsci.road.runs import raising_users_own
from scoopsci.road.sampling import Sampling

__all__ = ["carry_out"]

E = TypeVar("E", bound=Estimate)


def carry_out(
    estimator: Estimator[Any],
    sampling: Sampling[Any],
    kind: type[E],
    what: dict[str, Any],
    seed: int,
    codes: Mapping[str, Code] = {},
    remedy: str = "",
    *,
    unit: str = "samples",
    **more: Any,
) -> E:
    """Run an estimator, and return its summary as an estimate with a receipt.

    Parameters
    ----------
    estimator : Estimator
        Draws and summarises the samples.
    sampling : Sampling
        How many, and how.
    kind : type
        Type of the estimate.
    what : dict
        Workload, code and stream.
    seed : int
        Entropy of the streams.
    codes : mapping
        The user's code, described, by its name in the identity.
    remedy : str
        What to do if it has captured a random generator.
    unit : str
        Name of the samples.
    **more
        What else the samples depend on.
    """
    options = {"seed": seed, "block_size": sampling.block_size, **more}

    def describe() -> E:
        counts: dict[str, Any] = {
            "n_samples": sampling.n_samples,
            "n_blocks": sampling.n_blocks,
            "confidence": sampling.confidence,
        }
        told = options | {name.replace("samples", unit): value for name, value in counts.items()}
        told |= sampling.guarantee.describe()
        if sampling.goal is not None:
            told |= sampling.goal.describe()
        doubts = list_doubts(codes, remedy)
        summary = {**sampling.summary, "notes": (*doubts, *sampling.summary.get("notes", ()))}
        receipt = make_receipt(**what, options=told, result=summary, **sampling.done)
        how = {name: sampling.done[name] for name in ("engine", "n_workers", "elapsed_s")}
        return kind(**summary, **counts, **how, seed=seed, receipt=receipt)

    with raising_users_own():
        try:
            sampling.run(estimator, {**what, **options, **identify(codes)}, unit=unit)
        except (EngineTimeoutError, KeyboardInterrupt) as error:
            found = describe() if sampling.n_blocks else None
            error.estimate = found  # type: ignore[union-attr]
            if found is not None:
                error.add_note(f"The estimate so far, in its attribute estimate: {found}")
            raise
    found = describe()
    for note in found.notes:
        warnings.warn(note, DoubtfulEstimateWarning, stacklevel=3)
    if sampling.shortfall is not None:
        raise _not_converged(found, sampling, *sampling.shortfall)
    return found


def _not_converged(
    found: Estimate, sampling: Sampling[Any], reason: str, remedy: str
) -> NotConvergedError:
    assert sampling.goal is not None
    reached = f"{found.n_samples:,} samples"
    if np.ndim(found.value) == 0:
        reached += f" give {format_with_error(found.value, found.half_width)}"
    share = " of the estimate" if sampling.goal.relative else ""
    return NotConvergedError(
        f"a half-width of {sampling.goal.half_width:g}{share} is not reached: "
        f"{reason}, and {reached}; {remedy}",
        estimate=found,
    )
