"""Tests for third-party engines, and leak checks; pytest is imported nowhere else in scoopsci.

`engines` has the contract that every engine keeps, as classes of tests to subclass; `leaks` the
checks for threads, descriptors and child processes that are left behind. `contract` holds the tests
by what they are about, `opening` the engine under test and its attributes, `tasks` and
`surroundings` the functions that run on workers, `bits` calls whose exact results must agree,
`users` modules of the user's own. `simulation` plays the protocol of the pool from seeds.
"""

import pkgutil
import sys

__all__: list[str] = []

# Some of it runs on workers, too, which need no pytest: it is not imported for them.
if sys.modules.get("pytest") is not None:
    sys.modules["pytest"].register_assert_rewrite(
        *(module.name for module in pkgutil.iter_modules(__path__, f"{__name__}."))
    )
