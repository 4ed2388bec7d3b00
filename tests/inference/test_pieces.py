"""Events as JSON, sampling, packets, latency: the small parts of the engine."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inference import events as ev
from inference.decoder.sampling import SamplingConfig
from inference.hardware import hardware
from inference.infer.transcript import bar
from inference.latency import ChunkCost, chunk_costs, measure
from inference.packets import PacketResampler, as_float32, cut
from inference.passes.sampler import Draw, Sampler
from soundflow.errors import UserError
from soundflow.protocol.dialogue_state import Speaking, legal
from soundflow.protocol.spec import StreamSpec
from soundflow.protocol.timebase import TimeBase
from soundflow.text.tiny import tiny_tokenizer

TIME = TimeBase()

EVENTS = [
    ev.Decided(3, 1.6, 0.25, False, False, 1.0, 1.5),
    ev.Decided(4, 2.0, 0.5, False, True),
    ev.ReplyStarted(4, 2.0, "urgent", wall_s=2.0),
    ev.ReplyText(4, 2.0, 77, "né", 2.5),
    ev.ReplyEnded(4, 2.0, "urgent", "né", "end", 3.0),
    ev.ChunkDropped(5, 2.4, 3.5),
    ev.MemoryTrimmed(6, 2.8, 3, 14.4, 3.6),
    ev.ReplyTruncated(4, 2.0, "n", 3.7),
    ev.Overloaded(6, 2.8, 2.25, 3.8),
    ev.SessionFailed(6, 2.8, "not_finite", "NaN", "try fp32", 3.9),
    ev.SessionEnded(7, 1.9375, 31_000, 1, 3, 2, 4.0),
]


@pytest.mark.parametrize("event", EVENTS)
def test_events_survive_json(event):
    assert ev.from_json(json.loads(json.dumps(ev.to_json(event)))) == event


def test_clocks_take_no_part_in_comparison():
    once = ev.Decided(1, 0.8, 0.5, True, False, 1.0, 2.0)
    assert once == ev.Decided(1, 0.8, 0.5, True, False, 8.0, 9.0)
    assert once != ev.Decided(1, 1.2, 0.5, True, False, 1.0, 2.0)


@pytest.mark.parametrize("bad", [{}, {"event": "sang"}, {"event": "reply_started", "tone": 1}])
def test_foreign_json_is_refused(bad):
    with pytest.raises(ValueError, match="not a session event"):
        ev.from_json(bad)


TABLE = tiny_tokenizer().table
SAMPLER = Sampler(TABLE, torch.device("cpu"))
WORDS, EMOTIONS = legal(Speaking(1), TABLE), legal(Speaking(0), TABLE)


def draw(logits, config, uniform=0.5, emotion=False):
    return int(SAMPLER.draw(logits[None], [Draw(config, uniform, emotion)])[0])


def test_greedy_takes_the_best_legal_token():
    logits = torch.zeros(TABLE.vocab_size)
    logits[TABLE.keep_silence], logits[TABLE.sad], logits[300] = 9.0, 4.0, 3.0
    greedy = SamplingConfig(temperature=0.0)
    assert draw(logits, greedy) == 300
    assert draw(logits, greedy, emotion=True) == TABLE.sad


@given(
    st.integers(0, 10_000), st.floats(0.05, 5.0), st.integers(1, 8), st.floats(0.01, 1.0),
    st.floats(0, 1, exclude_max=True), st.booleans(),
)  # fmt: skip
def test_sampling_stays_legal_and_within_top_k_and_top_p(seed, heat, top_k, top_p, u, emotion):
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(size=TABLE.vocab_size).astype(np.float32))
    token = draw(logits, SamplingConfig(heat, top_k, top_p=top_p), u, emotion)
    state = EMOTIONS if emotion else WORDS
    assert state.allows(token)
    allowed = [i for i in range(TABLE.vocab_size) if state.allows(i)]
    best = sorted(allowed, key=lambda i: -float(logits[i]))[:top_k]
    shares = torch.softmax(logits[best].double() / heat, 0)
    at = best.index(token)
    assert float(shares[:at].sum()) < top_p + 1e-9


def test_sampling_follows_the_softmax():
    logits = torch.full((TABLE.vocab_size,), -30.0)
    logits[300:303] = torch.tensor([2.0, 1.0, 0.0])
    config, rng = SamplingConfig(temperature=0.7, top_k=3), np.random.default_rng(0)
    draws = [Draw(config, float(rng.random()), False) for _ in range(8000)]
    drawn = SAMPLER.draw(logits.expand(8000, -1), draws).numpy().astype(int)
    expected = torch.softmax(logits[300:303] / 0.7, 0).numpy()
    assert np.bincount(drawn, minlength=303)[300:303] / 8000 == pytest.approx(expected, abs=0.02)


def test_rows_of_a_batch_are_drawn_as_alone():
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.normal(size=(6, TABLE.vocab_size)).astype(np.float32))
    draws = [
        Draw(SamplingConfig(t, k, top_p=p), float(rng.random()), i % 2 == 0)
        for i, (t, k, p) in enumerate([(0, 3, 1), (1, 5, 0.5), (2, 8, 1), (0.3, 1, 1)] * 2)
    ][:6]
    together = SAMPLER.draw(logits, draws).tolist()
    assert together == [
        float(SAMPLER.draw(r[None], [d])[0]) for r, d in zip(logits, draws, strict=True)
    ]


def test_logits_that_are_no_numbers_give_none():
    logits = torch.zeros(2, TABLE.vocab_size)
    logits[0, 5] = float("nan")
    drawn = SAMPLER.draw(logits, [Draw(SamplingConfig(), 0.5, False)] * 2)
    assert drawn.isfinite().tolist() == [False, True]


@settings(deadline=None)
@given(st.lists(st.integers(1, 999), min_size=1, max_size=20), st.sampled_from([8_000, 44_100]))
def test_resampling_has_no_seams(sizes, rate):
    rng = np.random.default_rng(0)
    audio = rng.normal(0, 0.1, sum(sizes)).astype(np.float32)

    def resampled(parts):
        stream = PacketResampler(rate, 16_000)
        return np.concatenate([*(stream.push(p) for p in parts), stream.finish()])

    pieces = np.split(audio, np.cumsum(sizes)[:-1])
    whole = resampled([audio])
    assert np.allclose(resampled(pieces), whole, atol=1e-6)
    assert abs(len(whole) - len(audio) * 16_000 / rate) <= 1


def test_packets_are_floats_or_int16():
    pcm = np.array([-32768, 0, 16384], np.int16)
    assert as_float32(pcm).tolist() == [-1.0, 0.0, 0.5]
    assert as_float32([0.25, -1.0]).dtype == np.float32
    assert as_float32(np.array([1.2], np.float32)).tolist() == pytest.approx([1.2])  # overshoot


@pytest.mark.parametrize(
    ("packet", "message"),
    [
        (np.zeros((2, 5), np.float32), r"mono packet of shape \(n,\), got \(2, 5\)"),
        (np.zeros(4, np.int32), "float32 or int16, got int32"),
        (np.zeros(4, np.uint8), "got uint8"),
        (np.zeros(4, np.complex64), "got complex64"),
        (np.array([0.0, np.nan], np.float32), "NaN"),
        (np.array([0.0, np.inf], np.float32), "NaN or infinity"),
        (np.array([0.0, -3000.0], np.float32), r"\[-1, 1\], got 3000"),
    ],
)
def test_other_packets_are_refused(packet, message):
    with pytest.raises(UserError, match=message):
        as_float32(packet)


def test_packets_cover_everything_once():
    assert [len(p) for p in cut(np.zeros(5, np.float32), 2)] == [2, 2, 1]


def test_a_slow_chunk_makes_the_next_ones_wait():
    """Decisions of 0.1 s, but one of 1.0 s: the chunk behind it is late, then all is well."""
    costs = [ChunkCost(0.1), ChunkCost(1.0), ChunkCost(0.1), ChunkCost(0.1), ChunkCost(0.1)]
    found = measure([costs], StreamSpec("x"), hardware())
    look_ahead = 40 / 16_000
    assert found.first_chunk_s == pytest.approx(0.1 + look_ahead)
    # Waits: .1025, 1.0025, 1.8025 + .1 - 1.2, 1.9025 + .1 - 1.6, .1025: two pass 0.4 s by much.
    assert found.missed_deadlines == pytest.approx(3 / 5)
    assert found.real_time_factor == pytest.approx(1.4 / 2.0)
    assert "torch" in found.hardware


def test_what_is_said_during_a_reply_waits_for_its_end():
    """A reply of 0.9 s begins at 0.5 s: the chunk of 0.8 s is decided at 1.5 s."""
    costs = [ChunkCost(0.1, (0.9,)), ChunkCost(0.1), ChunkCost(0.1), ChunkCost(0.1)]
    found = measure([costs, costs[1:]], StreamSpec("x"), "here")
    assert found.yield_p50_s == found.yield_p95_s == pytest.approx(0.7 + 40 / 16_000)


def test_latency_of_nothing_is_null():
    found = measure([], StreamSpec("x"), "here")
    assert found.first_chunk_s is None
    assert found.yield_p50_s is None
    assert found.missed_deadlines is None
    assert found.real_time_factor is None
    assert found.stall is None


def test_waiting_for_audio_is_not_work():
    events = [ev.Decided(0, 0.4, 0.1, False, False, 10.0, 10.2), *_turn(1, 50.0)]
    costs = chunk_costs(events)
    assert costs[0].decide_s == pytest.approx(0.2)
    assert costs[1].total_s == pytest.approx(0.1 + 0.3 + 0.6)


def test_stall_counts_tokens_slower_than_speech():
    costs = chunk_costs(_turn(0, 0.0))
    # Gaps of 0.3 s and 0.6 s against 0.25 s a token.
    assert measure([costs], StreamSpec("x"), "here").stall == pytest.approx(0.4 / 0.9)


def _turn(chunk: int, at: float) -> list[ev.SessionEvent]:
    return [
        ev.Decided(chunk, 0.4, 0.9, True, False, at, at + 0.1),
        ev.ReplyStarted(chunk, 0.4, "normal", wall_s=at + 0.4),
        ev.MemoryTrimmed(chunk, 0.4, 2, 0.8, at + 0.9),  # part of what the next token cost
        ev.ReplyText(chunk, 0.4, 1, "a", at + 1.0),
    ]


@pytest.mark.parametrize(("share", "cells"), [(0.0, ""), (1.0, "█" * 10), (0.55, "█" * 5 + "▌")])
def test_bar(share, cells):
    assert bar(share).rstrip() == cells
    assert len(bar(share)) == 10
