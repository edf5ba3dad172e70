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
# # Map and reduce
#
# This notebook calls a function on many items, takes the results in order or as they complete,
# merges them, and groups them by key. It shows that the merged result has the same bits on every
# engine, and measures how long a call must be for the workers to be worth it. It takes less than a
# minute.
#
# ## The workers
#
# The first tasks below wait rather than compute, like I/O-bound tasks. Waiting workers can share a
# core without loss, so four are started here, regardless of the number of cores.

# %%
import math
import operator
import os
import time
from statistics import median

import matplotlib.pyplot as plt
import numpy as np

import scoopsci
from scoopsci.compare import compare_methods

hostfile = os.environ.get("SCOOPSCI_HOSTFILE")  # without one, four workers on this machine
pool = scoopsci.Pool(None if hostfile else 4, hostfile=hostfile)
pool

# %% [markdown]
# ## A list of lists
#
# List a contains the number a, a times, so its sum is a². Each task waits for 10 ms and sums one
# list. The built-in `map` processes one after another.


# %%
def sum_slowly(numbers):
    time.sleep(0.01)
    return sum(numbers)


lists = [[a] * a for a in range(150)]
start_s = time.perf_counter()
serially = list(map(sum_slowly, lists))
print(f"{len(lists)} lists, {time.perf_counter() - start_s:.2f} s")

# %% [markdown]
# `scoopsci.map` takes the same arguments, and an engine. It yields the results in the order of the
# items.

# %% tags=["deterministic"]
in_order = list(scoopsci.map(sum_slowly, lists, engine=pool))
print("the last results:", in_order[-3:])
print("equal to the built-in map:", in_order == serially)

# %% [markdown]
# `map_as_completed` yields each result as soon as it is available. Use it if the order does not
# matter and early results are useful. Below, earlier items wait longer. Items are sent in chunks,
# and the results of a chunk arrive together; here every chunk is a single item.


# %%
def wait(tenths):
    time.sleep(tenths / 10)
    return tenths


tenths = [6, 5, 4, 3, 2, 1, 0, 0]
completed = list(scoopsci.map_as_completed(wait, tenths, engine=pool, chunk_target_s=0.001))
print("submitted:", tenths)
print("completed:", completed)

# %% tags=["deterministic"]
print("nothing lost or duplicated:", sorted(completed) == sorted(tenths))

# %% [markdown]
# `map_reduce` merges results on the workers, so that little data is returned. The expected sum has
# a closed form.

# %% tags=["deterministic"]
n = len(lists)
total = scoopsci.map_reduce(sum_slowly, operator.add, lists, engine=pool)
print(f"{total:,}, expected {(n - 1) * n * (2 * n - 1) // 6:,}")

# %% [markdown]
# All three side by side, on workers already started. First check the column `equal`: a fast but
# wrong result is useless.

# %%
comparison = compare_methods(n, 0.01, engine=pool)
comparison

# %%
ax = comparison.plot()

# %% [markdown]
# ## The order of a sum
#
# Floating-point numbers are rounded at every addition, so their sum depends on the order.
# `map_reduce` merges along a tree that depends only on the indices of the items, not on the
# workers. So the bits are those of the serial run. Pairwise summation along a tree also accumulates
# less rounding error than a sum from left to right.

# %% tags=["deterministic"]
n_terms = 200_000
terms = range(1, n_terms + 1)


def invert(k):
    return 1.0 / k


by_pool = scoopsci.map_reduce(invert, operator.add, terms, engine=pool)
by_one = scoopsci.map_reduce(invert, operator.add, terms, engine="serial")
exact = math.fsum(map(invert, terms))
left_to_right = 0.0
for k in terms:
    left_to_right += invert(k)
print("pool:  ", by_pool.hex())
print("serial:", by_one.hex())
print(f"error from left to right: {abs(left_to_right - exact):.1e}")
print(f"error along the tree:     {abs(by_pool - exact):.1e}")

# %% [markdown]
# ## By key
#
# With `map_reduce_by_key` a call returns (key, value) pairs, and the values of each key are merged.
# What are the first digits of the powers of two? Benford's law says that digit d has a frequency of
# log₁₀(1 + 1/d).


# %% tags=["deterministic"]
def first_digit(k):
    return [(int(str(2**k)[0]), 1)]


n_powers = 5_000
counts = scoopsci.map_reduce_by_key(first_digit, operator.add, range(n_powers), engine=pool)
print("digit  share   Benford")
for digit in range(1, 10):
    print(f"{digit:5}  {counts[digit] / n_powers:.4f}  {math.log10(1 + 1 / digit):.4f}")

# %% [markdown]
# ## Random numbers, and scans
#
# With a seed, each call gets its own generator, which depends on the seed and the index of the
# item. `map_scan` yields the merged results up to each item. Together they make a random walk that
# is the same on any number of workers.


# %% tags=["deterministic"]
def step(rng, _):
    return rng.normal()


walk = list(scoopsci.map_scan(step, operator.add, range(2_000), seed=1, engine=pool))
alone = list(scoopsci.map_scan(step, operator.add, range(2_000), seed=1, engine="serial"))
print("the same walk:", walk == alone)
print(f"it ends at {walk[-1]:.6f}")

# %%
fig, ax = plt.subplots(figsize=(7, 2.6), layout="constrained")
ax.plot(np.arange(1, len(walk) + 1), walk, linewidth=0.8)
ax = ax.set(xlabel="step", ylabel="position")

# %% [markdown]
# ## When is it worth it?
#
# Sending a call and its result has an overhead. Below are compute-bound calls of increasing length.
# Each is timed serially and on the pool in alternation; the speed-up is the ratio of the medians.
# With few rounds this is a rough figure, but it shows the break-even point.


# %%
def compute(length):
    return sum(range(length))


def measure(n_calls, length, engine):
    start_s = time.perf_counter()
    for _ in scoopsci.map(compute, [length] * n_calls, engine=engine):
        pass
    return time.perf_counter() - start_s


lengths_s, ratios = [], []
print("length of a call, µs   calls   serial, s   pool, s   speed-up")
for n_calls, length in [(10_000, 1), (2_000, 1_000), (400, 30_000), (40, 1_000_000)]:
    rounds = [
        (measure(n_calls, length, "serial"), measure(n_calls, length, pool)) for _ in range(3)
    ]
    one_s, many_s = (median(times) for times in zip(*rounds, strict=True))
    lengths_s.append(one_s / n_calls)
    ratios.append(one_s / many_s)
    cost = 1e6 * one_s / n_calls
    print(f"{cost:20,.1f} {n_calls:7,} {one_s:11.3f} {many_s:9.3f} {ratios[-1]:10.2f}")

# %%
fig, ax = plt.subplots(figsize=(7, 2.8), layout="constrained")
ax.semilogx(np.multiply(lengths_s, 1e6), ratios, "o-")
ax.axhline(1.0, linestyle="--", color="#222222")
ax = ax.set(xlabel="length of a call, µs", ylabel="speed-up", ylim=(0, None))

# %%
pool.shutdown()

# %% [markdown]
# ## What we found

# %% tags=["deterministic"]
print("map, map_as_completed and map_reduce agree:", all(row.equal for row in comparison.rows))
print("a floating-point sum has the same bits on the pool:", by_pool == by_one)
smaller = abs(by_pool - exact) < abs(left_to_right - exact)
print("and a smaller error than a sum from left to right:", smaller)
print("a random walk has the same bits at every step:", walk == alone)

# %%
waiting = max(row.speedup for row in comparison.rows)
print(f"Waiting calls: up to {waiting:.1f} times as fast as the built-in map.")
if ratios[-1] > 1.1:
    first = next(i for i in range(len(ratios)) if min(ratios[i:]) > 1.1)
    print(f"Compute-bound calls: worth it from {1e6 * lengths_s[first]:,.0f} µs on.")
else:
    print("Compute-bound calls: not worth it even for the longest; run them serially here.")
