"""The language model over segments of several sessions at once, each on its row of the pool.

::

    tokens      [a a a a a a a][b][c][d d d d d d d]     one line of N tokens, no padding
    linear      one matrix product for all of them
    attention   each segment with its own row alone; those alike in one call
    last layer  keys and values of all tokens, and the rest for what is read:
                [            a][b][c][            d]

Listen blocks and single reply tokens of any number of sessions share one pass. A GPU, for which
starting a kernel is what takes time, is given passes of fixed shapes
(`inference.passes.step_graphs`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional
from transformers.models.qwen2.modeling_qwen2 import Qwen2RMSNorm

from inference.passes.kv_pool import KvPool, Segment, turned
from soundflow.model.interaction import AudioInteractionModel

Int64 = npt.NDArray[np.int64]

# How much more a call of attention may read than its segments hold.
PADDED_SHARE = 1.1


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
        own: how many tokens of the line they are.
        of_query: (count * queries,) the token of the group that each query is; None where they are
            its tokens in order.
        of_token: (own,) where each token is among the queries.
    """

    rows: slice | Tensor
    count: int
    queries: int
    end: int
    mask: Tensor | None
    own: int
    of_query: Tensor | None = None
    of_token: Tensor | None = None


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
    sharing = model.config.lm.heads // model.config.lm.kv_heads
    groups = last = _groups(segments, sizes, places, embeds, sharing)
    chosen = None
    if read is not None:
        at = np.array(read, np.int64)
        chosen = torch.from_numpy(at).to(device, non_blocking=True)
        counts = np.bincount(owners[at], minlength=len(segments))
        last = _groups(segments, counts, places[at], embeds, sharing)
    return run_layers(model, pool, embeds, Pass(rows, positions, groups, chosen, last))


def run_layers(model: AudioInteractionModel, pool: KvPool, embeds: Tensor, what: Pass) -> Tensor:
    """(N, d) -> the final hidden states of what is read. Asks the device nothing.

    These are transformers' weights in its order. The cache, the mask and what is not a matrix
    product are ours: on a GPU a token takes as long as its number of kernels.
    """
    lm = model.lm.model
    cos, sin = (x.unsqueeze(1) for x in pool.rotary(what.positions, embeds.dtype))
    x = embeds
    for index, layer in enumerate(lm.layers):
        attention = layer.self_attn
        normed = _normed(layer.input_layernorm, x)
        n_tokens, d = len(x), attention.head_dim
        value = attention.v_proj(normed).view(n_tokens, -1, d)
        both = torch.cat((attention.q_proj(normed), attention.k_proj(normed)), 1)
        both = turned(both.view(n_tokens, -1, d), cos, sin)
        query, key = both[:, : -value.shape[1]], both[:, -value.shape[1] :]
        pool.keys[index][what.rows, :, what.positions] = key
        pool.values[index][what.rows, :, what.positions] = value
        groups = what.groups
        if what.chosen is not None and index == len(lm.layers) - 1:
            if not len(what.chosen):
                return x[:0]
            x, query, groups = x[what.chosen], query[what.chosen], what.last
        x = x + attention.o_proj(_attend(pool, index, groups, query))
        x = x + layer.mlp(_normed(layer.post_attention_layernorm, x))
    return _normed(lm.norm, x)


def _normed(norm: Qwen2RMSNorm, x: Tensor) -> Tensor:
    """As the module computes it, in one kernel."""
    return functional.rms_norm(x, x.shape[-1:], norm.weight, norm.variance_epsilon)


@dataclass
class _Members:
    """The segments of a group that is being put together.

    ``held``: positions of all of them; ``end``: of the longest.
    """

    queries: int
    rows: list[int] = field(default_factory=list)
    held: int = 0
    end: int = 0

    def takes(self, segment: Segment, queries: int) -> bool:
        read = max(self.end, segment.end) * (len(self.rows) + 1)
        fits = read <= PADDED_SHARE * (self.held + segment.end)
        return fits and queries == self.queries and segment.row == self.rows[-1] + 1

    def add(self, segment: Segment) -> None:
        self.rows.append(segment.row)
        self.held += segment.end
        self.end = max(self.end, segment.end)

    def group(self, places: Int64, like: Tensor, sharing: int) -> Group:
        """``places``: (count * queries,) positions, one segment after another."""
        rows = slice(self.rows[0], self.rows[-1] + 1)
        mask = None
        if places.min() < self.end - 1:
            positions = torch.from_numpy(places.reshape(-1, self.queries))
            positions = positions.to(like.device, non_blocking=True)
            mask = causal_mask(positions, self.end, like.dtype, sharing)
        return Group(rows, len(self.rows), self.queries, self.end, mask, len(places))


def _groups(
    segments: Sequence[Segment], counts: Int64, places: Int64, like: Tensor, sharing: int
) -> list[Group]:
    """Groups of the queries of all segments, in order: neighbouring rows, read where they lie.

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
        if not gathered or not gathered[-1].takes(segment, queries):
            gathered.append(_Members(queries))
        gathered[-1].add(segment)
    groups, at = [], 0
    for one in gathered:
        begin, at = at, at + one.queries * len(one.rows)
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
        count, n = group.count, group.queries
        if group.of_query is not None:
            part = part[group.of_query]
        shared = part.view(count, n, kv_heads, sharing, d).permute(0, 2, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(
            shared.flatten(2, 3),
            keys[group.rows, :, : group.end],
            values[group.rows, :, : group.end],
            group.mask,
        )
        attended = attended.view(count, kv_heads, sharing, n, d).permute(0, 3, 1, 2, 4)
        line = attended.reshape(-1, heads * d)
        out.append(line if group.of_token is None else line[group.of_token])
    return out[0] if len(out) == 1 else torch.cat(out)
