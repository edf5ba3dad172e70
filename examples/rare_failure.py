"""The probability, about one in a million, that the loads on a structure exceed its capacity.

Capacity and loads are normal and independent, so the margin between them is normal: the probability
is Φ(-β) [1]_, where β = 4.75 is the mean margin in units of its standard deviation. Plain sampling
would need 4·10^10 samples for ±1 %. Importance sampling draws around the design point, where
failure is most likely; the remaining variance also has a closed form.

References
----------
.. [1] A. M. Hasofer, N. C. Lind, "Exact and invariant second-moment code format", Journal of the
   Engineering Mechanics Division 100 (1974) 111-121, doi:10.1061/JMCEA3.0001848.
"""

import math
from concurrent.futures import Executor
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

import scoopsci
from scoopsci import Estimate, ImportanceSampling

Floats = NDArray[np.float64]

#: The capacity, then nine loads.
SIGNS = np.array([1.0] + 9 * [-1.0])
MEANS = np.array([137.5] + 9 * [10.0])
DEVIATIONS = np.array([8.0] + 9 * [2.0])

MARGIN_DEVIATION = math.sqrt(np.sum(DEVIATIONS**2))
BETA = float(np.sum(SIGNS * MEANS)) / MARGIN_DEVIATION
DESIGN_POINT = MEANS - BETA * SIGNS * DEVIATIONS**2 / MARGIN_DEVIATION


def fails(x: Floats) -> NDArray[np.bool_]:
    """Return whether the structure fails, for each row of capacity and loads."""
    return np.asarray((SIGNS * x).sum(axis=1) <= 0.0)


def draw_around(centre: Floats, u: Floats) -> Floats:
    """Transform uniform points to normal points around a centre."""
    return np.asarray(centre + DEVIATIONS * ndtri(u))


def density_around(centre: Floats, x: Floats) -> Floats:
    """Return the density of such points."""
    peaks = np.exp(-0.5 * ((x - centre) / DEVIATIONS) ** 2)
    return np.asarray(np.prod(peaks / (math.sqrt(2.0 * math.pi) * DEVIATIONS), axis=1))


def probability() -> float:
    """Return the probability of failure in closed form."""
    return float(ndtr(-BETA))


def reduction() -> float:
    """Return the variance reduction factor of importance sampling in closed form."""
    p = probability()
    second_moment = math.exp(BETA**2) * float(ndtr(-2.0 * BETA))
    return p * (1.0 - p) / (second_moment - p**2)


def main(engine: str | Executor = "auto", half_width: float = 0.01) -> Estimate:
    """Print the probability, and the savings from importance sampling.

    Parameters
    ----------
    engine : str or Executor
        Engine to run on.
    half_width : float
        Half-width of the 95 % interval, relative to the probability.

    Returns
    -------
    Estimate
        The probability.
    """
    around_failure = ImportanceSampling(
        partial(draw_around, DESIGN_POINT),
        partial(density_around, DESIGN_POINT),
        target=partial(density_around, MEANS),
    )
    found = scoopsci.integrate(
        fails, -np.inf, np.inf, dim=len(MEANS), variance_reduction=[around_failure],
        half_width=half_width, relative=True, seed=1, engine=engine,
    )  # fmt: skip
    print(f"probability of failure: {found}")
    print(f"closed forms: {probability():.6g}, variance reduced {reduction():.3g} times")
    return found


if __name__ == "__main__":
    main()
