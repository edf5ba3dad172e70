"""The worker that takes the origin's place in a SCOOP pool.

This file is the main module of a SCOOP worker, which loads it under the name SCOOP_WORKER.
"""

from __future__ import annotations

import os
import runpy

from scoopsci.pool.lifetime import prepare_worker

if __name__ == "SCOOP_WORKER":
    prepare_worker(int(os.environ["SCOOPSCI_ORIGIN"]))  # the parent may have ended by now
    # SCOOP's own futures name functions of the script, which SCOOP loads under this name, too.
    script = runpy.run_path(os.environ["SCOOPSCI_SCRIPT"], run_name="SCOOP_WORKER")
    __all__ = script.get("__all__") or [name for name in script if not name.startswith("__")]
    globals().update({name: script[name] for name in __all__})
