"""The language model over segments of several sessions at once, each on its row of the pool.

::

    tokens      [a a a a a a a][b][c][d d d d d d d]     one line of N tokens, no padding
    linear      one matrix product for all of them
    attention   each segment with its own row alone; neighbouring rows in one call
    last layer  keys and values of all tokens, and the rest for what is read:
                [            a][b][c][            d]

Listen blocks and single reply tokens of any number of sessions share one pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional
from transformers.models.qwen2.modeling_qwen2 import apply_rotary_pos_emb

from inference.kv_pool import KvPool, Segment
from soundflow.model.interaction import AudioInteractionModel

Int64 = npt.NDArray[np.int64]

# Rows of different lengths share a call as long as it reads at most so much more than they hold.
MAX_PADDED_SHARE = 1.1


def ragged_forward(
    model: AudioInteractionModel,
    pool: KvPool,
    embeds: Tensor,
    segments: Sequence[Segment],
    read: Sequence[int] | None = None,
) -> Tensor:
    """Appends embeddings to rows of the pool and returns the final hidden states that are read.

    The same as transformers' forward of each segment on a cache of its own.

    Args:
        embeds: (N, d), the segments one after another.
        segments: as `KvPool.extend` gave them.
        read: the tokens of the line whose hidden states are wanted, ascending; None for all.

    Returns:
        (N, d), or (len(read), d)
    """
    device, sizes = embeds.device, np.array([s.end - s.start for s in segments])
    owners = np.repeat(np.arange(len(segments)), sizes)
    places = np.concatenate([np.arange(s.start, s.end) for s in segments])
    positions = torch.from_numpy(places).to(device, non_blocking=True)
    lines = np.array([s.row for s in segments])[owners]
    rows = torch.from_numpy(lines).to(device, non_blocking=True)
    groups = last = _groups(segments, sizes, places, positions, embeds.dtype)
    chosen = None
    if read is not None:
        at = np.array(read, np.int64)
        chosen = torch.from_numpy(at).to(device, non_blocking=True)
        counts = np.bincount(owners[at], minlength=len(segments))
        last = _groups(segments, counts, places[at], positions[chosen], embeds.dtype)
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


@dataclass
class Group:
    """Neighbouring rows, with the same number of queries each, for one call of attention.

    Attributes:
        row: the first one.
        queries: of each row.
        rows: how many.
        held: positions of all of them.
        end: the length of the longest.
        mask: (rows, 1, queries, end) additive: a query sees its own position and all before it;
            None where all of them see everything.
    """

    row: int
    queries: int
    rows: int = 0
    held: int = 0
    end: int = 0
    mask: Tensor | None = None

    def takes(self, segment: Segment, queries: int) -> bool:
        padded = max(self.end, segment.end) * (self.rows + 1)
        return (
            queries == self.queries
            and segment.row == self.row + self.rows
            and padded <= MAX_PADDED_SHARE * (self.held + segment.end)
        )

    def add(self, segment: Segment) -> None:
        self.rows += 1
        self.held += segment.end
        self.end = max(self.end, segment.end)


def _groups(
    segments: Sequence[Segment],
    counts: Int64,
    places: Int64,
    positions: Tensor,
    dtype: torch.dtype,
) -> list[Group]:
    """Groups of the queries of all segments, in order.

    Args:
        counts: queries of each segment.
        places: (queries,) their positions, one segment after another.
        positions: the same on the device.
    """
    groups: list[Group] = []
    for segment, queries in zip(segments, counts.tolist(), strict=True):
        if not queries:
            continue
        if not groups or not groups[-1].takes(segment, queries):
            groups.append(Group(segment.row, queries))
        groups[-1].add(segment)
    at = 0
    for group in groups:
        span = slice(at, at + group.rows * group.queries)
        at = span.stop
        if places[span].min() < group.end - 1:
            group.mask = causal_mask(positions[span].view(group.rows, -1), group.end, dtype)
    return groups


def causal_mask(positions: Tensor, end: int, dtype: torch.dtype) -> Tensor:
    """(rows, queries) positions -> (rows, 1, queries, end) additive."""
    hidden = torch.arange(end, device=positions.device) > positions[:, None, :, None]
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
    sizes = [group.rows * group.queries for group in groups]
    parts: Sequence[Tensor] = query.split(sizes)  # type: ignore[no-untyped-call]
    out = []
    for part, group in zip(parts, groups, strict=True):
        rows, n = slice(group.row, group.row + group.rows), group.queries
        shared = part.view(group.rows, n, kv_heads, sharing, d).permute(0, 2, 3, 1, 4)
        mask = group.mask
        if mask is not None and sharing > 1:
            mask = mask.repeat(1, 1, sharing, 1)
        attended = functional.scaled_dot_product_attention(
            shared.flatten(2, 3), keys[rows, :, : group.end], values[rows, :, : group.end], mask
        )
        attended = attended.view(group.rows, kv_heads, sharing, n, d).permute(0, 3, 1, 2, 4)
        out.append(attended.reshape(-1, heads * d))
    return torch.cat(out)
