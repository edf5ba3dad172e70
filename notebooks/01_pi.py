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
# # π from random points
#
# This notebook runs one computation in this process and on several workers, with the same bits. It
# shows how the error bar shrinks, checks the coverage of the interval, and measures the speed-up of
# the workers. It takes less than a minute.
#
# Draw a point in the unit square. It lies in the quarter circle with probability π/4. So four
# times the fraction of points inside is an estimate of π, and its error decreases with the square
# root of the number of points. This is a poor method to compute π, but a good test of a Monte Carlo
# library: the answer is known, and so is the error.
#
# ## The workers
#
# A pool starts workers on this machine or, with a hostfile, on all hosts that it names. The
# driver, which is this kernel, sends tasks to them and combines the results.

# %%
import os
import time
from statistics import median

import numpy as np

import scoopsci
from scoopsci.report import plot_scaling

hostfile = os.environ.get("SCOOPSCI_HOSTFILE")  # without one, two workers on this machine
pool = scoopsci.Pool(None if hostfile else 2, hostfile=hostfile)
pool

# %% [markdown]
# ## Serial
#
# The engine `serial` is this process. The seed fixes the points.

# %%
n_points = 400_000_000
serial = scoopsci.pi(n_points, seed=1, engine="serial")
serial

# %% tags=["deterministic"]
print(serial)
print(f"{serial.n_inside:,} of {serial.n_samples:,} points are inside")

# %% [markdown]
# ## Distributed
#
# One argument changes the engine. The points are drawn in blocks, and each block has its own random
# stream. It does not matter which worker draws a block, or when. So the result must be identical,
# not merely similar.

# %%
distributed = scoopsci.pi(n_points, seed=1, engine=pool)
distributed

# %% tags=["deterministic"]
same_bits = (distributed.value, *distributed.interval) == (serial.value, *serial.interval)
print("points inside:", f"{distributed.n_inside:,}")
print("the same bits:", same_bits)

# %% [markdown]
# ## The error bar shrinks
#
# Instead of a number of points, give the half-width of the interval that you want. The run draws
# as many points as necessary. The stopping point depends only on the points, so their number is
# also the same on every engine.

# %%
found = scoopsci.pi(half_width=1e-4, seed=1, engine=pool, progress=True)
found

# %%
ax = found.plot(truth=np.pi)

# %% [markdown]
# The half-width times the square root of the number of points is nearly constant. So one more digit
# takes a hundred times as many points.

# %% tags=["deterministic"]
print("       points   estimate  half-width  half-width·√points")
rows = zip(*(found.convergence[k] for k in ("n_samples", "value", "half_width")), strict=True)
for n, value, half_width in rows:
    scaled = half_width * np.sqrt(n)
    print(f"{n:13,}  {value:9.6f}  {half_width:10.6f}  {scaled:18.4f}")

# %% [markdown]
# When was each worker busy in that run? Each line is a worker, and each bar an interval in which it
# was computing.

# %%
ax = found.plot("workers")
n_lines = len(ax.get_yticks())
ax = ax.set_yticks(range(n_lines), [f"worker {i + 1}" for i in range(n_lines)])

# %% [markdown]
# ## Is the coverage correct?
#
# A 95 % interval should contain π in about 95 of 100 runs. Here are 400 runs with different seeds,
# each a task on a worker. Inside a task, a scoopsci call runs serially, with the same bits.


# %% tags=["deterministic"]
def covers_pi(seed):
    low, high = scoopsci.pi(100_000, seed=seed).interval
    return low <= np.pi <= high


n_runs = 400
n_covering = sum(scoopsci.map(covers_pi, range(n_runs), engine=pool))
expected = 0.95 * n_runs
deviation = np.sqrt(0.95 * 0.05 * n_runs)
print(f"{n_covering} of {n_runs} intervals contain π")
print(f"expected: {expected:.0f} ± {2 * deviation:.0f}")

# %% [markdown]
# ## Speed-up
#
# Time the same run on both engines in alternation, so that slow phases of the machine affect both.
# It has as many points as this process counts in about half a second. The speed-up is the ratio of
# the medians. It is a rough figure: there are few rounds, other programs run, and what looks like
# two cores may be one.


# %%
def measure(engine, n_points):
    start_s = time.perf_counter()
    scoopsci.pi(n_points, seed=1, engine=engine)
    return time.perf_counter() - start_s


n_timed = round(0.5 * n_points / measure("serial", n_points))
rounds = [(measure("serial", n_timed), measure(pool, n_timed)) for _ in range(5)]
serial_s, pool_s = (median(times) for times in zip(*rounds, strict=True))
speedup = serial_s / pool_s
ratios = sorted(one / other for one, other in rounds)
print(f"serial {serial_s:.2f} s, {pool.n_workers} workers {pool_s:.2f} s")
print(f"speed-up {speedup:.2f}, in single rounds {ratios[0]:.2f} to {ratios[-1]:.2f}")

# %%
ax = plot_scaling(
    [1, pool.n_workers],
    [1.0, speedup],
    [(1.0, 1.0), (min(*ratios, speedup), max(*ratios, speedup))],
)

# %%
pool.shutdown()

# %% [markdown]
# ## What we found

# %% tags=["deterministic"]
low, high = found.interval
print("serial and distributed give the same bits:", same_bits)
print(f"π to a half-width of 1e-4: {found}")
print("the interval contains π:", bool(low <= np.pi <= high))
print("the coverage is as stated:", abs(n_covering - expected) <= 3 * deviation)

# %%
if ratios[0] > 1.0:
    print(f"The workers were faster in every round: {speedup:.2f} times in the median.")
else:
    print(f"The workers were not faster in every round: {speedup:.2f} times in the median.")
