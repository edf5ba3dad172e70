"""Site percolation on the square lattice: the density at which it spans from top to bottom.

Sites are occupied with probability p. A lattice of L x L sites spans with probability R_L(p):

- For L = 4 all 65,536 lattices can be enumerated, so R_4(p) is known exactly.
- For large L, R_L rises from 0 to 1 around p_c = 0.592746 [1]_, with R_L(p_c) = 1/2 + b/L [2]_.
  The term in 1/L cancels in 2 R_2L(p) - R_L(p), which is 1/2 at p = p_c.

References
----------
.. [1] J. L. Jacobsen, "Critical points of Potts and O(N) models from eigenvalue identities in
   periodic Temperley-Lieb algebras", Journal of Physics A 48 (2015) 454003,
   doi:10.1088/1751-8113/48/45/454003.
.. [2] R. M. Ziff, "Spanning probability in 2D percolation", Physical Review Letters 69 (1992)
   2670-2673, doi:10.1103/PhysRevLett.69.2670; the 1/2 is J. L. Cardy's, "Critical percolation in
   finite geometries", Journal of Physics A 25 (1992) L201-L206, doi:10.1088/0305-4470/25/4/009.
"""

from concurrent.futures import Executor
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

import scoopsci
from scoopsci import Estimate

Floats = NDArray[np.float64]

P_CRITICAL = 0.592746
#: Values of p on both sides of it, close enough that 2 R_2L - R_L is linear between them.
BRACKET = (0.585, 0.600)

#: The four neighbours of a site, within its lattice of the stack.
NEIGHBOURS = np.zeros((3, 3, 3), dtype=bool)
NEIGHBOURS[1] = ndimage.generate_binary_structure(2, 1)


def span(occupied: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return whether each lattice of a stack, of shape (n, L, L), spans from top to bottom."""
    clusters = np.asarray(ndimage.label(occupied, structure=NEIGHBOURS)[0])
    top, bottom = clusters[:, 0, :, None], clusters[:, -1, None, :]
    return np.asarray(((top == bottom) & (top > 0)).any(axis=(1, 2)))


def draw_spanning(side: int, p: float, rng: np.random.Generator, size: int) -> NDArray[np.bool_]:
    """Draw lattices, and return which of them span."""
    return span(rng.random((size, side, side)) < p)


def draw_without_drift(
    side: int, ps: tuple[float, ...], rng: np.random.Generator, size: int
) -> Floats:
    """Draw samples of 2 R_2L - R_L, one column per p, from the same lattices of 2L x 2L."""
    heights = rng.random((size, 2 * side, 2 * side))
    quarters = heights.reshape(size, 2, side, 2, side).swapaxes(2, 3).reshape(-1, side, side)
    columns = [
        2.0 * span(heights < p) - span(quarters < p).reshape(size, 4).mean(axis=1) for p in ps
    ]
    return np.stack(columns, axis=1)


def count_spanning(side: int, p: float) -> float:
    """Return R_L(p) by enumerating all lattices, 2 to the power L² of them."""
    n_sites = side * side
    bits = np.arange(2**n_sites)[:, None] >> np.arange(n_sites) & 1
    n_occupied = bits.sum(axis=1)[span(bits.astype(bool).reshape(-1, side, side))]
    return float(np.sum(p**n_occupied * (1.0 - p) ** (n_sites - n_occupied)))


def find_threshold(found: Estimate) -> tuple[float, float]:
    """Return where the line through both estimates equals 1/2, and its standard error."""
    low, high = BRACKET
    slope = (found.value[1] - found.value[0]) / (high - low)
    p = low + (0.5 - found.value[0]) / slope
    return float(p), float(np.max(found.standard_error) / slope)


def main(
    engine: str | Executor = "auto", n_small: int = 100_000, n_large: int = 16_384, side: int = 16
) -> tuple[Estimate, Estimate]:
    """Print R_4(p_c) beside its exact value, and p_c beside the published value.

    Parameters
    ----------
    engine : str or Executor
        Engine to run on.
    n_small, n_large : int
        Number of lattices of 4 x 4, and of 2L x 2L.
    side : int
        L.

    Returns
    -------
    small, large : Estimate
        R_4(p_c); 2 R_2L - R_L on both sides of p_c.
    """
    small = scoopsci.estimate(partial(draw_spanning, 4, P_CRITICAL), n_small, seed=1, engine=engine)
    large = scoopsci.estimate(
        partial(draw_without_drift, side, BRACKET), n_large, block_size=256, seed=1, engine=engine
    )
    threshold, error = find_threshold(large)
    print(f"4 x 4 sites span at p_c: {small}; exact: {count_spanning(4, P_CRITICAL):.6f}")
    print(f"p_c from L = {side} and {2 * side}: {threshold:.5f}, standard error {error:.5f}; "
          f"published: {P_CRITICAL}")  # fmt: skip
    return small, large


if __name__ == "__main__":
    main()
