"""A European, an Asian and a barrier option, to a given half-width by ``mc`` and by ``qmc``.

The price of the stock is a geometric Brownian motion, sampled at equidistant times from the points
of the unit cube. The references for the results:

- European call: the closed form [1]_.
- Asian call on the arithmetic mean over all times: 0.2464156905, case 5 of [2]_. Its control
  variate is the call on the geometric mean, which has a closed form [3]_.
- Down-and-out call: the closed form of [4]_. A Brownian bridge between two times gives the
  probability of crossing the barrier, so monitoring is continuous, however few the times are.

References
----------
.. [1] F. Black, M. Scholes, "The pricing of options and corporate liabilities", Journal of
   Political Economy 81 (1973) 637-654, doi:10.1086/260062.
.. [2] V. Linetsky, "Spectral expansions for Asian (average price) options", Operations Research 52
   (2004) 856-867, doi:10.1287/opre.1040.0113.
.. [3] A. G. Z. Kemna, A. C. F. Vorst, "A pricing method for options based on average asset values",
   Journal of Banking and Finance 14 (1990) 113-129, doi:10.1016/0378-4266(90)90039-5.
.. [4] R. C. Merton, "Theory of rational option pricing", The Bell Journal of Economics and
   Management Science 4 (1973) 141-183, doi:10.2307/3003143.
"""

import math
from collections.abc import Callable
from concurrent.futures import Executor

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import trapezoid
from scipy.special import ndtr, ndtri

import scoopsci
from scoopsci import Antithetic, ControlVariates, Estimate

Floats = NDArray[np.float64]
Payoff = Callable[[Floats], Floats]

SPOT, STRIKE, BARRIER = 2.0, 2.0, 1.5
RATE, VOLATILITY, YEARS = 0.05, 0.5, 1.0
DRIFT = RATE - VOLATILITY**2 / 2.0
N_STEPS = 16

ASIAN_PRICE = 0.2464156905


def call(prices: Floats) -> Floats:
    """Return the discounted payoff of a call at these final, or mean, prices."""
    return np.asarray(math.exp(-RATE * YEARS) * np.maximum(prices - STRIKE, 0.0))


def draw_logs(u: Floats) -> Floats:
    """Return the logarithms of the price from the start, with one step per column of u."""
    step = YEARS / u.shape[1]
    changes = DRIFT * step + VOLATILITY * math.sqrt(step) * ndtri(u)
    changes = np.insert(changes, 0, math.log(SPOT), axis=1)
    return np.asarray(np.cumsum(changes, axis=1))


def european(u: Floats) -> Floats:
    """Return the value of the European call."""
    return call(np.exp(draw_logs(u)[:, -1]))


def asian(u: Floats) -> Floats:
    """Return the value of the Asian call, extrapolated from two step sizes to zero."""
    prices = np.exp(draw_logs(u))
    fine = call(trapezoid(prices, dx=1.0 / N_STEPS, axis=1))
    coarse = call(trapezoid(prices[:, ::2], dx=2.0 / N_STEPS, axis=1))
    return (4.0 * fine - coarse) / 3.0


def geometric_asian(u: Floats) -> Floats:
    """Return the value of the call on the geometric mean, by the trapezoidal rule."""
    return call(np.exp(trapezoid(draw_logs(u), dx=1.0 / u.shape[1], axis=1)))


def down_and_out(u: Floats) -> Floats:
    """Return the value of the call that expires worthless once the price reaches the barrier."""
    logs = draw_logs(u)
    above = np.maximum(logs - math.log(BARRIER), 0.0)
    variance = VOLATILITY**2 * YEARS / u.shape[1]
    hit = np.exp(-2.0 * above[:, :-1] * above[:, 1:] / variance)
    return np.asarray(call(np.exp(logs[:, -1])) * np.prod(1.0 - hit, axis=1))


def price_lognormal(mean: float, variance: float) -> float:
    """Return the value of a call on a lognormal price."""
    deviation = math.sqrt(variance)
    d = (mean - math.log(STRIKE) + variance) / deviation
    expected = math.exp(mean + variance / 2.0) * ndtr(d) - STRIKE * ndtr(d - deviation)
    return math.exp(-RATE * YEARS) * float(expected)


def price_european(spot: float = SPOT) -> float:
    """Return the closed form for the European call."""
    return price_lognormal(math.log(spot) + DRIFT * YEARS, VOLATILITY**2 * YEARS)


def price_geometric_asian(n_steps: int = N_STEPS) -> float:
    """Return the closed form for the call on the geometric mean, by the trapezoidal rule."""
    share = (4.0 * n_steps**2 - 1.0) / (12.0 * n_steps**2)
    return price_lognormal(math.log(SPOT) + DRIFT * YEARS / 2.0, share * VOLATILITY**2 * YEARS)


def price_down_and_out() -> float:
    """Return the closed form for the barrier below the strike, by the reflection principle."""
    factor = math.pow(BARRIER / SPOT, 2.0 * DRIFT / VOLATILITY**2)
    return price_european() - factor * price_european(BARRIER * BARRIER / SPOT)


def main(
    engine: str | Executor = "auto", half_width: float = 5e-4
) -> dict[tuple[str, str], tuple[Estimate, float]]:
    """Print the prices by both methods, beside their references.

    Parameters
    ----------
    engine : str or Executor
        Engine to run on.
    half_width : float
        Half-width of the 95 % interval of each price.

    Returns
    -------
    dict
        Estimate and reference, by option and method.
    """
    on_geometric = ControlVariates(geometric_asian, price_geometric_asian())
    on_european = ControlVariates(european, price_european())
    options: dict[str, tuple[Payoff, int, float, list[Antithetic | ControlVariates]]] = {
        "European call": (european, 1, price_european(), [Antithetic()]),
        "Asian call, geometric": (geometric_asian, N_STEPS, price_geometric_asian(), []),
        "Asian call": (asian, N_STEPS, ASIAN_PRICE, [Antithetic(), on_geometric]),
        "down-and-out call": (down_and_out, N_STEPS, price_down_and_out(), [on_european]),
    }
    found = {}
    for name, (payoff, dim, reference, reduction) in options.items():
        for method in ("mc", "qmc"):
            price = scoopsci.integrate(
                payoff, 0.0, 1.0, dim=dim, method=method, variance_reduction=reduction,
                half_width=half_width, seed=1, engine=engine,
            )  # fmt: skip
            found[name, method] = price, reference
            print(
                f"{name} by {method}, reference {reference:.6f}, {price.elapsed_s:.2f} s: {price}"
            )
    return found


if __name__ == "__main__":
    with scoopsci.open_engine() as workers:  # started once for all calls
        main(workers)
