"""The network of isolated hosts, made once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import require
from tests.lan import Lan, missing_parts


@pytest.fixture(scope="session")
def lan() -> Iterator[Lan]:
    """Start three hosts with an sshd each, and end them whatever happens."""
    require(missing_parts())
    with Lan.start() as network:
        yield network
