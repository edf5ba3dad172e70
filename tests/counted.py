"""Objects that are counted while they live; pickled by name, for workers of this process."""

from __future__ import annotations

from typing import Any, ClassVar

from scoopsci.engines.payload import in_task


class Counted:
    """Ten kilobytes; those that the driver has unpickled are counted."""

    alive: ClassVar[int] = 0
    most: ClassVar[int] = 0

    def __init__(self, *, is_counted: bool = False) -> None:
        self._is_counted = is_counted
        self._content = bytes(10_000)
        Counted.alive += is_counted
        Counted.most = max(Counted.most, Counted.alive)

    def __reduce__(self) -> tuple[Any, ...]:
        return _revive, (self._content,)

    def __del__(self) -> None:
        Counted.alive -= self._is_counted

    @classmethod
    def forget(cls) -> None:
        """Count from now on."""
        cls.alive = cls.most = 0


def _revive(content: bytes) -> Counted:
    return Counted(is_counted=not in_task())
