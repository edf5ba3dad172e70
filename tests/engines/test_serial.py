"""The contract, for tasks that run in the caller."""

from __future__ import annotations

import pytest

from scoopsci import Engine
from scoopsci.testing.engines import EngineContract
from scoopsci.testing.tasks import raise_made


class TestSerial(EngineContract):
    name = "serial"
    in_caller = True

    def test_keyboard_interrupt_is_the_user_s(self, engine: Engine) -> None:
        with pytest.raises(KeyboardInterrupt):
            engine.submit(raise_made, KeyboardInterrupt)
