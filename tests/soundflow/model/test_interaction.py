"""Rows in, hidden states out: neighbours, caches and the future leave the past alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from soundflow.data.batch import Batch, packed
from soundflow.data.features import stream_features
from soundflow.model.attention import Segments
from soundflow.model.config import ModelConfig
from soundflow.model.interaction import AudioInteractionModel
from soundflow.protocol.spec import StreamSpec
from soundflow.shards.schema import StreamSample

ROUNDING = 2e-5  # float32, logits of order 1, sums in another order

Make = Callable[..., StreamSample]


@pytest.fixture(scope="module")
def model(small_model: ModelConfig, spec: StreamSpec) -> AudioInteractionModel:
    torch.manual_seed(0)
    return AudioInteractionModel(small_model, spec.tokens).eval()


def states(model: AudioInteractionModel, row: Batch) -> torch.Tensor:
    segments = Segments.of(row.starts, row.lengths)
    return model(row.ids, row.positions, segments, row.slots, row.mel)


@torch.no_grad()
def test_packed_streams_do_not_see_each_other(
    model: AudioInteractionModel, spec: StreamSpec, make_tone_stream: Make, make_text_stream: Make
) -> None:
    """Each as it is alone, through the path of live decoding; two of equal length share a call."""
    streams = [stream_features(s, spec) for s in (
        make_tone_stream(0, 3), make_text_stream(1), make_tone_stream(1, 6), make_tone_stream(3, 6)
    )]  # fmt: skip
    row = packed(streams, spec)
    hidden = states(model, row)
    for alone, got in zip(streams, hidden.split(row.lengths), strict=True):
        ids = torch.from_numpy(alone.ids).long()[None]
        slots = model.encode(torch.from_numpy(alone.mel)) if len(alone.mel) else None
        want = model.logits(model.hidden(model.embed(ids, slots))[0])
        torch.testing.assert_close(model.logits(got), want, atol=ROUNDING, rtol=0)


@torch.no_grad()
def test_the_future_never_changes_the_past(
    model: AudioInteractionModel, spec: StreamSpec, make_tone_stream: Make
) -> None:
    row = packed([stream_features(make_tone_stream(0, 5), spec)], spec)
    other = row.mel.clone()
    other[3:] = torch.randn_like(other[3:])
    before_chunk_3 = int((row.ids == spec.tokens.audio_begin).nonzero()[3])
    a, b = states(model, row), states(model, replace(row, mel=other))
    torch.testing.assert_close(a[:before_chunk_3], b[:before_chunk_3], atol=0, rtol=0)
    assert (a[before_chunk_3 + 1 :] - b[before_chunk_3 + 1 :]).abs().max() > 1e-3


@torch.no_grad()
def test_live_decoding_sees_the_training_logits(
    model: AudioInteractionModel, spec: StreamSpec, make_tone_stream: Make
) -> None:
    """Chunk by chunk through a cache = one forward pass, at every decision."""
    row = packed([stream_features(make_tone_stream(0, 5), spec)], spec)
    decided = model.logits(states(model, row)[row.at[: row.decisions]])
    cache, got, start, chunk = model.new_cache(), [], 0, 0
    ends = (row.at[: row.decisions] + 1).tolist()
    for end in ends:  # everything before a decision, as the engine appends it
        piece = row.ids[start:end].unsqueeze(0)
        slots = model.encode(row.mel[chunk : chunk + 1])
        hidden = model.hidden(model.embed(piece, slots), cache=cache)
        got.append(model.logits(hidden[0, -1]))
        start, chunk = end, chunk + 1
    torch.testing.assert_close(torch.stack(got), decided, atol=ROUNDING, rtol=0)


def test_slots_and_positions_must_agree(
    model: AudioInteractionModel, spec: StreamSpec, make_tone_stream: Make
) -> None:
    row = packed([stream_features(make_tone_stream(0, 3), spec)], spec)
    ids, slots = row.ids[None], model.encode(row.mel[:2])
    with pytest.raises(ValueError, match="20 encoder outputs for 30 audio slots"):
        model.embed(ids, slots)
    with pytest.raises(ValueError, match="0 encoder outputs for 30"):
        model.embed(ids)


def test_a_row_without_audio_still_reaches_the_tower(
    model: AudioInteractionModel, spec: StreamSpec, make_text_stream: Make
) -> None:
    text = packed([stream_features(make_text_stream(1), spec)], spec)
    model.zero_grad()
    states(model, text).sum().backward()
    grads = [p.grad for p in model.parameters() if p.requires_grad]
    assert all(g is not None for g in grads)
    assert model.encoder.proj.weight.grad.abs().sum() == 0
    model.zero_grad()
