"""A session: packets in, events out."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.decoder.policy import ForcedPolicy
from inference.decoder.sampling import SamplingConfig
from inference.events import (
    Decided,
    MemoryTrimmed,
    ReplyEnded,
    ReplyStarted,
    ReplyText,
    SessionEnded,
)
from inference.limits import NonFiniteLogitsError, TimedOutError
from inference.packets import cut
from inference.passes.model_runner import ModelRunner
from inference.profiles import Profile
from inference.sessions.config import SessionConfig
from inference.sessions.lockstep import Lockstep, warm_up
from inference.sessions.offline_decode import OfflineStream, decode_streams
from soundflow.audio.frontend import log_mel
from soundflow.errors import UserError
from soundflow.protocol import layout
from tests.inference.engines import make_engine, remembered_ids

ENGINE = make_engine()
SHORT = SamplingConfig(temperature=0.0, max_reply_tokens=5)


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    loud = np.repeat(rng.uniform(0.001, 0.3, 40), 1600)[: round(seconds * 16_000)]
    return (rng.standard_normal(len(loud)) * loud).astype(np.float32)


def run(audio, cuts=(), engine=ENGINE, config=None, policy=None):
    session = Lockstep(engine, config or SessionConfig(sampling=SHORT), policy)
    events = []
    for part in np.split(audio, sorted(cuts)):
        events += session.push(part)
    return events + session.close()


WHOLE = run(noise(3.0))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 48_000), max_size=30))
def test_packets_change_nothing_bit_for_bit(cuts):
    assert run(noise(3.0), cuts) == WHOLE


def test_one_sample_at_a_time():
    audio = noise(0.45)
    assert run(audio, range(1, len(audio))) == run(audio)


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 7), st.integers(0, 1000))
def test_the_future_never_changes_the_past(chunks, seed):
    audio = noise(3.0)
    other = audio.copy()
    changed_from = chunks * 6400 + 40  # the look-ahead of the log-mel
    other[changed_from:] = noise(3.0, seed + 1)[changed_from:]
    past = [e for e in run(other) if not isinstance(e, SessionEnded) and e.chunk < chunks]
    assert past == [e for e in WHOLE if not isinstance(e, SessionEnded) and e.chunk < chunks]


def test_every_chunk_is_decided_on_and_every_reply_is_whole():
    decided = [e for e in WHOLE if isinstance(e, Decided)]
    assert [e.chunk for e in decided] == list(range(8))
    assert WHOLE[-1] == SessionEnded(8, 3.0, 48_000)
    spoke = [e.chunk for e in decided if e.speak]
    assert spoke, "the fixture engine must speak somewhere for this test to mean anything"
    assert [e.chunk for e in WHOLE if isinstance(e, ReplyStarted)] == spoke
    ended = [e for e in WHOLE if isinstance(e, ReplyEnded)]
    assert [e.chunk for e in ended] == spoke
    for reply in ended:
        tokens = [e.token for e in WHOLE if isinstance(e, ReplyText) and e.chunk == reply.chunk]
        assert reply.text == ENGINE.tokenizer.decode(tokens)
        assert len(tokens) <= 5
        assert reply.reason == ("limit" if len(tokens) == 5 else "end")


def test_threshold_zero_always_speaks_and_above_all_never():
    always = run(noise(1.2), config=SessionConfig(threshold=0.0, sampling=SHORT))
    assert all(e.speak for e in always if isinstance(e, Decided))
    never = run(noise(1.2), config=SessionConfig(threshold=1.0, sampling=SHORT))
    assert not any(e.speak for e in never if isinstance(e, Decided))


def test_streams_side_by_side_do_as_alone():
    audios = [noise(s, i) for i, s in enumerate((3.0, 1.1, 2.2, 0.3))]
    batch = [OfflineStream(_slots(a), SessionConfig(sampling=SHORT)) for a in audios]
    found = dict(decode_streams(ENGINE, batch, 2))  # the third takes the place of the first to end
    for audio, beside in zip(audios, (found[k] for k in range(4)), strict=True):
        _assert_same(beside.events, run(audio))


@pytest.mark.parametrize("packet_chunks", [1, 7])
def test_streams_that_outgrow_the_memory_are_trimmed_as_a_session_is(packet_chunks):
    """At the same chunks, whatever is computed ahead and however many packets there were."""
    small = make_engine(max_positions=160)
    audios = [noise(s, i) for i, s in enumerate((12.0, 8.3, 0.7))]
    config = SessionConfig("", sampling=SHORT)
    batch = [OfflineStream(_slots(a), config) for a in audios]
    found = dict(decode_streams(small, batch, 3))
    for audio, beside in zip(audios, (found[k] for k in range(3)), strict=True):
        alone = Lockstep(small, config)
        packets = cut(audio, packet_chunks * small.spec.time.chunk_samples)
        events = [e for packet in packets for e in alone.push(packet)] + alone.close()
        _assert_same(beside.events, events)
        assert len(audio) < 100_000 or any(isinstance(e, MemoryTrimmed) for e in events)


def test_a_stream_that_takes_too_long_ends_alone():
    ticks = iter(range(10_000))
    batch = [OfflineStream(_slots(noise(s)), SessionConfig(sampling=SHORT)) for s in (6.0, 0.5)]
    (_, short), (_, long) = decode_streams(ENGINE, batch, 2, 12.0, clock=lambda: next(ticks))
    assert isinstance(long.error, TimedOutError)
    assert long.events, "what came before counts"
    assert short.error is None


def _assert_same(beside, session_events):
    alone = [e for e in session_events if not isinstance(e, SessionEnded)]
    assert [_plain(e) for e in beside] == [_plain(e) for e in alone]
    odds = [(a.p_response, b.p_response) for a, b in zip(alone, beside, strict=True)
            if isinstance(a, Decided)]  # fmt: skip
    assert np.allclose(*np.array(odds).T, atol=1e-5)


def test_memory_is_bounded_however_long_the_session():
    small = make_engine(max_positions=128)
    session = Lockstep(small, SessionConfig(sampling=SHORT))
    used = []
    for i in range(60):
        session.push(noise(0.4, i))
        used.append(session.executor.memory(1).length)
    assert max(used) <= 128
    assert session.executor.memory(1).length > len(small.prefix_ids())


def test_same_seed_same_words_other_seed_others():
    def words(seed: int) -> list[str]:
        hot = SamplingConfig(temperature=5.0, top_k=50, max_reply_tokens=8, seed=seed)
        config = SessionConfig(threshold=0.0, sampling=hot)
        return [e.text for e in run(noise(1.2), config=config) if isinstance(e, ReplyEnded)]

    assert words(1) == words(1)
    assert words(1) != words(2)


def test_a_closed_session_refuses():
    session = Lockstep(ENGINE)
    session.close()
    for misuse in (lambda: session.push(noise(0.1)), session.close, session.interrupt):
        with pytest.raises(RuntimeError, match="closed"):
            misuse()


@pytest.mark.parametrize(
    "bad", [np.full(10, np.nan), np.zeros((2, 5)), np.zeros(10, np.int32), np.full(10, 200.0)]
)
def test_bad_packets_are_refused(bad):
    with pytest.raises(UserError):
        Lockstep(ENGINE).push(bad)


def test_int16_is_the_same_audio():
    pcm = np.round(noise(1.0).clip(-1, 0.99) * 32768).astype(np.int16)
    assert run(pcm) == run(pcm.astype(np.float32) / 32768)


@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_logits_that_are_no_numbers_have_a_name(threshold):
    """Weights that overflow: at a decision, and in a reply, where decisions are still fine."""
    broken = make_engine(seed=1)
    config = SessionConfig(threshold=threshold, sampling=SHORT)
    head = broken.model.lm.lm_head.weight
    table = broken.spec.tokens
    with torch.no_grad():
        kept = head[[table.keep_silence, table.text_begin]].clone()
        head[:] = float("nan")
        if threshold == 0.0:
            head[[table.keep_silence, table.text_begin]] = kept
    with pytest.raises(NonFiniteLogitsError, match="NaN or infinity at chunk 0"):
        run(noise(1.0), engine=broken, config=config)


def test_profiles_of_two_engines_do_not_disturb_each_other():
    """One model, two engines; float16 merges positions beyond 2048, so a long memory shows it."""
    ours = make_engine(max_positions=8192)
    theirs = replace(ours, profile=Profile(positions="half"))
    config = SessionConfig(threshold=1.0, system="word " * 2100, sampling=SHORT)

    def odds(engine):
        session = Lockstep(engine, config)
        return session, [e.p_response for e in session.push(noise(1.6)) if isinstance(e, Decided)]

    first, alone = odds(ours)
    assert first.executor.memory(1).length > 2048
    second, rounded = odds(theirs)
    assert rounded != alone
    # Side by side, packet by packet: each goes on as it does alone.
    more = [s.push(noise(0.8, 7)) for s in (first, second, first, second)]
    again = [odds(engine)[0] for engine in (ours, theirs)]
    assert more[0] + more[2] == again[0].push(noise(0.8, 7)) + again[0].push(noise(0.8, 7))
    assert more[1] + more[3] == again[1].push(noise(0.8, 7)) + again[1].push(noise(0.8, 7))


def test_an_engine_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        ENGINE.profile = Profile(positions="half")


def test_a_full_memory_says_what_it_dropped():
    small = make_engine(max_positions=128)
    session = Lockstep(small, SessionConfig(sampling=SHORT))
    events = [e for i in range(20) for e in session.push(noise(0.4, i))] + session.close()
    trimmed = [e for e in events if isinstance(e, MemoryTrimmed)]
    assert trimmed
    assert sum(e.blocks for e in trimmed) == events[-1].trimmed_blocks
    assert events[-1].dropped_chunks == 0


def test_warming_up_says_nothing_of_its_own(monkeypatch):
    """One chunk and a reply without words: two tokens, whatever the model would like to say."""
    fed = []
    stock = ModelRunner.run
    monkeypatch.setattr(
        ModelRunner, "run", lambda self, requests: fed.extend(requests) or stock(self, requests)
    )
    warm_up(ENGINE)
    assert [len(request.step.ids) for request in fed] == [12, 1, 1]


def test_an_empty_session_ends():
    assert Lockstep(ENGINE).close() == [SessionEnded(0, 0.0, 0)]


def test_an_interruption_while_listening_is_nothing():
    assert Lockstep(ENGINE).interrupt() == []


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="threshold"):
        SessionConfig(threshold=1.5)
    with pytest.raises(ValueError, match="temperature"):
        SamplingConfig(temperature=-1.0)
    with pytest.raises(UserError, match=r"instruction is too long.*\d+ are needed.*to 1024"):
        Lockstep(ENGINE, SessionConfig(system="word " * 2000))


def test_forced_replies_lay_out_what_training_lays_out():
    """The live memory holds, token for token, the layout of the builder."""
    table, text = ENGINE.spec.tokens, ENGINE.tokenizer.encode("Light on.")
    said = layout.reply(table, text, "urgent").ids[1:]
    session = Lockstep(ENGINE, policy=ForcedPolicy({1: said}))
    events = session.push(noise(2.0))
    whole = layout.online_stream(
        table, 10, ENGINE.tokenizer.encode(ENGINE.system), 4, {1: (text, "urgent")}
    ).ids
    # The last decision is taken but not yet fed: nothing has come after it.
    assert remembered_ids(session.executor.memory(1)) == whole[:-1]
    ended = next(e for e in events if isinstance(e, ReplyEnded))
    assert (ended.text, ended.emotion, ended.reason) == ("Light on.", "urgent", "end")


def _slots(audio):
    mel = log_mel(audio, ENGINE.spec.time, ENGINE.spec.front_end)
    with torch.inference_mode():
        return ENGINE.model.encode(torch.from_numpy(mel))


def _plain(event):
    """The event without its odds, which differ by rounding between batches."""
    return (type(event), event.chunk, getattr(event, "speak", None), getattr(event, "text", None))
