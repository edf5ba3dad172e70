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
# # Mergesort, distributed and beyond memory
#
# This notebook sorts a list and an array on several workers, shows where the time goes, and whether
# it was worth it. Then it sorts a file that is larger than the memory used. It takes less than a
# minute.
#
# ## The workers

# %%
import os
import tempfile
import threading
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import psutil

import scoopsci
from scoopsci.compare import measure_sort
from scoopsci.mergesort import sort_and_describe

hostfile = os.environ.get("SCOOPSCI_HOSTFILE")  # without one, two workers on this machine
pool = scoopsci.Pool(None if hostfile else 2, hostfile=hostfile)
pool

# %% [markdown]
# ## A list, serially and distributed
#
# A mergesort splits its items, sorts the parts, and merges them. `merge_sort` uses regular
# sampling: each worker sorts a slice. Samples of the sorted slices yield splitters. Each worker
# then merges the items between two splitters. Equal items keep their order, so the result is
# unique, and does not depend on the number of workers.

# %% tags=["deterministic"]
values = np.random.default_rng(1).integers(0, 1_000_000, 300_000).tolist()
expected = sorted(values)
serial = scoopsci.merge_sort(values, engine="serial")
distributed = scoopsci.merge_sort(values, engine=pool)
print("first and last:", distributed[:3], distributed[-3:])
print("serial equals sorted:     ", serial == expected)
same_list = distributed == expected
print("distributed equals sorted:", same_list)

# %% [markdown]
# `sort_and_describe` also reports where the time went, and how evenly the splitters distributed the
# items. Within one machine, numbers are in shared memory. The driver converts the list to an array
# and back, while the workers wait.

# %%
found = sort_and_describe(values, engine=pool)
found

# %%
ax = found.plot()

# %% [markdown]
# The workers call a key function once per item. The key below is the last digit, so that many items
# are equal and must keep their order.


# %% tags=["deterministic"]
def last_digit(value):
    return value % 10


by_digit = scoopsci.merge_sort(values[:50_000], key=last_digit, reverse=True, engine=pool)
expected_by_digit = sorted(values[:50_000], key=last_digit, reverse=True)
print("equal to sorted, with equal keys in order:", by_digit == expected_by_digit)

# %% [markdown]
# ## Is it worth it?
#
# `measure_sort` sorts random integers with Python's `sorted`, and with `merge_sort` on one core and
# on the pool, in three rounds, and gives advice. Sorting does little work per item moved. So "do
# not distribute" is common, and often correct, advice.

# %%
comparison = measure_sort(300_000, seed=1, engine=pool)
comparison

# %% tags=["deterministic"]
print("in order:", comparison.sorted, "and the same items:", comparison.same_multiset)

# %% [markdown]
# A sorted array has the bits of a stable `numpy.sort`. One core sorts it much faster than Python
# sorts a list. Whether workers are faster still must be measured.

# %%
array = np.random.default_rng(2).random(2_000_000)
start_s = time.perf_counter()
by_numpy = np.sort(array, kind="stable")
numpy_s = time.perf_counter() - start_s
by_pool = sort_and_describe(array, engine=pool)
print(f"numpy.sort {numpy_s:.2f} s, pool {by_pool.elapsed_s:.2f} s")

# %% tags=["deterministic"]
same_array = by_pool.values.tobytes() == by_numpy.tobytes()
print("the same bits as numpy.sort:", same_array)

# %%
pool.shutdown()
del array, by_numpy, by_pool, values, expected, serial, distributed

# %% [markdown]
# ## Beyond memory
#
# `merge_sort` keeps all its items in memory. A file that is too large for that is sorted in the
# same three steps, with `scoopsci.map` and NumPy:
#
# 1. Draw a sample of the file, and choose splitters from it.
# 2. Each worker reads a chunk, sorts it, writes it as a sorted run, and returns the positions of
#    the splitters in it.
# 3. Each worker takes a partition, the items between two splitters: it reads its part of every run,
#    merges them, and writes the result to its position in the output.
#
# A worker holds one chunk or one partition at a time, and the driver only the splitters and
# positions. The pool runs on this machine, where the files are.

# %%
folder = tempfile.TemporaryDirectory()
unsorted, output = Path(folder.name, "unsorted"), Path(folder.name, "sorted")
n_items, n_chunks = 24_000_000, 48
n_in_chunk = n_items // n_chunks
rng = np.random.default_rng(3)
with unsorted.open("wb") as file:
    for _ in range(n_chunks):
        rng.integers(-(2**62), 2**62, n_in_chunk).tofile(file)
print(f"{unsorted.stat().st_size / 1e6:.0f} MB in {n_chunks} chunks")

# %% [markdown]
# The steps as functions for the workers:


# %%
def sort_chunk(i):
    chunk = np.fromfile(unsorted, np.int64, n_in_chunk, offset=8 * i * n_in_chunk)
    chunk.sort()
    chunk.tofile(Path(folder_name, f"run-{i}"))
    return np.concatenate([[0], np.searchsorted(chunk, splitters), [n_in_chunk]])


def merge_partition(place, cuts):
    parts = [
        np.fromfile(Path(folder_name, f"run-{i}"), np.int64, stop - start, offset=8 * start)
        for i, (start, stop) in enumerate(cuts)
    ]
    partition = np.concatenate(parts)
    del parts
    partition.sort(kind="stable")  # on sorted runs, this is a merge
    with output.open("r+b") as file:
        file.seek(8 * place)
        partition.tofile(file)
    return len(partition)


# %% [markdown]
# During the sort, a thread monitors the memory of this kernel and of all workers: the proportional
# set size (PSS), which divides shared pages among the processes that use them. The peak, minus the
# memory of the same processes when idle, is the memory used by the sort.


# %%
class MemoryWatch(threading.Thread):
    def __init__(self):
        super().__init__(daemon=True)
        self.ended = threading.Event()
        self.idle_bytes, self.seen = self.measure(), []

    def measure(self):
        total = 0
        kernel = psutil.Process()
        for process in [kernel, *kernel.children(recursive=True)]:
            try:
                total += process.memory_full_info().pss
            except psutil.Error:
                continue
        return total

    def run(self):
        start_s = time.perf_counter()
        while not self.ended.wait(0.02):
            self.seen.append((time.perf_counter() - start_s, self.measure() - self.idle_bytes))

    @property
    def peak_bytes(self):
        return max(n_bytes for _, n_bytes in self.seen)


# %%
folder_name = folder.name
sample = np.memmap(unsorted, np.int64, mode="r")[:: n_items // 20_000]
splitters = np.sort(sample)[len(sample) // n_chunks :: len(sample) // n_chunks].copy()
del sample
output.touch()

with scoopsci.Pool(2) as local:
    watch = MemoryWatch()
    watch.start()
    start_s = time.perf_counter()
    places = np.array(list(scoopsci.map(sort_chunk, range(n_chunks), engine=local)))
    split_s = time.perf_counter() - start_s
    starts = places[:, :-1].sum(axis=0)
    cuts = [places[:, k : k + 2] for k in range(len(starts))]
    sizes = list(scoopsci.map(merge_partition, starts, cuts, engine=local))
    sort_s = time.perf_counter() - start_s
    watch.ended.set()
    watch.join()
print(f"sorted runs after {split_s:.1f} s, all after {sort_s:.1f} s")
print(f"peak memory: {watch.peak_bytes / 1e6:.0f} MB; file: {unsorted.stat().st_size / 1e6:.0f} MB")

# %%
fig, ax = plt.subplots(figsize=(7, 2.8), layout="constrained")
ax.plot(*np.transpose([(s, n_bytes / 1e6) for s, n_bytes in watch.seen]), label="memory used")
ax.axhline(unsorted.stat().st_size / 1e6, linestyle="--", color="#D55E00", label="file size")
ax.axvline(split_s, linestyle=":", color="#222222", label="all runs sorted")
ax.set(xlabel="seconds", ylabel="MB", ylim=(0, None))
legend = ax.legend(frameon=False)

# %% [markdown]
# Is it sorted, with nothing lost? The check also reads the files chunk by chunk. Two checksums
# modulo 2⁶⁴ identify the multiset of items: the plain sum, and the sum of the items after hashing
# by multiplications and shifts.


# %% tags=["deterministic"]
def fingerprint(path):
    plain = mixed = np.uint64(0)
    in_order, last = True, -(2**63)
    for i in range(n_chunks):
        chunk = np.fromfile(path, np.int64, n_in_chunk, offset=8 * i * n_in_chunk)
        in_order = in_order and last <= chunk[0] and bool((chunk[1:] >= chunk[:-1]).all())
        last = chunk[-1]
        x = chunk.view(np.uint64)
        with np.errstate(over="ignore"):
            plain += x.sum()
            x ^= x >> np.uint64(33)
            x *= np.uint64(0xFF51AFD7ED558CCD)
            x ^= x >> np.uint64(33)
            mixed += x.sum()
    return in_order, int(plain), int(mixed)


before, after = fingerprint(unsorted), fingerprint(output)
print("before, in order:", before[0], f"sums {before[1]:x} {before[2]:x}")
print("after, in order: ", after[0], f"sums {after[1]:x} {after[2]:x}")

# %% tags=["deterministic"]
file_bytes = unsorted.stat().st_size
print(f"{sum(sizes):,} items in {len(sizes)} partitions")
print(f"the largest has {max(sizes) / np.mean(sizes):.2f} times the mean")
print("peak memory below half of the file size:", watch.peak_bytes < file_bytes / 2)

# %%
folder.cleanup()

# %% [markdown]
# ## What we found

# %% tags=["deterministic"]
print("a list on the pool equals sorted:", same_list)
print("an array on the pool has the bits of numpy.sort:", same_array)
print("a file beyond memory is in order, with the same items:", after == (True, *before[1:]))

# %%
print("In memory:", comparison.advice)
share = watch.peak_bytes / file_bytes
print(f"Beyond memory: the sort used memory equal to {share:.0%} of the file size.")
