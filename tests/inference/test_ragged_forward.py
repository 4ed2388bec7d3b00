"""Segments that share a call of attention, in place and by copies: the same results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from inference.kv_pool import KvPool
from inference.ragged_forward import COPYING, IN_PLACE, ragged_forward
from soundflow.model.config import AudioEncoderConfig, LmConfig, ModelConfig
from soundflow.model.interaction import AudioInteractionModel
from soundflow.text.tiny import tiny_tokenizer

# Two heads share keys and values, as in the published models.
MODEL = AudioInteractionModel(
    ModelConfig(
        AudioEncoderConfig(width=32, layers=1, heads=2, ffn_width=64, max_positions=64),
        LmConfig(width=32, layers=2, heads=4, kv_heads=2, ffn_width=64, init_std=0.3),
    ),
    tiny_tokenizer().table,
).eval()
PASSES = ((7, 5, 0, 6, 5), (5, 5, 1, 0, 5), (1, 0, 1, 1, 1), (5, 11, 1, 16, 1))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows of each call of attention."""
    stock: Callable[..., Tensor] = functional.scaled_dot_product_attention
    found: list[int] = []

    def counted(query: Tensor, *args: Any) -> Tensor:
        found.append(len(query))
        return stock(query, *args)

    monkeypatch.setattr(functional, "scaled_dot_product_attention", counted)
    return found


@torch.inference_mode()
def test_one_call_a_layer_for_segments_of_all_lengths(calls: list[int]) -> None:
    pools = [KvPool(MODEL, 5, 64) for _ in range(2)]
    rows = [[pool.allocate() for _ in range(5)] for pool in pools]
    generator = torch.Generator().manual_seed(0)
    for sizes in PASSES:
        embeds = torch.randn(sum(sizes), 32, generator=generator)
        lines = []
        for pool, own, grouping in zip(pools, rows, (IN_PLACE, COPYING), strict=True):
            segments = [pool.extend(row, n) for row, n in zip(own, sizes, strict=True) if n]
            calls.clear()
            lines.append(ragged_forward(MODEL, pool, embeds, segments, grouping=grouping))
        assert calls == [len(segments)] * MODEL.config.lm.layers
        assert torch.allclose(*lines, atol=1e-5)
