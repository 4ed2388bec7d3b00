"""On CUDA: the varlen kernel against one call a stream, and a step that asks the device nothing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from soundflow.data.batch import Batch, packed
from soundflow.data.features import StreamFeatures
from soundflow.model.attention import Segments, attend
from soundflow.model.config import AudioEncoderConfig, LmConfig, ModelConfig
from soundflow.model.interaction import AudioInteractionModel
from soundflow.protocol.layout import online_stream
from soundflow.protocol.spec import StreamSpec
from soundflow.text.presets import load_vocabulary, stream_spec
from soundflow.train.compute import computing
from soundflow.train.loss import loss_sums
from soundflow.train.recipe import LossConfig

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

LENGTHS = (300, 1, 64, 64, 517)
NEAR = 2**-6  # bfloat16 keeps 8 bits; outputs and gradients are sums of some hundred products


@pytest.mark.parametrize("kv_heads", [1, 2, 8])
def test_the_kernel_equals_one_call_a_stream(kv_heads: int) -> None:
    torch.manual_seed(0)
    shapes = [(sum(LENGTHS), heads, 64) for heads in (8, kv_heads, kv_heads)]
    qkv = [torch.randn(s, device="cuda", requires_grad=True) for s in shapes]
    starts = torch.tensor([0, *LENGTHS], device="cuda").cumsum(0).to(torch.int32)
    row = Segments.of(starts, LENGTHS)
    weight = torch.randn(shapes[0], device="cuda")
    want = attend(*qkv, row)
    got = attend(*(x.to(torch.bfloat16) for x in qkv), row)
    assert got.dtype == torch.bfloat16
    torch.testing.assert_close(got.float(), want, atol=NEAR, rtol=NEAR)
    wanted = torch.autograd.grad((want * weight).sum(), qkv)
    found = torch.autograd.grad((got.float() * weight).sum(), qkv)
    for a, b in zip(found, wanted, strict=True):
        assert (a - b).norm() < NEAR * b.norm()


@pytest.fixture
def model() -> AudioInteractionModel:
    torch.manual_seed(0)
    sizes = ModelConfig(
        AudioEncoderConfig(width=64, layers=1, heads=2, ffn_width=64, max_positions=32),
        LmConfig(width=128, layers=2, heads=4, kv_heads=2, ffn_width=128, max_positions=512),
    )
    return AudioInteractionModel(sizes, _spec().tokens).cuda()


def _spec() -> StreamSpec:
    return stream_spec(load_vocabulary("tiny")[0])


def _row(streams: tuple[int, ...]) -> Batch:
    """A row of streams of so many chunks; equal ones are the same stream."""
    spec, made = _spec(), []
    for chunks in streams:
        mel = np.random.default_rng(chunks).standard_normal((chunks, 128, 40), np.float32)
        piece = online_stream(
            spec.tokens, spec.time.slots_per_chunk, [], chunks, {1: ([100, 101], "happy")}
        )
        ids, roles = np.array(piece.ids, np.int32), np.array(piece.roles, np.int8)
        made.append(StreamFeatures(f"made{chunks}", ids, roles, mel))
    return packed(made, spec)


@pytest.fixture
def no_sync() -> Iterator[None]:
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    yield
    torch.cuda.set_sync_debug_mode(before)


def _pass(model: AudioInteractionModel, batch: Batch) -> torch.Tensor:
    with computing(torch.bfloat16, torch.device("cuda")):
        loss = loss_sums(model, batch).combined(30, 20, LossConfig())
    loss.backward()
    return loss.detach()


def test_no_micro_batch_waits_for_the_device(
    model: AudioInteractionModel, request: pytest.FixtureRequest
) -> None:
    """Copies of pinned rows, forward, backward: rows with audio, and one without a stream."""
    rows = [_row((5, 3, 8)).pin_memory(), _row(()).pin_memory()]
    for row in rows:
        _pass(model, row.to("cuda"))  # kernels are chosen and memory taken
    request.getfixturevalue("no_sync")
    for row in rows:
        _pass(model, row.to("cuda"))


def test_a_packed_row_trains_as_its_streams_do(model: AudioInteractionModel) -> None:
    def gradient(rows: list[tuple[int, ...]]) -> torch.Tensor:
        model.zero_grad()
        for row in rows:
            _pass(model, _row(row).to("cuda"))
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    together, apart = gradient([(5, 3, 8)]), gradient([(5,), (3,), (8,)])
    assert (together - apart).norm() < NEAR * apart.norm()


def test_compiled_layers_train_as_they_are(model: AudioInteractionModel) -> None:
    rows = [_row((5, 3, 8)).to("cuda"), _row((20, 4)).to("cuda")]

    def gradients() -> torch.Tensor:
        model.zero_grad()
        for row in rows:
            _pass(model, row)
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    plain = gradients()
    model.recompute_activations(share=0.5)
    model.compile_layers()
    compiled = gradients()
    assert (compiled - plain).norm() < NEAR * plain.norm()
