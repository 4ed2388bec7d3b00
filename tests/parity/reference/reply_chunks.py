"""After which chunk a turn is answered: our arithmetic and the published builder's.

Both count in slots (40 ms). A turn that ends after slot ``end`` is answered

* by us after the chunk that holds its last slot: ``ceil(end / 10) - 1``;
* by the published builder after the chunk that holds the slot *behind* its last one:
  ``end // 10``. That is the same chunk, unless the turn ends exactly on a chunk boundary: then the
  published reply comes one chunk late. And it lays out only *new* chunks for a turn, so a turn
  whose chunk is already taken gets none, and its reply is dropped without a word.

The published rule is here to read and to reproduce published data; nothing of ours is built by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from soundflow.protocol.timebase import TimeBase


@dataclass(frozen=True)
class ReplyChunks:
    """Chunk index of each turn's answer (None where it is dropped), and chunks in the stream."""

    chunks: tuple[int | None, ...]
    n_chunks: int


def exact(ends_slots: Sequence[int], tail_slots: int, time: TimeBase) -> ReplyChunks:
    """Ours, from `TimeBase.reply_chunk`: no reply is ever dropped.

    Two turns that end inside the same chunk share an index; a builder has to keep them apart,
    since at most one turn begins in a chunk.
    """
    samples = [end * time.slot_samples for end in ends_slots]
    total = (ends_slots[-1] + tail_slots) * time.slot_samples
    return ReplyChunks(tuple(map(time.reply_chunk, samples)), time.chunks_in(total))


def published(ends_slots: Sequence[int], tail_slots: int, time: TimeBase) -> ReplyChunks:
    """The published builder's, with its fault.

    Args:
        ends_slots: where each turn ends, in slots from the start of the stream, rising.
        tail_slots: slots of noise behind the last turn.
    """
    per_chunk = time.slots_per_chunk
    chunks: list[int | None] = []
    laid_out = 0  # chunks so far
    for end in ends_slots:
        wanted = end // per_chunk + 1
        chunks.append(wanted - 1 if wanted > laid_out else None)
        laid_out = max(laid_out, wanted)
    whole = (ends_slots[-1] + tail_slots) // per_chunk
    return ReplyChunks(tuple(chunks), max(laid_out, whole))
