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
# # The same run on every engine
#
# An engine sends tasks to workers. This notebook runs the same work on every engine available here,
# and on standard-library executors. It checks that all give the same bits, and measures the cost of
# each: for start-up, a round trip, and a call. It takes less than a minute.
#
# ## Which engines are available?
#
# Engines are found by entry points, so other packages can add some. An engine that cannot be opened
# here says what is missing.

# %%
import multiprocessing
import operator
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from importlib.metadata import entry_points
from pathlib import Path
from statistics import median

import numpy as np

import scoopsci
from scoopsci.compare import compare
from scoopsci.report import plot_times

hostfile = os.environ.get("SCOOPSCI_HOSTFILE")  # without one, two workers on this machine
resources = ExitStack()


def open_engine(name):
    if name == "pool":
        return scoopsci.Pool(None if hostfile else 2, hostfile=hostfile)
    return scoopsci.open_engine(name, n_workers=None if name == "serial" else 2)


engines, start_up_s = {}, {}
names = {entry.name for entry in entry_points(group="scoopsci.engines")}
for name in sorted(names, key=lambda name: (name != "serial", name)):
    start_s = time.perf_counter()
    try:
        engine = resources.enter_context(open_engine(name))
        engine.submit(int).result()  # some start their workers with the first task
    except scoopsci.EngineError as error:
        print(f"{name}: not available. {error}")
    else:
        engines[name], start_up_s[name] = engine, time.perf_counter() - start_s
        print(f"{name}: {engine!r}")

# %% tags=["deterministic"]
own = {"serial", "processes", "pool", "scoop"}
print("all of scoopsci's own are found:", own <= names)
print("without a launcher:", ", ".join(sorted(own & set(engines))))

# %% [markdown]
# Any `concurrent.futures.Executor` is also an engine. Shutting it down remains your responsibility.
# Threads share one interpreter lock and thus one core, except in NumPy and the like. Here they show
# the cost of a round trip without another process.

# %%
spawn = multiprocessing.get_context("spawn")
foreign = {
    "ThreadPoolExecutor": ThreadPoolExecutor(2),
    "ProcessPoolExecutor": ProcessPoolExecutor(2, mp_context=spawn),
}
for name, executor in foreign.items():
    start_s = time.perf_counter()
    resources.enter_context(executor)
    engines[name] = resources.enter_context(scoopsci.open_engine(executor))
    engines[name].submit(int).result()
    start_up_s[name] = time.perf_counter() - start_s
    print(engines[name])

# %% [markdown]
# ## The same bits
#
# Three computations: points counted in integer arithmetic, an integral in several dimensions, and a
# sum with rounding. Each engine runs them in turn. Numbers are compared in hexadecimal, to the last
# bit.


# %%
def volume(x):
    return (x**2).sum(axis=1) <= 1.0


def invert(k):
    return 1.0 / (1 + k)


def run(engine):
    pi = scoopsci.pi(40_000_000, seed=1, engine=engine)
    ball = scoopsci.integrate(volume, -1, 1, 200_000, dim=5, seed=1, engine=engine)
    total = scoopsci.map_reduce(invert, operator.add, range(20_000), engine=engine)
    return pi, ball, total


def as_bits(pi, ball, total):
    return pi.n_inside, ball.value.hex(), ball.standard_error.hex(), total.hex()


results = {name: run(engine) for name, engine in engines.items()}
bits = {name: as_bits(*result) for name, result in results.items()}
for name, all_bits in bits.items():
    print(f"{name:20}", *all_bits)

# %% tags=["deterministic"]
pi, ball, total = results["serial"]
print(f"π:      {pi}")
print(f"volume: {ball}; expected {8 * np.pi**2 / 15:.4f}")
print(f"sum:    {total:.10f}")
print("the same bits on every engine:", len(set(bits.values())) == 1)

# %% [markdown]
# ## Changing the engine in mid-run
#
# Since blocks are the same everywhere, a run can change its engine. Here one starts on processes
# and records its finished blocks in a ledger. A longer one continues from there on the pool.

# %% tags=["deterministic"]
with tempfile.TemporaryDirectory() as folder:
    ledger = Path(folder, "volume.ledger")
    options = {"dim": 5, "seed": 1, "ledger": ledger}
    begun = scoopsci.integrate(volume, -1, 1, 102_400, engine=engines["processes"], **options)
    ended = scoopsci.integrate(volume, -1, 1, 200_000, engine=engines["pool"], **options)
n_recalled = ended.receipt["run"]["n_recalled_blocks"]
print(f"{begun.engine}: {n_recalled} blocks; {ended.engine}: {ended.n_blocks - n_recalled} more")
resumed = (ended.value, ended.standard_error) == (ball.value, ball.standard_error)
print("the same bits as without a change:", resumed)

# %% [markdown]
# ## What does each engine cost?
#
# *Start-up* is the time from opening an engine to the first result. A *round trip* is one empty
# task and its result, the median of 50. *Per call* is the time per call of 5,000 empty calls by
# `scoopsci.map`, which are sent in chunks: the median of 3 maps. All are rough figures, measured on
# a machine that also runs other programs.


# %%
def round_trip(engine):
    times = []
    for _ in range(50):
        start_s = time.perf_counter()
        engine.submit(int).result()
        times.append(time.perf_counter() - start_s)
    return median(times)


def cost_of_a_call(engine, n_calls=5_000):
    times = []
    for _ in range(3):
        start_s = time.perf_counter()
        for _ in scoopsci.map(abs, range(n_calls), engine=engine):
            pass
        times.append(time.perf_counter() - start_s)
    return median(times) / n_calls


trips, calls = {}, {}
print("engine                workers  start-up, s  round trip, ms  per call, µs")
for name, engine in engines.items():
    trips[name], calls[name] = round_trip(engine), cost_of_a_call(engine)
    print(
        f"{name:20} {engine.n_workers:8} {start_up_s[name]:12.2f} {1e3 * trips[name]:15.3f} "
        f"{1e6 * calls[name]:13.2f}"
    )

# %% [markdown]
# Every result has a receipt, which also records where the time went. These are the runs of π above.
# When a worker counts points for the first time, loading the required code is part of the computing
# time. Threads are left out: a receipt distinguishes processes, not threads.

# %%
times = {name: pi.receipt["run"]["times"] for name, (pi, *_) in results.items()}
del times["ThreadPoolExecutor"]
ax = plot_times(times)

# %%
resources.close()

# %% [markdown]
# ## Whole programs, SCOOP among them
#
# The workers of SCOOP are started before the program, by `python -m scoop` or `scoopsci run`. So
# that engine cannot be opened in a notebook. `compare` runs whole programs, each on one engine,
# from start to exit, so start-up is included. It also runs bare processes, which share the work
# without communicating: they set the limit. Then it gives advice. The work is as many points as
# this process counts in about half a second. Two rounds are enough to compare the bits, but too few
# to compare the times: take nine for that.

# %%
n_tried = 100_000_000
tried_s = min(scoopsci.pi(n_tried, seed=1, engine="serial").elapsed_s for _ in range(2))
n_points = round(0.5 * n_tried / tried_s)
comparison = compare(
    "pi", ["pool", "scoop"], n_workers=2, n_rounds=2, n_points=n_points, seed=1, progress=True
)
comparison

# %%
ax = comparison.plot()

# %%
ax = comparison.plot("times")

# %% tags=["deterministic"]
print("engines:", ", ".join(row.engine for row in comparison.rows))
print("the same bits in every program:", all(row.equal for row in comparison.rows))

# %% [markdown]
# ## What we found

# %% tags=["deterministic"]
same_bits = len(set(bits.values())) == 1 and all(row.equal for row in comparison.rows)
print("the engine does not change a result:", same_bits)
print("nor does changing the engine in mid-run:", resumed)

# %%
others = [name for name in engines if name not in ("serial", "ThreadPoolExecutor")]
print("fastest start-up:", min(others, key=start_up_s.__getitem__))
print("shortest round trip:", min(others, key=trips.__getitem__))
print("for this run of π, as a whole program:", comparison.advice)
