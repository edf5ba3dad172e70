"""The contract inside ``python -m scoop``: this file is the program, and pytest runs in it."""

from __future__ import annotations

import sys

from scoopsci.testing.engines import WorkersContract


class TestScoop(WorkersContract):
    name = "scoop"


if __name__ == "__main__":
    from pathlib import Path

    import pytest

    report, *arguments = sys.argv[1:]
    status = pytest.main([__file__, "-o", "python_files=scoop_contract.py", *arguments])
    Path(report).write_text(str(int(status)))
