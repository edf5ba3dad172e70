"""A run by half-width with a ledger, to be killed again and again; each block leaves a mark."""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import scoopsci

SEED, BLOCK_SIZE = 9, 20
MOST = "most"
PAUSE_S = 0.004


def mark_and_draw(marks: str, most: str, rng: np.random.Generator, size: int) -> Any:
    """Record the first number of the block's stream on disk, and draw.

    Once there are as many marks as a file says, if it is there, it waits to be killed.
    """
    samples = rng.standard_normal(size)
    Path(marks, f"{samples[0].hex()}_{secrets.token_hex(8)}").touch()
    time.sleep(PAUSE_S)
    while os.path.exists(most) and len(os.listdir(marks)) >= int(Path(most).read_text()):
        time.sleep(PAUSE_S)
    return samples


def find_mean(marks: Path, half_width: float, **run: Any) -> scoopsci.Estimate:
    def fn(rng: np.random.Generator, size: int) -> Any:
        return mark_and_draw(str(marks), str(marks.with_name(MOST)), rng, size)

    options = {"seed": SEED, "block_size": BLOCK_SIZE, "chunk_target_s": 0.02, **run}
    return scoopsci.estimate(fn, half_width=half_width, **options)


def main(engine: str, folder: Path, half_width: float) -> None:
    workers = 2 if engine in ("processes", "pool") else None
    found = find_mean(
        folder / "marks", half_width, engine=engine, n_workers=workers, ledger=folder / "ledger"
    )
    told = {
        "bits": [found.n_samples, found.value.hex(), found.half_width.hex()],
        "engine": found.engine,
        "n_recalled_blocks": found.receipt["run"]["n_recalled_blocks"],
    }
    scratch = folder / f"report-{os.getpid()}"
    scratch.write_text(json.dumps(told))
    scratch.replace(folder / "report")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]))
