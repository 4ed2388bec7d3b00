"""A packed row attends as its streams do alone: values and gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from soundflow.model.attention import Segments, attend


def segments(lengths: tuple[int, ...]) -> Segments:
    starts = torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)
    return Segments.of(starts, lengths)


def dense(query: Tensor, key: Tensor, value: Tensor, lengths: tuple[int, ...]) -> Tensor:
    """The plain computation: one mask over the whole row."""
    stream = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    mask = (stream[:, None] == stream) & torch.ones(len(stream), len(stream)).tril().bool()
    groups = query.shape[1] // key.shape[1]
    key, value = (x.repeat_interleave(groups, 1) for x in (key, value))
    q, k, v = (x.transpose(0, 1) for x in (query, key, value))
    return scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(0, 1)


@settings(deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6).map(tuple), st.sampled_from([1, 2, 4]))
def test_equals_one_mask_over_the_row(lengths: tuple[int, ...], kv_heads: int) -> None:
    torch.manual_seed(0)
    shapes = [(sum(lengths), heads, 8) for heads in (4, kv_heads, kv_heads)]
    qkv = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    weight = torch.randn(shapes[0], dtype=torch.float64)
    got = attend(*qkv, segments(lengths))
    want = dense(*qkv, lengths)
    torch.testing.assert_close(got, want)
    for a, b in zip(*(torch.autograd.grad((x * weight).sum(), qkv) for x in (got, want)),
                    strict=True):  # fmt: skip
        torch.testing.assert_close(a, b)


def test_streams_of_equal_length_share_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = []

    def counted(query: Tensor, *rest: Tensor, **how: object) -> Tensor:
        shapes.append(tuple(query.shape))
        return scaled_dot_product_attention(query, *rest, **how)

    monkeypatch.setattr("soundflow.model.attention.scaled_dot_product_attention", counted)
    row = torch.randn(22, 2, 8)
    attend(row, row, row, segments((5, 5, 3, 5, 4)))
    assert shapes == [(2, 2, 5, 8), (1, 2, 3, 8), (1, 2, 5, 8), (1, 2, 4, 8)]
