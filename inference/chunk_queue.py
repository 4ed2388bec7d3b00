"""The FIFO between ears and mouth (paper section "Asynchronous inference").

The encoder appends and never waits; the decoder drains all of it whenever it listens.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class EncodedChunk:
    """One encoded chunk: its index in the stream, its slots (slots, d), when it was complete."""

    index: int
    slots: Tensor
    arrived_s: float = 0.0


class ChunkQueue:
    """Heard chunks in order.

    At most ``capacity_chunks`` are held: beyond that the oldest go, counted in ``dropped``. A
    decoder that is so far behind would only write them to a memory that forgets them at once.
    """

    def __init__(self, capacity_chunks: int) -> None:
        if capacity_chunks < 1:
            raise ValueError(f"capacity_chunks must be at least 1, got {capacity_chunks}")
        self._chunks: deque[EncodedChunk] = deque(maxlen=capacity_chunks)
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._chunks)

    def put(self, chunk: EncodedChunk) -> None:
        self.dropped += len(self._chunks) == self._chunks.maxlen
        self._chunks.append(chunk)

    def drain(self) -> list[EncodedChunk]:
        """Everything that waits, oldest first; the queue is empty afterwards."""
        chunks = list(self._chunks)
        self._chunks.clear()
        return chunks
