"""The contract of every engine, as classes of tests for pytest.

Subclass one for your engine::

    from scoopsci.testing.engines import WorkersContract

    class TestMyEngine(WorkersContract):
        name = "my-engine"
"""

from __future__ import annotations

import cloudpickle

from scoopsci.testing import contract
from scoopsci.testing.contract.deaths import DeathsContract
from scoopsci.testing.contract.failures import FailuresContract
from scoopsci.testing.contract.futures import FuturesContract
from scoopsci.testing.contract.maps import MapContract
from scoopsci.testing.contract.samebits import SameBitsContract
from scoopsci.testing.contract.surroundings import SettingsContract, SurroundingsContract
from scoopsci.testing.contract.travel import TravelContract
from scoopsci.testing.contract.workers import ProcessesContract
from scoopsci.testing.opening import EngineUnderTest

__all__ = ["EngineContract", "EngineUnderTest", "WorkersContract"]

# Workers need no pytest, and cannot import these tests without it.
cloudpickle.register_pickle_by_value(contract)


class EngineContract(
    SameBitsContract,
    MapContract,
    FuturesContract,
    FailuresContract,
    TravelContract,
    SettingsContract,
):
    """What holds for every engine, including those whose tasks run in the caller or in threads.

    Its attributes, which a subclass sets, are those of `EngineUnderTest`.
    """


class WorkersContract(DeathsContract, ProcessesContract, SurroundingsContract, EngineContract):
    """What holds for engines whose workers are processes.

    Its attributes, which a subclass sets, are those of `EngineUnderTest`.
    """
