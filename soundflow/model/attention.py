"""Causal attention over a packed row: every stream attends to itself alone.

On CUDA in half precision one kernel takes all streams of the row (`torch.nn.attention.varlen`).
Elsewhere each stream is a call of its own, and neighbours of equal length share one: a mask over
the whole row would cost its length squared (775 against 49 ms for 16 streams in 4096 tokens).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "soundflow"  # of `attention_forward` among transformers' implementations


@dataclass(frozen=True)
class Segments:
    """Where the streams of a packed row are.

    Attributes:
        starts: (n + 1,) int32 on the device: where each begins, and the length of the row.
        lengths: in tokens, on the host.
        longest: of ``lengths``; what compiled code reads, since their number changes.
    """

    starts: Tensor
    lengths: tuple[int, ...]
    longest: int

    @classmethod
    def of(cls, starts: Tensor, lengths: tuple[int, ...]) -> Segments:
        """As a `Batch` has them."""
        return cls(starts, lengths, max(lengths))


def attend(query: Tensor, key: Tensor, value: Tensor, segments: Segments) -> Tensor:
    """Causal attention inside each segment.

    Args:
        query: (L, heads, d).
        key, value: (L, kv_heads, d); ``heads`` is a multiple of ``kv_heads``.

    Returns:
        (L, heads, d) in the dtype of ``value``.
    """
    query, key = query.to(value.dtype), key.to(value.dtype)  # under autocast, rotation widens them
    if value.is_cuda and value.dtype in (torch.bfloat16, torch.float16):
        attended = varlen_attn(
            query, key, value, segments.starts, segments.starts, segments.longest,
            segments.longest, window_size=(-1, 0), enable_gqa=True,
        )  # fmt: skip
        return cast(Tensor, attended)
    return cast(Tensor, _attend_each(query, key, value, segments.lengths))


# The lengths of a row are not those of the next: it would compile anew.
@torch.compiler.disable  # type: ignore[untyped-decorator]
def _attend_each(query: Tensor, key: Tensor, value: Tensor, lengths: tuple[int, ...]) -> Tensor:
    runs = [(n, len(list(same))) for n, same in groupby(lengths)]
    cuts = [n * count for n, count in runs]
    parts = []
    split = (torch.split(x, cuts) for x in (query, key, value))
    for (n, count), *qkv in zip(runs, *split, strict=True):
        q, k, v = (x.view(count, n, *x.shape[1:]).transpose(1, 2) for x in qkv)
        out = dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        parts.append(out.transpose(1, 2).flatten(0, 1))
    return torch.cat(parts)


def dot_product_attention(query: Tensor, key: Tensor, value: Tensor, **how: Any) -> Tensor:
    """torch's `scaled_dot_product_attention`, on a CPU by the kernel that is fast with its dtype.

    In float32 that is the fused one. In bfloat16, at the few hundred positions of a stream, plain
    products take a third less time for a whole update. The choice is made here, at the call, so
    that activations that are computed again in a backward pass are computed in the same way.
    """
    if value.dtype != torch.bfloat16 or value.device.type != "cpu":
        return scaled_dot_product_attention(query, key, value, **how)
    before = torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed()  # type: ignore[no-untyped-call]
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            return scaled_dot_product_attention(query, key, value, **how)
    finally:
        torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(before)


def attention_forward(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    segments: Segments | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """What transformers calls in each layer: `attend` for a packed row, its own for all else.

    Args:
        query, key, value: (B, heads, L, d); a packed row has B = 1.
    """
    if segments is None:
        found: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, **kwargs
        )
        return found
    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
    return attend(q, k, v, segments)[None], None


AttentionInterface.register(NAME, attention_forward)
AttentionMaskInterface.register(NAME, sdpa_mask)
