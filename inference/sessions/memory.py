"""What a session remembers: its prefix and its newest blocks, as token ids (protocol section 6).

::

    positions  0 ────────────────────────────────────────────────────────▶ limit
               [prefix][block ▸ reply ▸][block][block] ... [block][block ▸ reply ▸]
                       └── past turns ─┘└─────┬──────┘            └─ its middle goes when
                           if asked for       │                      nothing else is left
                                    oldest blocks go first

Blocks go whole, and a reply that alone fills the memory loses text from its middle, never its audio
or its beginning: whatever is dropped, the rest is a legal layout. The keys and values are in a row
of the `KvPool`; this module says which positions of it to give up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from itertools import accumulate, groupby

from torch import Tensor

from inference.decoder.chunk_queue import EncodedChunk
from inference.decoder.dialogue_decoder import Step
from inference.engine import Engine
from soundflow.errors import UserError
from soundflow.protocol import layout

# ASSISTANT, TEXT_BEGIN, an emotion, TEXT_END and AUDIO_BEGIN around the slots of a chunk.
CONTROL_TOKENS_PER_BLOCK = 5
# Of the limit, what stays when it is reached. A key is turned to a new position at most
# 1 / (1 - KEEP_SHARE) times while it is remembered, which bounds the rounding in 16 bits.
KEEP_SHARE = 0.75
REPLY_HEAD = 2  # TEXT_BEGIN and the emotion


@dataclass
class Block:
    """One chunk's tokens with the silence or the reply that answers them."""

    chunk: int
    slots: Tensor
    ids: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Eviction:
    """Spans [start, end) of positions to give up, and how many whole blocks they are."""

    spans: tuple[tuple[int, int], ...]
    blocks: int


class SessionMemory:
    """The token ids of one session's row.

    Args:
        prefix_ids: never dropped.
        limit_positions: the bound of the memory.
        past_turns: share of it that the newest replies (each with its chunk) may take after what
            was heard around them is gone.
    """

    def __init__(
        self,
        engine: Engine,
        prefix_ids: Sequence[int],
        limit_positions: int,
        past_turns: float = 0.0,
    ) -> None:
        self.prefix = tuple(prefix_ids)
        self.limit_positions = limit_positions
        self.blocks: list[Block] = []
        self.length = len(self.prefix)  # positions in use
        self._keep = int(limit_positions * KEEP_SHARE)
        self._past_positions = int(limit_positions * past_turns)
        self._past = 0  # blocks at the beginning that are past turns
        self.evicted_blocks = 0
        self._time = engine.spec.time
        self._audio = len(layout.listen(engine.spec.tokens, self._time.slots_per_chunk))
        # So that a step, and what eviction leaves, always fit together.
        self.blocks_per_step = max(1, limit_positions // 4 // (self._audio + 1))

    @property
    def crowded(self) -> bool:
        """Whether the next steps may not fit, and whole blocks can go: time to evict, if any."""
        length = self.length
        full = length + 2 * (self._audio + 1) > self.limit_positions
        return full and length > self._keep and len(self.blocks) > self._past + 1

    @property
    def blocks_until_crowded(self) -> int:
        """How many blocks may be appended before it is crowded: one at least, and not too many
        whatever is pending in front of them.
        """
        return max(1, (self.limit_positions - self.length) // (self._audio + 1) - 2)

    @property
    def remembered_s(self) -> float:
        """Seconds of audio in the memory, past turns apart."""
        return (len(self.blocks) - self._past) * self._time.chunk_s

    def instructed(self, prefix_ids: Sequence[int]) -> SessionMemory:
        """A copy with another prefix in place of the present one; it may exceed the limit."""
        other = copy(self)
        other.prefix = tuple(prefix_ids)
        other.length += len(other.prefix) - len(self.prefix)
        other.blocks = [replace(block, ids=list(block.ids)) for block in self.blocks]
        return other

    def as_step(self) -> Step:
        """Everything behind the prefix, to be computed anew."""
        ids = tuple(i for block in self.blocks for i in block.ids)
        starts = (0, *accumulate(len(block.ids) for block in self.blocks[:-1]))
        chunks = tuple(EncodedChunk(block.chunk, block.slots) for block in self.blocks)
        return Step(ids, chunks, starts if chunks else (), (len(ids) - 1,) if ids else ())

    def append(self, step: Step) -> None:
        self.length += len(step.ids)
        edges = [*step.block_starts, len(step.ids)]
        if edges[0]:
            self.blocks[-1].ids.extend(step.ids[: edges[0]])
        for at, chunk in enumerate(step.chunks):
            ids = list(step.ids[edges[at] : edges[at + 1]])
            self.blocks.append(Block(chunk.index, chunk.slots, ids))

    def forget(self, n: int) -> None:
        """Drops the newest ``n`` ids."""
        self.length -= n
        while n:
            ids = self.blocks[-1].ids
            taken = min(n, len(ids))
            del ids[len(ids) - taken :]
            n -= taken
            if not ids:
                self.blocks.pop()

    @property
    def answer_length(self) -> int:
        """How many positions the answer to the newest chunk takes by now."""
        return len(self.blocks[-1].ids) - self._audio

    def evict(self, room: int = 0) -> Eviction | None:
        """Makes place for ``room`` positions, down to three quarters of the limit.

        Returns:
            What the row has to give up, already dropped here; None where all of it may stay.
        """
        keep = min(self._keep, self.limit_positions - room)
        past, newest, length = self._chosen(keep)
        spans = self._between([*past, *newest])
        dropped = len(self.blocks) - len(past) - len(newest)
        self.blocks, self._past = [*past, *newest], len(past)
        self.evicted_blocks += dropped
        if length > keep:
            spans += self._shorten_newest(length - keep)
        self.length -= sum(end - start for start, end in spans)
        return Eviction(tuple(spans), dropped) if spans else None

    def _chosen(self, keep: int) -> tuple[list[Block], list[Block], int]:
        """The past turns and the newest blocks that stay, and the length of the whole."""
        past: deque[Block] = deque()
        taken, length = 0, self.length
        for count, block in enumerate(self.blocks):
            if count >= self._past and length <= keep:
                return list(past), self.blocks[count:], length
            if block is self.blocks[-1]:
                break
            length -= len(block.ids)
            if self._is_reply(block):
                past.append(block)
                taken += len(block.ids)
                length += len(block.ids)
            while past and taken > self._past_positions:
                gone = len(past.popleft().ids)
                taken, length = taken - gone, length - gone
        while past and length > keep:
            length -= len(past.popleft().ids)
        return list(past), self.blocks[-1:], length

    def _between(self, staying: Sequence[Block]) -> list[tuple[int, int]]:
        """The spans of all blocks but those."""
        chunks = {block.chunk for block in staying}
        spans: list[tuple[int, int]] = []
        at = len(self.prefix)
        for stays, group in groupby(self.blocks, lambda block: block.chunk in chunks):
            end = at + sum(len(block.ids) for block in group)
            spans += [] if stays else [(at, end)]
            at = end
        return spans

    def _is_reply(self, block: Block) -> bool:
        return len(block.ids) > self._audio + REPLY_HEAD + 1  # with any text at all

    def _shorten_newest(self, surplus: int) -> list[tuple[int, int]]:
        """Takes ``surplus`` tokens out of the newest block, behind the head of its reply."""
        ids, head = self.blocks[-1].ids, self._audio + REPLY_HEAD
        at = self.length - len(ids)
        surplus = min(surplus, len(ids) - head - 1)
        if surplus <= 0:
            return []
        del ids[head : head + surplus]
        return [(at + head, at + head + surplus)]

    def cut_reply(self, chunk: int, surplus: int) -> tuple[int, int] | None:
        """Takes the last ``surplus`` text tokens out of a reply that has ended.

        Returns:
            The span that the row has to give up; None where the reply is no longer remembered.
        """
        at = len(self.prefix)
        for block in self.blocks:
            end = at + len(block.ids)
            if block.chunk == chunk:
                text = len(block.ids) - self._audio - REPLY_HEAD - 1
                surplus = min(surplus, text)
                if surplus <= 0:
                    return None
                del block.ids[-1 - surplus : -1]
                self.length -= surplus
                return (end - 1 - surplus, end - 1)
            at = end
        return None


def require_room(engine: Engine, prefix: int, limit: int) -> None:
    """Checks that a prefix and one answered chunk leave room for eviction.

    Raises:
        UserError: naming the number of positions needed.
    """
    block = engine.spec.time.slots_per_chunk + CONTROL_TOKENS_PER_BLOCK
    needed = 2 * (prefix + block)
    if limit >= needed:
        return
    what = f"the instruction takes {prefix} positions and an answered chunk {block}"
    if limit < engine.limit_positions:
        raise UserError(
            f"session.limit_positions={limit} is too small: {what}, so at least "
            f"{needed} are needed",
            f"set session.limit_positions to {needed} or more, or leave it out",
        )
    raise UserError(
        f"the instruction is too long: {what}, so {needed} are needed, and this model was trained "
        f"to {engine.limit_positions}",
        "shorten session.system",
    )
