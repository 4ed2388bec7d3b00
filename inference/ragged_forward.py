"""The language model over segments of several sessions at once, each on its row of the pool.

::

    tokens     [a a a a a a a][b][c][d d d d d d d]      one line of N tokens, no padding
    linear     one matrix product for all of them
    attention  each segment with its own row alone

Listen blocks and single reply tokens of any number of sessions share one pass.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers.models.qwen2.modeling_qwen2 import apply_rotary_pos_emb

from inference.kv_pool import KvPool, Segment
from soundflow.model.interaction import AudioInteractionModel


def ragged_forward(
    model: AudioInteractionModel, pool: KvPool, embeds: Tensor, segments: Sequence[Segment]
) -> Tensor:
    """Appends embeddings to rows of the pool and returns their final hidden states.

    The same as transformers' forward of each segment on a cache of its own: these are its modules
    in its order. Only the cache and the mask are ours.

    Args:
        embeds: (N, d), the segments one after another.
        segments: as `KvPool.extend` gave them.

    Returns:
        (N, d)
    """
    lm = model.lm.model
    device, sizes = embeds.device, [s.end - s.start for s in segments]
    places = np.concatenate([np.arange(s.start, s.end) for s in segments])
    positions = torch.from_numpy(places).to(device, non_blocking=True)
    lines = np.repeat([s.row for s in segments], sizes)
    rows = torch.from_numpy(lines).to(device, non_blocking=True)
    cos, sin = pool.rotary(positions, embeds.dtype)
    masks = [_mask(s, embeds) for s in segments]
    x = embeds
    for index, layer in enumerate(lm.layers):
        attention = layer.self_attn
        normed = layer.input_layernorm(x)
        heads = (len(x), -1, attention.head_dim)
        query, key = apply_rotary_pos_emb(
            attention.q_proj(normed).view(heads), attention.k_proj(normed).view(heads), cos, sin
        )
        pool.keys[index][rows, :, positions] = key
        pool.values[index][rows, :, positions] = attention.v_proj(normed).view(heads)
        attended = _attend(pool, index, segments, sizes, masks, query)
        x = x + attention.o_proj(attended.reshape(len(x), -1))
        x = x + layer.mlp(layer.post_attention_layernorm(x))
    hidden: Tensor = lm.norm(x)
    return hidden


def _mask(segment: Segment, like: Tensor) -> Tensor | None:
    """(n, end) additive: a token sees its own position and all before it. None for one token."""
    n = segment.end - segment.start
    if n == 1:
        return None
    mask = torch.full((n, segment.end), float("-inf"), dtype=like.dtype, device=like.device)
    return mask.triu_(segment.start + 1)


def _attend(
    pool: KvPool,
    layer: int,
    segments: Sequence[Segment],
    sizes: list[int],
    masks: Sequence[Tensor | None],
    query: Tensor,
) -> Tensor:
    """(N, heads, d) -> (N, heads, d)"""
    keys, values = pool.keys[layer], pool.values[layer]
    grouped = query.shape[1] != keys.shape[1]
    parts = query.transpose(0, 1).split(sizes, dim=1)  # type: ignore[no-untyped-call]
    out = [
        functional.scaled_dot_product_attention(
            part.unsqueeze(0),
            keys[s.row : s.row + 1, :, : s.end],
            values[s.row : s.row + 1, :, : s.end],
            attn_mask=mask,
            enable_gqa=grouped,
        )
        for part, s, mask in zip(parts, segments, masks, strict=True)
    ]
    return torch.cat(out, dim=2)[0].transpose(0, 1)
