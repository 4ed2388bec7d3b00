"""The language model over segments of several sessions at once, each on its row of the pool.

::

    tokens      [a a a a a a a][b][c][d d d d d d d]     one line of N tokens, no padding
    linear      one matrix product for all of them
    attention   each segment with its own row alone; those alike in one call
    last layer  keys and values of all tokens, and the rest for what is read:
                [            a][b][c][            d]

Listen blocks and single reply tokens of any number of sessions share one pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional
from transformers.models.qwen2.modeling_qwen2 import apply_rotary_pos_emb

from inference.kv_pool import KvPool, Segment
from soundflow.model.interaction import AudioInteractionModel

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Grouping:
    """Which segments share a call of attention.

    Attributes:
        copies: whether rows that are no neighbours do, by copies of their keys and values, and
            segments of different numbers of tokens, padded to the longest.
        padded_share: how much more a call may read than the segments hold.
    """

    copies: bool
    padded_share: float


# A call costs a CPU little, a copy much; for other devices starting a kernel is what takes time.
IN_PLACE = Grouping(copies=False, padded_share=1.1)
COPYING = Grouping(copies=True, padded_share=4.0)


def ragged_forward(
    model: AudioInteractionModel,
    pool: KvPool,
    embeds: Tensor,
    segments: Sequence[Segment],
    read: Sequence[int] | None = None,
    grouping: Grouping | None = None,
) -> Tensor:
    """Appends embeddings to rows of the pool and returns the final hidden states that are read.

    The same as transformers' forward of each segment on a cache of its own.

    Args:
        embeds: (N, d), the segments one after another.
        segments: as `KvPool.extend` gave them.
        read: the tokens of the line whose hidden states are wanted, ascending; None for all.
        grouping: by default what suits the device.

    Returns:
        (N, d), or (len(read), d)
    """
    device, sizes = embeds.device, np.array([s.end - s.start for s in segments])
    owners = np.repeat(np.arange(len(segments)), sizes)
    places = np.concatenate([np.arange(s.start, s.end) for s in segments])
    positions = torch.from_numpy(places).to(device, non_blocking=True)
    lines = np.array([s.row for s in segments])[owners]
    rows = torch.from_numpy(lines).to(device, non_blocking=True)
    form = grouping or (IN_PLACE if device.type == "cpu" else COPYING)
    sharing = model.config.lm.heads // model.config.lm.kv_heads
    groups = last = _groups(form, segments, sizes, places, embeds, sharing)
    chosen = None
    if read is not None:
        at = np.array(read, np.int64)
        chosen = torch.from_numpy(at).to(device, non_blocking=True)
        counts = np.bincount(owners[at], minlength=len(segments))
        last = _groups(form, segments, counts, places[at], embeds, sharing)
    return run_layers(model, pool, embeds, Pass(rows, positions, groups, chosen, last))


@dataclass(frozen=True)
class Pass:
    """What one forward pass appends where, and who looks at what.

    Attributes:
        rows, positions: (N,) of the pool, for every token of the line.
        groups: all tokens, in order.
        chosen: the tokens that are read; None for all.
        last: those, in order: the groups of the last layer.
    """

    rows: Tensor
    positions: Tensor
    groups: Sequence[Group]
    chosen: Tensor | None
    last: Sequence[Group]


def run_layers(model: AudioInteractionModel, pool: KvPool, embeds: Tensor, what: Pass) -> Tensor:
    """(N, d) -> the final hidden states of what is read. Asks the device nothing.

    These are transformers' modules in its order. Only the cache and the mask are ours.
    """
    lm = model.lm.model
    cos, sin = pool.rotary(what.positions, embeds.dtype)
    x = embeds
    for index, layer in enumerate(lm.layers):
        attention = layer.self_attn
        normed = layer.input_layernorm(x)
        heads = (len(x), -1, attention.head_dim)
        query, key = apply_rotary_pos_emb(
            attention.q_proj(normed).view(heads), attention.k_proj(normed).view(heads), cos, sin
        )
        pool.keys[index][what.rows, :, what.positions] = key
        pool.values[index][what.rows, :, what.positions] = attention.v_proj(normed).view(heads)
        groups = what.groups
        if what.chosen is not None and index == len(lm.layers) - 1:
            if not len(what.chosen):
                return x[:0]
            x, query, groups = x[what.chosen], query[what.chosen], what.last
        x = x + attention.o_proj(_attend(pool, index, groups, query))
        x = x + layer.mlp(layer.post_attention_layernorm(x))
    hidden: Tensor = lm.norm(x)
    return hidden


@dataclass(frozen=True)
class Group:
    """Rows for one call of attention.

    Attributes:
        rows: of the pool: neighbours, or (rows,) any, whose keys and values are copied.
        count: how many.
        queries: of each row.
        end: the length of the longest.
        mask: (count, 1, sharing * queries, end) additive: a query sees its own position and all
            before it; None where all of them see everything.
        own: how many of the queries the line holds; all of them if ``places`` is None.
        places: (own,) where they are among the count * queries; the others are padding.
    """

    rows: slice | Tensor
    count: int
    queries: int
    end: int
    mask: Tensor | None
    own: int
    places: Tensor | None = None


@dataclass
class _Members:
    """The segments of a group that is being put together.

    ``counts``: queries of each; ``held``: positions of all of them; ``end``: of the longest.
    """

    rows: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    held: int = 0
    end: int = 0

    def takes(self, segment: Segment, queries: int, grouping: Grouping) -> bool:
        n, share = len(self.rows) + 1, grouping.padded_share
        if max(self.end, segment.end) * n > share * (self.held + segment.end):
            return False
        if grouping.copies:
            return max(queries, *self.counts) * n <= share * (sum(self.counts) + queries)
        return queries == self.counts[0] and segment.row == self.rows[-1] + 1

    def add(self, segment: Segment, queries: int) -> None:
        self.rows.append(segment.row)
        self.counts.append(queries)
        self.held += segment.end
        self.end = max(self.end, segment.end)

    def group(self, places: Int64, like: Tensor, sharing: int) -> Group:
        """``places``: positions of its queries, one segment after another."""
        count, queries, end, device = len(self.rows), max(self.counts), self.end, like.device
        first = self.rows[0]
        rows: slice | Tensor = slice(first, first + count)
        if self.rows != list(range(first, first + count)):
            rows = torch.tensor(self.rows).to(device, non_blocking=True)
        own_places = mask = None
        if len(places) == count * queries:
            padded = places.reshape(count, queries)
        else:
            is_own = np.arange(queries) < np.array(self.counts)[:, None]
            padded = np.full((count, queries), end - 1)
            padded[is_own] = places
            own_places = torch.from_numpy(np.flatnonzero(is_own)).to(device, non_blocking=True)
        if padded.min() < end - 1:
            positions = torch.from_numpy(padded).to(device, non_blocking=True)
            mask = causal_mask(positions, end, like.dtype, sharing)
        return Group(rows, count, queries, end, mask, len(places), own_places)


def _groups(
    grouping: Grouping,
    segments: Sequence[Segment],
    counts: Int64,
    places: Int64,
    like: Tensor,
    sharing: int,
) -> list[Group]:
    """Groups of the queries of all segments, in order.

    Args:
        counts: queries of each segment.
        places: (queries,) their positions, one segment after another.
        like: a tensor of the pass, for its dtype and device.
        sharing: heads that share keys and values.
    """
    gathered: list[_Members] = []
    for segment, queries in zip(segments, counts.tolist(), strict=True):
        if not queries:
            continue
        if not gathered or not gathered[-1].takes(segment, queries, grouping):
            gathered.append(_Members())
        gathered[-1].add(segment, queries)
    groups, at = [], 0
    for one in gathered:
        begin, at = at, at + sum(one.counts)
        groups.append(one.group(places[begin:at], like, sharing))
    return groups


def causal_mask(positions: Tensor, end: int, dtype: torch.dtype, sharing: int) -> Tensor:
    """(rows, queries) positions -> (rows, 1, sharing * queries, end) additive."""
    places = positions.repeat(1, sharing)[:, None, :, None]
    hidden = torch.arange(end, device=positions.device) > places
    mask = torch.zeros(hidden.shape, dtype=dtype, device=positions.device)
    return mask.masked_fill_(hidden, float("-inf"))


def _attend(pool: KvPool, layer: int, groups: Sequence[Group], query: Tensor) -> Tensor:
    """(N, heads, d) -> (N, heads * d)

    Heads that share keys and values are queries of one head: each is read once, and every kernel
    of attention can take it, with a mask or without.
    """
    keys, values = pool.keys[layer], pool.values[layer]
    (heads, d), kv_heads = query.shape[1:], keys.shape[1]
    sharing = heads // kv_heads
    parts: Sequence[Tensor] = query.split([g.own for g in groups])  # type: ignore[no-untyped-call]
    out = []
    for part, group in zip(parts, groups, strict=True):
        count, n, places = group.count, group.queries, group.places
        if places is not None:
            part = part.new_zeros(count * n, heads, d).index_copy_(0, places, part)
        shared = part.view(count, n, kv_heads, sharing, d).permute(0, 2, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(
            shared.flatten(2, 3),
            keys[group.rows, :, : group.end],
            values[group.rows, :, : group.end],
            group.mask,
        )
        attended = attended.view(count, kv_heads, sharing, n, d).permute(0, 3, 1, 2, 4)
        line = attended.reshape(-1, heads * d)
        out.append(line if places is None else line[places])
    return torch.cat(out)
