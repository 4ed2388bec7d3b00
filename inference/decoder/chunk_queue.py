"""The FIFO between encoder and decoder (paper section "Asynchronous inference").

The encoder appends and never waits; the decoder takes what waits whenever it listens.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class EncodedChunk:
    """One chunk after the encoder.

    Attributes:
        index: its index in the stream, from 0.
        slots: encoder outputs, (slots, d).
        arrived_wall_s: when it was complete, in seconds since the session was opened.
        during_reply: whether it was recorded while a reply was in progress.
    """

    index: int
    slots: Tensor
    arrived_wall_s: float = 0.0
    during_reply: bool = False


class ChunkQueue:
    """Encoded chunks in order, at most ``capacity_chunks`` of them (None: any number).

    Beyond that the oldest are dropped: a decoder that far behind would only write them to a memory
    that drops them at once.
    """

    def __init__(self, capacity_chunks: int | None) -> None:
        if capacity_chunks is not None and capacity_chunks < 1:
            raise ValueError(f"capacity_chunks must be at least 1, got {capacity_chunks}")
        self._capacity = capacity_chunks
        self._chunks: deque[EncodedChunk] = deque()

    def __len__(self) -> int:
        return len(self._chunks)

    def put(self, chunk: EncodedChunk) -> EncodedChunk | None:
        """Appends a chunk; returns the one that was dropped for it."""
        dropped = self._chunks.popleft() if len(self._chunks) == self._capacity else None
        self._chunks.append(chunk)
        return dropped

    @property
    def oldest_wall_s(self) -> float | None:
        """When the oldest waiting chunk was complete."""
        return self._chunks[0].arrived_wall_s if self._chunks else None

    def take(self, at_most: int) -> list[EncodedChunk]:
        """The oldest ``at_most`` waiting chunks, in order."""
        return [self._chunks.popleft() for _ in range(min(at_most, len(self._chunks)))]

    def put_back(self, chunks: Sequence[EncodedChunk]) -> None:
        """Returns the newest of what was taken, in order, to the head of the queue."""
        self._chunks.extendleft(reversed(chunks))
