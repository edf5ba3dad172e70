"""How many blocks a chunk gets, from the time and size of the blocks so far."""

from __future__ import annotations

import math

__all__ = ["ChunkSizes"]

#: A chunk may have this many times the blocks of the largest one measured: first timings are rough.
CHUNK_GROWTH = 32

#: Towards the end chunks get shorter, so that the last ones end together, but not so short that
#: the overhead would exceed the work.
LEAST_CHUNK_S = 0.003

#: Limit of the inputs and results of a chunk, estimated from the blocks so far.
CHUNK_BYTES = 1 << 20


class ChunkSizes:
    """Measures blocks, and sizes chunks accordingly. No size can change a result."""

    def __init__(self) -> None:
        self.n_measured = 0
        self._n_bytes = 0
        self._block_s: float | None = None
        self._longest = 1

    @property
    def bytes_per_block(self) -> float:
        """Mean size of a block's input and result."""
        return self._n_bytes / max(1, self.n_measured)

    def note_bytes(self, n_blocks: int, n_bytes: int) -> None:
        """Add the total size of some blocks."""
        self.n_measured += n_blocks
        self._n_bytes += n_bytes

    def note_time(self, n_blocks: int, elapsed_s: float) -> None:
        """Add the time of a chunk on its worker."""
        measured = max(elapsed_s, 1e-9) / n_blocks  # the clock may be coarse
        self._block_s = measured if self._block_s is None else (self._block_s + measured) / 2
        self._longest = max(self._longest, n_blocks)

    def next_size(self, chunk_s: float, n_remaining: int | None, n_workers: int) -> int:
        """Return the number of blocks of the next chunk, which should take `chunk_s` seconds.

        `n_workers` share the `n_remaining` blocks, or an unknown number if that is None.
        """
        if self._block_s is None:
            return 1
        sizes = [
            self._longest * CHUNK_GROWTH,
            CHUNK_BYTES / max(1.0, self.bytes_per_block),
            chunk_s / self._block_s,
        ]
        if n_remaining is not None:
            least = min(LEAST_CHUNK_S, chunk_s) / self._block_s
            sizes.append(max(n_remaining / (2 * n_workers), least))
        return max(1, math.ceil(min(sizes)))
