"""Chunks encoded together equal chunks encoded alone, and transformers' own forward."""

from __future__ import annotations

import pytest
import torch

from soundflow.model.config import AudioEncoderConfig, ModelConfig
from soundflow.model.encoder import build_tower, encode_chunks, encode_chunks_stock

ROUNDING = 1e-5  # float32, outputs of order 1


@pytest.fixture(scope="module")
def tower() -> torch.nn.Module:
    torch.manual_seed(0)
    config = AudioEncoderConfig(width=64, layers=3, heads=4, ffn_width=128, max_positions=1500)
    tower = build_tower(config, output_width=48).eval()
    for parameter in tower.parameters():  # fresh norms and biases would hide mistakes in them
        parameter.data += 0.1 * torch.randn_like(parameter)
    return tower


def chunks(n: int) -> torch.Tensor:
    return torch.randn(n, 128, 40, generator=torch.Generator().manual_seed(n))


@torch.no_grad()
def test_equals_the_stock_forward(tower: torch.nn.Module) -> None:
    mel = chunks(7)
    ours, stock = encode_chunks(tower, mel), encode_chunks_stock(tower, mel)
    assert ours.shape == (7, 10, 48)
    torch.testing.assert_close(ours, stock, atol=ROUNDING, rtol=0)


@torch.no_grad()
def test_a_chunk_does_not_depend_on_its_company(tower: torch.nn.Module) -> None:
    mel = chunks(9)
    together = encode_chunks(tower, mel)
    for i in (0, 4, 8):
        alone = encode_chunks(tower, mel[i : i + 1])[0]
        torch.testing.assert_close(together[i], alone, atol=ROUNDING, rtol=0)


def test_no_gradient_crosses_chunks(tower: torch.nn.Module) -> None:
    mel = chunks(4).requires_grad_()
    encode_chunks(tower, mel)[2].sum().backward()
    touched = mel.grad.abs().sum((1, 2)) > 0
    assert touched.tolist() == [False, False, True, False]


@torch.no_grad()
def test_bfloat16_stays_near(tower: torch.nn.Module) -> None:
    mel = chunks(3)
    exact = encode_chunks(tower, mel)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = encode_chunks(tower, mel)
    assert (exact - rounded).abs().max() < 0.1 * exact.abs().max()


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="heads=3"):
        AudioEncoderConfig(width=64, heads=3)
    with pytest.raises(ValueError, match="layers"):
        ModelConfig(AudioEncoderConfig(layers=0))
