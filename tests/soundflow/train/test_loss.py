"""An update means the same however it is cut into micro-batches."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch.nn import functional

from soundflow.data.batch import Batch, packed
from soundflow.data.features import stream_features
from soundflow.model.attention import Segments
from soundflow.model.config import ModelConfig
from soundflow.model.interaction import AudioInteractionModel
from soundflow.protocol.layout import Role
from soundflow.protocol.spec import StreamSpec
from soundflow.shards.schema import StreamSample
from soundflow.train import loss as loss_module
from soundflow.train.compute import computing
from soundflow.train.loss import loss_sums, nats_of, target_states
from soundflow.train.recipe import LossConfig

Make = Callable[..., StreamSample]
CONFIG = LossConfig(stream_weight=2.0)


@pytest.fixture
def model(small_model: ModelConfig, spec: StreamSpec) -> AudioInteractionModel:
    torch.manual_seed(0)
    return AudioInteractionModel(small_model, spec.tokens)


@pytest.fixture
def samples(make_tone_stream: Make, make_text_stream: Make) -> list[StreamSample]:
    return [make_tone_stream(i, 3 + i % 4) for i in range(7)] + [make_text_stream(1)]


def cut(samples: list[StreamSample], spec: StreamSpec, rows: int) -> list[Batch]:
    heard = [stream_features(s, spec) for s in samples]
    return [packed(heard[i : i + rows], spec) for i in range(0, len(heard), rows)]


def counts(batches: list[Batch]) -> tuple[int, int]:
    return sum(b.decisions for b in batches), sum(b.reply_tokens for b in batches)


def inputs(batch: Batch) -> tuple[object, ...]:
    segments = Segments.of(batch.starts, batch.lengths)
    return batch.ids, batch.positions, segments, batch.slots, batch.mel


def gradients(
    model: AudioInteractionModel, batches: list[Batch], dtype: torch.dtype = torch.float32
) -> tuple[float, torch.Tensor]:
    model.zero_grad()
    total = 0.0
    for batch in batches:
        with computing(dtype, torch.device("cpu")):
            share = loss_sums(model, batch).combined(*counts(batches), CONFIG)
        share.backward()
        total += float(share.detach())
    flat = [p.grad.flatten() for p in model.parameters() if p.requires_grad]
    return total, torch.cat(flat)


@pytest.mark.parametrize("rows", [1, 2, 4])
def test_accumulation_is_one_big_batch(
    model: AudioInteractionModel, spec: StreamSpec, samples: list[StreamSample], rows: int
) -> None:
    whole, want = gradients(model, cut(samples, spec, 8))
    parts, got = gradients(model, cut(samples, spec, rows))
    assert parts == pytest.approx(whole, rel=1e-5)
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-3)


def test_each_part_is_a_mean_over_its_own_targets(
    model: AudioInteractionModel, spec: StreamSpec, samples: list[StreamSample]
) -> None:
    """Against the plain computation: all logits, shifted labels, two means."""
    (batch,) = cut(samples, spec, 8)
    with torch.no_grad():
        hidden = model(*inputs(batch))
        decision, reply = [], []
        for sample, h in zip(samples, hidden.split(batch.lengths), strict=True):
            targets = torch.from_numpy(sample.ids[1:]).long()
            nats = functional.cross_entropy(model.logits(h)[:-1], targets, reduction="none")
            roles = torch.from_numpy(sample.roles[1:])
            decision.append(nats[roles == Role.DECISION])
            reply.append(nats[roles == Role.REPLY])
        want = torch.cat(reply).mean() + 2.0 * torch.cat(decision).mean()
        got = loss_sums(model, batch).combined(*counts([batch]), CONFIG)
    assert float(got) == pytest.approx(float(want), rel=1e-5)


def test_the_gradient_is_that_of_the_plain_computation() -> None:
    """Over blocks, the last of them cut short; the logits are overwritten, and only once."""
    torch.manual_seed(0)
    states = torch.randn(7, 4, dtype=torch.float64, requires_grad=True)
    head = torch.randn(400_000, 4, dtype=torch.float64, requires_grad=True)
    targets, shares = torch.randint(400_000, (7,)), torch.rand(7, dtype=torch.float64)
    found = []
    for nats in (nats_of, partial(functional.cross_entropy, reduction="none")):
        loss = (nats(states @ head.T, targets) * shares).sum()
        found.append((loss, *torch.autograd.grad(loss, [states, head])))
    torch.testing.assert_close(*found)
    logits = torch.randn(2, 5, requires_grad=True) * 1.0
    loss = nats_of(logits, targets[:2] % 5).sum()
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="inplace"):
        loss.backward()


def test_a_batch_without_one_kind_of_target(
    model: AudioInteractionModel, spec: StreamSpec, make_text_stream: Make, make_tone_stream: Make
) -> None:
    for sample, decisions in ((make_text_stream(3), 0), (make_tone_stream(1, 4), 4)):
        (batch,) = cut([sample], spec, 1)
        assert batch.decisions == decisions
        assert (batch.reply_tokens == 0) == (decisions > 0)
        assert torch.isfinite(loss_sums(model, batch).combined(*counts([batch]), CONFIG))


def test_a_row_without_a_stream_adds_nothing(
    model: AudioInteractionModel, spec: StreamSpec, samples: list[StreamSample]
) -> None:
    """And still reaches every parameter, as the other ranks do."""
    batches = cut(samples, spec, 8)
    whole, want = gradients(model, batches)
    parts, got = gradients(model, [*batches, packed([], spec)])
    assert parts == whole
    torch.testing.assert_close(got, want, atol=0, rtol=0)
    gradients(model, [packed([], spec)])
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_states_are_those_before_the_targets(
    model: AudioInteractionModel, spec: StreamSpec, samples: list[StreamSample]
) -> None:
    (batch,) = cut(samples, spec, 8)
    with torch.no_grad():
        hidden = model(*inputs(batch))
        assert torch.equal(target_states(model, batch), hidden[batch.at])


def test_a_head_in_pieces_is_the_same_head(
    model: AudioInteractionModel, spec: StreamSpec, samples: list[StreamSample],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    batches = cut(samples, spec, 8)
    whole, want = gradients(model, batches)
    monkeypatch.setattr(loss_module, "HEAD_ELEMENTS", 7 * spec.tokens.vocab_size)
    parts, got = gradients(model, batches)
    assert parts == pytest.approx(whole, rel=1e-6)
    torch.testing.assert_close(got, want, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_attention_kernel_changes_rounding_only(
    model: AudioInteractionModel, spec: StreamSpec, samples: list[StreamSample], dtype: torch.dtype
) -> None:
    """Against the plain computation in float32; bfloat16 keeps 8 bits, over some ten sums."""
    batches = cut(samples, spec, 4)
    allowed = torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed()
    want_loss, want = gradients(model, batches)
    got_loss, got = gradients(model, batches, dtype)
    near = 1e-5 if dtype == torch.float32 else 10 * 2**-8
    assert got_loss == pytest.approx(want_loss, rel=near)
    assert (got - want).norm() < near * want.norm()
    assert torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed() == allowed


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="stream_weight"):
        LossConfig(stream_weight=-0.1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_recomputed_activations_give_the_same_gradients(
    model: AudioInteractionModel, spec: StreamSpec, samples: list[StreamSample], dtype: torch.dtype
) -> None:
    batches = cut(samples, spec, 4)
    model.train()
    whole, want = gradients(model, batches, dtype)
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    model.recompute_activations(share=1.0)
    for module in (model.lm.model.layers[0].mlp.up_proj, model.encoder.layers[0].fc1):
        module.register_forward_hook(count)
    parts, got = gradients(model, batches, dtype)
    assert calls == 2 * 2 * len(batches), "each layer runs again in the backward pass"
    assert parts == pytest.approx(whole, rel=1e-6)
    torch.testing.assert_close(got, want, atol=1e-6, rtol=1e-4)


def test_a_share_of_the_layers_is_recomputed(model: AudioInteractionModel) -> None:
    layers = model.lm.model.layers
    for share, recomputed in ((0.0, 0), (0.5, len(layers) // 2), (1.0, len(layers))):
        model.recompute_activations(share)
        assert [layer.gradient_checkpointing for layer in layers].count(True) == recomputed
        assert not recomputed or layers[-1].gradient_checkpointing
