# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     notebook_metadata_filter: jupytext,-jupytext.text_representation.jupytext_version
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Your own problem, from function to receipt
#
# This notebook prices an option with your own function, on the hosts of a hostfile, to a given
# error. It tests the function where the answer is known, gets the same error from fewer samples,
# tightens it without repeating work, and recomputes a block to check the record. It takes less than
# a minute.
#
# The option is an Asian call. Its payoff is the excess of the mean price of a stock, over a year,
# above the strike. For the arithmetic mean there is no closed form. For the geometric mean there is
# one ([Kemna and Vorst 1990](https://doi.org/10.1016/0378-4266(90)90039-5)), which serves first as
# a test and then as a control variate.
#
# ## The hosts
#
# A hostfile has a line for each host: its name or address, as `ssh` takes it, and the number of its
# workers. If `SCOOPSCI_HOSTFILE` names none, a file with this machine is written here.
# `scoopsci hosts HOSTFILE` checks all hosts, and `--install` prepares them.

# %%
import math
import os
import tempfile
from pathlib import Path

import numpy as np
from scipy.special import ndtr, ndtri

import scoopsci
from scoopsci import ControlVariates, describe_ledger, replay_block
from scoopsci.report import format_with_error

folder = tempfile.TemporaryDirectory()
hostfile = os.environ.get("SCOOPSCI_HOSTFILE")
if hostfile is None:
    hostfile = Path(folder.name, "hostfile")
    hostfile.write_text("# host   workers\nlocalhost 2\n")
print(Path(hostfile).read_text(), end="")

# %%
pool = scoopsci.Pool(hostfile=hostfile)
pool

# %% [markdown]
# ## The function
#
# The logarithm of the price moves in normal steps. `integrate` draws points u in the unit cube, one
# column for each step, and `ndtri` transforms them to normal variates. A function takes many points
# at once and returns a value for each. It is defined in this notebook, and sent to the workers
# automatically.

# %%
SPOT, STRIKE, RATE, VOLATILITY, YEARS, N_STEPS = 100.0, 105.0, 0.04, 0.25, 1.0, 16
STEP = YEARS / N_STEPS


def draw_prices(u):
    drift = (RATE - VOLATILITY**2 / 2) * STEP
    steps = drift + VOLATILITY * math.sqrt(STEP) * ndtri(u)
    return SPOT * np.exp(np.cumsum(steps, axis=1))


def call(means):
    return math.exp(-RATE * YEARS) * np.maximum(means - STRIKE, 0.0)


def geometric(u):
    return call(np.exp(np.log(draw_prices(u)).mean(axis=1)))


def arithmetic(u):
    return call(draw_prices(u).mean(axis=1))


# %% [markdown]
# ## Where the answer is known
#
# The logarithm of the geometric mean is normal, so the price of its call has a closed form.


# %% tags=["deterministic"]
def price_geometric():
    share = (N_STEPS + 1) / (2 * N_STEPS)
    mean = math.log(SPOT) + (RATE - VOLATILITY**2 / 2) * YEARS * share
    variance = VOLATILITY**2 * YEARS * share * (2 * N_STEPS + 1) / (3 * N_STEPS)
    deviation = math.sqrt(variance)
    d = (mean - math.log(STRIKE) + variance) / deviation
    expected = math.exp(mean + variance / 2) * ndtr(d) - STRIKE * ndtr(d - deviation)
    return math.exp(-RATE * YEARS) * float(expected)


exact = price_geometric()
tested = scoopsci.integrate(geometric, 0, 1, 400_000, dim=N_STEPS, seed=1, engine=pool)
print(f"closed form: {exact:.4f}")
print(f"estimate:    {tested}")
covered = tested.interval[0] <= exact <= tested.interval[1]
print("the interval contains the closed form:", covered)

# %% [markdown]
# ## To a given error
#
# Ask for the price of the arithmetic call to ± 0.03. The ledger records finished blocks in a file.
# If the kernel dies, the same call resumes from there, even on other hosts.

# %%
plain = scoopsci.integrate(
    arithmetic,
    lower=0,
    upper=1,
    dim=N_STEPS,
    half_width=0.03,
    seed=2,
    engine=pool,
    ledger=Path(folder.name, "plain.ledger"),
    progress=True,
)
plain

# %% tags=["deterministic"]
print(plain)

# %%
ax = plain.plot()

# %% [markdown]
# ## The same error from fewer samples
#
# The geometric and arithmetic means are strongly correlated. So the call on the geometric mean can
# serve as a control variate, with the closed form as its integral. The result reports by what
# factor it reduces the variance.

# %%
control = [ControlVariates(geometric, exact)]


def price(half_width, seed, engine, ledger=None):
    return scoopsci.integrate(
        arithmetic,
        lower=0,
        upper=1,
        dim=N_STEPS,
        variance_reduction=control,
        half_width=half_width,
        seed=seed,
        engine=engine,
        ledger=ledger,
    )


reduced = price(0.03, seed=2, engine=pool)
reduced

# %% tags=["deterministic"]
print(reduced)
print(f"samples: {plain.n_samples:,} without it, {reduced.n_samples:,} with it")
agree = abs(plain.value - reduced.value) <= plain.half_width + reduced.half_width
print("both agree within their errors:", agree)

# %% [markdown]
# A run draws at least one block, and one was enough. So a smaller error costs little. Instead of
# ± 0.03, take ± 0.003 and then ± 0.001, with one ledger. The second run reuses the blocks of the
# first, and computes only what is new. The receipt reports how many it reused.

# %%
ledger = Path(folder.name, "reduced.ledger")
first = price(0.003, seed=3, engine=pool, ledger=ledger)
final = price(0.001, seed=3, engine=pool, ledger=ledger)
final

# %% tags=["deterministic"]
for run in (first, final):
    value = f"{run.value:.5f} ± {run.half_width:.5f}"
    recalled = run.receipt["run"]["n_recalled_blocks"] > 0
    print(f"{value}, {run.n_samples:,} samples; blocks from the ledger: {recalled}")

# %%
n_recalled = final.receipt["run"]["n_recalled_blocks"]
print(f"{n_recalled} of {final.n_blocks} blocks were in the ledger")

# %% [markdown]
# ## The receipt
#
# A receipt records everything the result depends on, and how the run went. With the function, the
# seed and the options, the run can be reproduced to the last bit, on any hosts.

# %% tags=["deterministic"]
receipt = final.receipt
for name, option in receipt["options"].items():
    if name not in ("lower", "upper", "variance_reduction"):  # the long ones
        print(f"{name}: {option}")
print("stream:", receipt["stream"])
print("lost tasks:", receipt["run"]["n_lost_tasks"])

# %%
for package, version in receipt["versions"].items():
    print(package, version)
print("function:", receipt["code"])

# %%
ax = final.plot("times")

# %% [markdown]
# ## Recomputing a block
#
# The ledger also holds the function. So a block can be recomputed later, on another machine, and
# compared with the record. The function is a pickle, which can run code, so it must be trusted. On
# the command line this is `scoopsci ledger replay --trust FILE BLOCK`.

# %% tags=["deterministic"]
pool.shutdown()
recorded = describe_ledger(ledger)
replayed = replay_block(ledger, 3, trust=True)
print("a ledger of:", recorded["identity"]["workload"])
print("block 3 has the recorded bits:", replayed.equal)

# %% [markdown]
# And the whole run, without workers and without a ledger:

# %% tags=["deterministic"]
alone = price(0.001, seed=3, engine="serial")
same_bits = (alone.value, alone.half_width, alone.n_samples) == (
    final.value,
    final.half_width,
    final.n_samples,
)
print("the same bits in this process alone:", same_bits)

# %%
folder.cleanup()

# %% [markdown]
# ## What we found

# %% tags=["deterministic"]
factor = next(iter(reduced.variance_reduction.values()))
print(f"The Asian call costs {format_with_error(final.value, final.half_width)}.")
print(f"The control variate reduces the number of samples by a factor of {factor:.0f}.")
print("The interval contains the closed form, where one is known:", covered)
print("Both estimates of the Asian call agree within their errors:", agree)
print("The bits are those of a run in one process:", same_bits)
