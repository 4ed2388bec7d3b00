"""Rows in, hidden states out: padding, caches and the future leave the past alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from soundflow.data.collate import collate, stream_features
from soundflow.model.config import ModelConfig
from soundflow.model.interaction import AudioInteractionModel
from soundflow.protocol.layout import Role
from soundflow.protocol.spec import StreamSpec
from soundflow.shards.schema import StreamSample

ROUNDING = 2e-5  # float32, logits of order 1, sums in another order

Make = Callable[..., StreamSample]


@pytest.fixture(scope="module")
def model(small_model: ModelConfig, spec: StreamSpec) -> AudioInteractionModel:
    torch.manual_seed(0)
    return AudioInteractionModel(small_model, spec.tokens).eval()


@torch.no_grad()
def test_right_padding_changes_nothing(
    model: AudioInteractionModel, spec: StreamSpec, make_tone_stream: Make, make_text_stream: Make
) -> None:
    rows = [stream_features(s, spec) for s in (make_tone_stream(0, 3), make_text_stream(1),
                                    make_tone_stream(1, 6))]  # fmt: skip
    together = collate(rows, spec)
    hidden = model(together.ids, together.mel)
    for row, alone in enumerate(rows):
        single = collate([alone], spec)
        length = len(rows[row].ids)
        want = model.logits(model(single.ids, single.mel)[0])
        got = model.logits(hidden[row, :length])
        torch.testing.assert_close(got, want, atol=ROUNDING, rtol=0)


@torch.no_grad()
def test_the_future_never_changes_the_past(
    model: AudioInteractionModel, spec: StreamSpec, make_tone_stream: Make
) -> None:
    heard = collate([stream_features(make_tone_stream(0, 5), spec)], spec)
    other = heard.mel.clone()
    other[3:] = torch.randn_like(other[3:])
    before_chunk_3 = int((heard.ids[0] == spec.tokens.audio_begin).nonzero()[3])
    a, b = model(heard.ids, heard.mel)[0], model(heard.ids, other)[0]
    torch.testing.assert_close(a[:before_chunk_3], b[:before_chunk_3], atol=0, rtol=0)
    assert (a[before_chunk_3 + 1 :] - b[before_chunk_3 + 1 :]).abs().max() > 1e-3


@torch.no_grad()
def test_live_decoding_sees_the_training_logits(
    model: AudioInteractionModel, spec: StreamSpec, make_tone_stream: Make
) -> None:
    """Chunk by chunk through a cache = one forward pass, at every decision."""
    heard = collate([stream_features(make_tone_stream(0, 5), spec)], spec)
    want = model.logits(model(heard.ids, heard.mel)[0])
    cache, got, start, chunk = model.new_cache(), [], 0, 0
    ids = heard.ids[0]
    ends = (heard.roles[0] == Role.DECISION).nonzero().flatten().tolist()
    for end in ends:  # everything before a decision, as the engine appends it
        piece = ids[start:end].unsqueeze(0)
        slots = model.encode(heard.mel[chunk : chunk + 1])
        hidden = model.hidden(model.embed(piece, slots), cache=cache)
        got.append(model.logits(hidden[0, -1]))
        start, chunk = end, chunk + 1
    decided = want[torch.tensor(ends) - 1]
    torch.testing.assert_close(torch.stack(got), decided, atol=ROUNDING, rtol=0)


@torch.no_grad()
def test_packed_streams_do_not_see_each_other(
    model: AudioInteractionModel, spec: StreamSpec, make_tone_stream: Make
) -> None:
    a, b = (collate([stream_features(make_tone_stream(i, 3 + i), spec)], spec) for i in (0, 1))
    ids = torch.cat([a.ids, b.ids], dim=1)
    positions = torch.cat([torch.arange(a.ids.shape[1]), torch.arange(b.ids.shape[1])])
    embeds = model.embed(ids, model.encode(torch.cat([a.mel, b.mel])))
    packed = model.hidden(embeds, position_ids=positions.unsqueeze(0))[0]
    want = torch.cat([model(a.ids, a.mel)[0], model(b.ids, b.mel)[0]])
    torch.testing.assert_close(packed, want, atol=ROUNDING, rtol=0)


def test_slots_and_positions_must_agree(
    model: AudioInteractionModel, spec: StreamSpec, make_tone_stream: Make
) -> None:
    heard = collate([stream_features(make_tone_stream(0, 3), spec)], spec)
    with pytest.raises(ValueError, match="20 encoder outputs for 30 audio slots"):
        model(heard.ids, heard.mel[:2])
    with pytest.raises(ValueError, match="0 encoder outputs for 30"):
        model.embed(heard.ids)


def test_a_row_without_audio_still_reaches_the_tower(
    model: AudioInteractionModel, spec: StreamSpec, make_text_stream: Make
) -> None:
    text = collate([stream_features(make_text_stream(1), spec)], spec)
    model.zero_grad()
    model(text.ids, text.mel).sum().backward()
    grads = [p.grad for p in model.parameters() if p.requires_grad]
    assert all(g is not None for g in grads)
    assert model.encoder.proj.weight.grad.abs().sum() == 0
    model.zero_grad()
