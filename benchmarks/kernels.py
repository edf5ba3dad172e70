"""Points in the quarter circle: the kernels compared with C and NumPy, and two SCOOP workers.

On one core, numba is interleaved with `circle.c`, which counts the same points, and with
implementations in NumPy and plain Python. Two SCOOP workers are interleaved with two bare
processes, each with half of the same points; run as a script, this file is such a process.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from random import random
from typing import Any

import numpy as np

from benchmarks.form import REPOSITORY, as_cell, as_fields, count_rounds, make_table, run_json
from scoopsci.estimation.kernels import compile_counter, count_inside_numpy, derive_key
from scoopsci.harness.rounds import Figure, interleave, paired_ratio
from scoopsci.montecarlo import PI_BLOCK_SIZE

NUMBA, C = "numba", "C, `gcc -O3 -march=native`"
NUMPY, BATCHES = "the same in NumPy", "NumPy in batches, PCG64DXSM"
LOOP = "a loop in plain Python"
SCOOP, BARE = "scoop, 2 workers", "two bare processes"

#: The claims: bounds on ratios of times, which the whole interval must satisfy.
CLAIMS = (
    (NUMBA, C, "at most", 1.15),
    (LOOP, NUMBA, "at least", 400.0),
    (BATCHES, NUMBA, "at least", 10.0),
    (NUMPY, BATCHES, "at most", 1.5),
    (BARE, SCOOP, "at least", 0.95),
)

SEED = 7
SOURCE = REPOSITORY / "benchmarks" / "circle.c"

#: Variants of the loop in C, of which the fastest is measured: 16 where this was written.
LANES_IN_REGISTERS = (16, 32, 64)

#: Points per round, so that each implementation takes 0.4 to 0.9 s.
N_POINTS = {NUMBA: 1 << 31, C: 1 << 31, NUMPY: 1 << 27, BATCHES: 1 << 27, LOOP: 1 << 21}
N_ROUNDS = 21

#: Number of pairs of uniforms that fit into the cache.
BATCH_SIZE = 8192

#: Duration of a round of two workers, long compared with the start-up of SCOOP.
SCOOP_ROUND_S = 27.0

#: Counts the points inside among the first n of an implementation.
Count = Callable[[int], int]
CountBlock = Callable[[tuple[int, int], int, int], int]


def measure(*, quick: bool) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="scoopsci-benchmark-") as folder:
        programs = {lanes: compile_c(Path(folder), lanes) for lanes in LANES_IN_REGISTERS}
        check_counts(*programs.values())
        n_tried = N_POINTS[C] // (256 if quick else 8)
        tried = {lanes: try_c(program, n_tried) for lanes, program in programs.items()}
        lanes = min(tried, key=tried.__getitem__)
        sizes = {way: n_points // (16 if quick else 1) for way, n_points in N_POINTS.items()}
        ways = {way: partial(time_way, way, n_points) for way, n_points in sizes.items()}
        ways[C] = partial(run_c, programs[lanes], sizes[C])
        rounds = interleave(ways, count_rounds(quick=quick, wanted=N_ROUNDS))
    ns = pick(rounds, "ns_per_point")
    n_blocks = 100 if quick else fill_round(min(taken[NUMBA] for taken in ns))
    pairs = {SCOOP: partial(run_scoop, n_blocks), BARE: partial(run_bare, n_blocks)}
    scoop_rounds = interleave(pairs, count_rounds(quick=quick))
    assert_equal(rounds, NUMBA, C)
    assert_equal(scoop_rounds, SCOOP, BARE)

    elapsed_s = pick(scoop_rounds, "elapsed_s")
    rows = [
        {
            "way": way,
            "n_points": n_points,
            "ns_per_point": Figure.of([taken[way] for taken in ns]).median,
            **as_fields("this_to_numba", paired_ratio(ns, way, NUMBA)),
        }
        for way, n_points in sizes.items()
    ]
    scoop = {
        "n_points": n_blocks * PI_BLOCK_SIZE,
        "elapsed_s": Figure.of([taken[SCOOP] for taken in elapsed_s]).median,
        **as_fields("share_of_limit", paired_ratio(elapsed_s, BARE, SCOOP)),
    }
    return {
        "c": {"lanes_in_registers": lanes, "ns_per_point_of_lanes": tried},
        "rows": rows,
        "scoop": scoop,
        "claims": [judge(elapsed_s if claim[0] == BARE else ns, *claim) for claim in CLAIMS],
        "rounds": rounds,
        "scoop_rounds": scoop_rounds,
    }


def fill_round(ns_per_point: float) -> int:
    """Return the number of blocks that two workers count in a round, an even number."""
    return 2 * round(SCOOP_ROUND_S / (ns_per_point * 1e-9 * PI_BLOCK_SIZE))


def assert_equal(rounds: Sequence[Mapping[str, Any]], one: str, other: str) -> None:
    for taken in rounds:
        assert taken[one]["n_inside"] == taken[other]["n_inside"], taken


def pick(rounds: Sequence[Mapping[str, Any]], name: str) -> list[dict[str, float]]:
    return [{way: found[name] for way, found in taken.items()} for taken in rounds]


def judge(
    rounds: Sequence[Mapping[str, float]], upper: str, lower: str, side: str, bound: float
) -> dict[str, Any]:
    ratio = paired_ratio(rounds, upper, lower)
    return {
        "claim": f"{upper} to {lower}: {side} {bound:g}",
        **as_fields("ratio", ratio),
        "holds": ratio.high <= bound if side == "at most" else ratio.low >= bound,
    }


def compile_c(folder: Path, lanes: int) -> Path:
    if shutil.which("gcc") is None:
        raise RuntimeError("the benchmark 'kernels' compiles C with gcc, which is not installed")
    program = folder / f"circle-{lanes}"
    options = ("-O3", "-march=native", f"-DLANES_IN_REGISTERS={lanes}")
    subprocess.run(["gcc", *options, SOURCE, "-o", program], check=True)
    return program


def check_counts(*programs: Path) -> None:
    """Check that all variants of the kernel give exactly the same count."""
    n_points = 3 * PI_BLOCK_SIZE
    expected = count_numpy(n_points)
    found = [count_numba(n_points), *(run_c(each, n_points)["n_inside"] for each in programs)]
    assert found == [expected] * len(found), (expected, found)


def try_c(program: Path, n_points: int) -> float:
    return min(float(run_c(program, n_points)["ns_per_point"]) for _ in range(3))


def run_c(program: Path, n_points: int, first: int = 0) -> dict[str, Any]:
    arguments = (*derive_key(SEED), first, n_points // PI_BLOCK_SIZE)
    command = [str(program), *map(str, arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    n_inside, taken_ns = map(int, done.stdout.split())
    return {"n_inside": n_inside, "ns_per_point": taken_ns / n_points}


def time_way(way: str, n_points: int) -> dict[str, Any]:
    start_ns = time.perf_counter_ns()
    n_inside = COUNTS[way](n_points)
    taken_ns = time.perf_counter_ns() - start_ns
    assert math.isclose(4 * n_inside / n_points, math.pi, rel_tol=0.01), n_inside
    return {"n_inside": n_inside, "ns_per_point": taken_ns / n_points}


def count_numba(n_points: int, first: int = 0) -> int:
    compiled = compile_counter()
    if compiled is None:
        raise RuntimeError("the benchmark 'kernels' needs numba: pip install 'scoopsci[fast]'")
    return count_blocks(compiled, n_points, first)


def count_numpy(n_points: int, first: int = 0) -> int:
    return count_blocks(count_inside_numpy, n_points, first)


def count_blocks(count: CountBlock, n_points: int, first: int) -> int:
    key = derive_key(SEED)
    blocks = range(first, first + n_points // PI_BLOCK_SIZE)
    return sum(count(key, block, PI_BLOCK_SIZE) for block in blocks)


def count_in_batches(n_points: int) -> int:
    rng = np.random.Generator(np.random.PCG64DXSM(SEED))
    xy = np.empty((2, BATCH_SIZE))
    x, y = xy
    n_inside = 0
    for _ in range(n_points // BATCH_SIZE):
        rng.random(out=xy)
        np.square(xy, out=xy)
        np.add(x, y, out=x)
        n_inside += int(np.count_nonzero(x <= 1.0))
    return n_inside


def count_in_loop(n_points: int) -> int:
    n_inside = 0
    for _ in range(n_points):
        x = random()
        y = random()
        if math.sqrt(x * x + y * y) < 1:
            n_inside = n_inside + 1
    return n_inside


COUNTS: dict[str, Count] = {
    NUMBA: count_numba,
    NUMPY: count_numpy,
    BATCHES: count_in_batches,
    LOOP: count_in_loop,
}


def run_scoop(n_blocks: int) -> dict[str, Any]:
    script = REPOSITORY / "scoopsci" / "montecarlo.py"
    options = ("--points", str(n_blocks * PI_BLOCK_SIZE), "--seed", str(SEED), "--quiet")
    return time_processes(("-m", "scoop", "-q", "-n", "2", script, *options))


def run_bare(n_blocks: int) -> dict[str, Any]:
    half = n_blocks // 2
    return time_processes(*((__file__, str(first), str(half)) for first in (0, half)))


def time_processes(*commands: Sequence[str | Path]) -> dict[str, Any]:
    start_s = time.perf_counter()
    found = run_json(*commands)
    elapsed_s = time.perf_counter() - start_s
    return {
        "n_inside": sum(each["result"]["n_inside"] for each in found),
        "elapsed_s": elapsed_s,
    }


def as_table(results: Mapping[str, Any]) -> str:
    rows = [
        [row["way"], f"{row['ns_per_point']:.2f}", as_cell(row, "this_to_numba")]
        for row in results["rows"]
    ]
    header = [
        "implementation, on one core",
        "nanoseconds per point",
        "time relative to numba (95 % interval)",
    ]
    scoop = results["scoop"]
    return (
        make_table(header, rows)
        + f"\nFor {scoop['n_points']:,} points, `python -m scoop -n 2` takes "
        + f"{scoop['elapsed_s']:.1f} s in total, and reaches\n"
        + f"{as_cell(scoop, 'share_of_limit')} of the limit.\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=int)
    parser.add_argument("n_blocks", type=int)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    n_inside = count_numba(options.n_blocks * PI_BLOCK_SIZE, options.first)
    options.output.write_text(json.dumps({"result": {"n_inside": n_inside}}), "utf-8")


if __name__ == "__main__":
    main()
