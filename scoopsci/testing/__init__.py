"""Tests for engines of third parties: the contract that every engine keeps, and checks of leaks.

`engines.WorkersContract` and `engines.EngineContract` are classes of tests for pytest, which a
subclass turns on an engine; `leaks.no_leaks` fails any test that leaves something behind. Nothing
else in scoopsci imports pytest, or this room.
"""

import pkgutil
import sys

__all__: list[str] = []

# The functions that the contract runs on workers lie here, too, and hosts need no pytest: it is
# asked to explain failed assertions only where it runs.
if "pytest" in sys.modules:
    sys.modules["pytest"].register_assert_rewrite(
        *(module.name for module in pkgutil.iter_modules(__path__, f"{__name__}."))
    )
