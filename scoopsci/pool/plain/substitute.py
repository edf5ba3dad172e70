"""The worker that takes the origin's place in a SCOOP pool.

This file is the main module of a SCOOP worker, which loads it under the name SCOOP_WORKER.
"""

from __future__ import annotations

import os
from pathlib import Path

from scoopsci.pool.lifetime import prepare_worker

if __name__ == "SCOOP_WORKER":
    prepare_worker(int(os.environ["SCOOPSCI_ORIGIN"]))  # the parent may have ended by now
    # SCOOP's own futures name functions of the script, which SCOOP loads under this name, too.
    __file__ = os.environ["SCOOPSCI_SCRIPT"]
    exec(compile(Path(__file__).read_bytes(), __file__, "exec", dont_inherit=True))
    if "__all__" not in globals():
        __all__ = [name for name in globals() if not name.startswith("__")]
