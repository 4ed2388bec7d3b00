"""A bounded memory for sessions of any length (protocol section 6).

::

    positions  0 ─────────────────────────────────────────────────────▶ limit
               [prefix][block][block][block] ... [block][block][newest ▸
                         └──────┬──────┘
                 dropped whole when the limit would be passed; the rest moves to the front

Rotary positions are in the cached keys, so dropping from the middle of a cache would leave a gap,
and never dropping would leave the positions that training saw. Instead the embeddings of what is
remembered are kept, and the cache is rebuilt from them in one forward pass. It happens once in
``limit - keep`` positions, so its cost is spread.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor
from transformers import DynamicCache

from soundflow.model.interaction import AudioInteractionModel
from soundflow.model.positions import Positions, rotary_positions

KEEP_SHARE = 0.5
REPLY_HEAD = 2  # TEXT_BEGIN and the emotion


class KvMemory:
    """The key/value cache of one session: the prefix and the newest blocks.

    A block is one chunk's tokens with the silence or the reply that answers them. Whole blocks are
    dropped, oldest first.

    Args:
        prefix: (n, d) embeddings that are never dropped.
        limit_positions: no position reaches it; at most the model's trained range.
        keep_positions: what a rebuild keeps at most, prefix included (default: half the limit).
        positions: how rotary positions are counted.

    Raises:
        ValueError: if the prefix leaves no room.
    """

    def __init__(
        self,
        model: AudioInteractionModel,
        prefix: Tensor,
        limit_positions: int,
        keep_positions: int | None = None,
        positions: Positions = "exact",
    ) -> None:
        keep = int(limit_positions * KEEP_SHARE) if keep_positions is None else keep_positions
        if not len(prefix) < keep < limit_positions <= model.config.lm.max_positions:
            raise ValueError(
                f"need prefix {len(prefix)} < keep {keep} < limit {limit_positions} "
                f"<= trained range {model.config.lm.max_positions} positions"
            )
        self._model = model
        self._limit = limit_positions
        self._keep = keep
        self._prefix = prefix
        self._positions = positions
        self._blocks: list[list[Tensor]] = []
        self._cache = model.new_cache()
        self._length = 0
        self.rebuilds = 0
        self.dropped_blocks = 0
        self._forward(prefix)

    @property
    def length_positions(self) -> int:
        """Positions in the cache now."""
        return self._length

    @property
    def cache(self) -> DynamicCache:
        return self._cache

    @torch.no_grad()
    def append(self, embeds: Tensor, block_starts: Sequence[int] = ()) -> Tensor:
        """Adds positions and returns the hidden states of those that are kept.

        Args:
            embeds: (n, d)
            block_starts: ascending offsets into ``embeds`` at which a new block begins; what comes
                before the first of them continues the newest block.

        Returns:
            (m, d), the newest m <= n; m < n only when ``embeds`` alone is more than is kept.
        """
        self._remember(embeds, block_starts)
        if self._length + len(embeds) <= self._limit:
            return self._forward(embeds)
        self._trim()
        self._cache = self._model.new_cache()
        self._length = 0
        self.rebuilds += 1
        kept = torch.cat([self._prefix, *(e for block in self._blocks for e in block)])
        return self._forward(kept)[len(self._prefix) :][-len(embeds) :]

    def _remember(self, embeds: Tensor, block_starts: Sequence[int]) -> None:
        edges = [0, *block_starts, len(embeds)]
        if edges[1] > 0 or not block_starts:
            if not self._blocks:
                self._blocks.append([])
            self._blocks[-1].append(embeds[: edges[1]])
        for start, end in pairwise(edges[1:]):
            self._blocks.append([embeds[start:end]])

    def _trim(self) -> None:
        """Drops the oldest blocks; of a newest block that alone is too long, its middle.

        Its audio and the beginning of its reply stay, so that what is said goes on answering it.
        """
        room = self._keep - len(self._prefix)
        sizes = [sum(map(len, block)) for block in self._blocks]
        held = sum(sizes)
        drop = 0
        while held > room and drop < len(sizes) - 1:
            held -= sizes[drop]
            drop += 1
        del self._blocks[:drop]
        self.dropped_blocks += drop
        if held > room:
            self._blocks[0] = _shortened(self._blocks[0], room)

    @torch.no_grad()
    def _forward(self, embeds: Tensor) -> Tensor:
        end = self._length + len(embeds)
        places = torch.arange(self._length, end, device=embeds.device).unsqueeze(0)
        turned = rotary_positions(places, self._positions)
        hidden = self._model.hidden(embeds.unsqueeze(0), turned, self._cache)[0]
        self._length = end
        return hidden


def _shortened(block: list[Tensor], room: int) -> list[Tensor]:
    """``room`` positions of a block: its first append, the start of its reply, its newest."""
    audio, whole = len(block[0]), torch.cat(block)
    head = audio + REPLY_HEAD
    if head >= room:  # one append alone is more than is kept
        return [whole[-room:]]
    return [whole[:audio], whole[audio:head], whole[head - room :]]
