"""The parts without a socket: encodings, allowance, the update of a session."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.serve.allowance import Allowance
from inference.serve.encodings import AudioInput
from inference.serve.faults import Fault
from inference.serve.realtime_messages import AtThreshold, RealtimeSession, parse, updated
from soundflow.protocol.timebase import SAMPLE_RATE_HZ

SESSION = RealtimeSession("sess_1", "soundflow", "Listen.")


def test_g711_is_that_of_the_recommendation() -> None:
    """Values of ITU-T G.711, tables 1a and 2a: the ends and the middle of the range."""
    mulaw = AudioInput("mulaw", 0, 8000).decode(bytes([0x00, 0x80, 0x7F, 0xFF]))[0] * 32768
    assert mulaw.tolist() == [-32124, 32124, 0, 0]
    alaw = AudioInput("alaw", 0, 8000).decode(bytes([0x2A, 0xAA, 0x55, 0xD5]))[0] * 32768
    assert alaw.tolist() == [-32256, 32256, -8, 8]


@given(st.lists(st.integers(0, 4000), max_size=12))
def test_messages_of_any_size_make_the_same_audio(cuts: list[int]) -> None:
    pcm = (np.random.default_rng(0).standard_normal(4000) * 3000).astype("<i2")
    whole = AudioInput("pcm16", 24_000, SAMPLE_RATE_HZ)
    expected = np.concatenate([whole.decode(pcm.tobytes())[0], whole.finish()])
    parts = AudioInput("pcm16", 24_000, SAMPLE_RATE_HZ)
    pieces = [parts.decode(p.tobytes())[0] for p in np.split(pcm, sorted(cuts))]
    found = np.concatenate([*pieces, parts.finish()])
    assert len(found) == len(expected) == round(4000 * 2 / 3)
    assert np.abs(found - expected).max() < 1e-4


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10)), max_size=40))
def test_nobody_gets_more_than_the_allowance(asked: list[tuple[float, float]]) -> None:
    allowance, now, taken = Allowance(2.0, 5.0), 0.0, 0.0
    for wait, amount in asked:
        now += wait
        taken += amount if allowance.take(amount, now) else 0.0
        assert taken <= 5.0 + 2.0 * now + 1e-9


def test_an_update_changes_what_it_names() -> None:
    changes = {"audio": {"input": {"turn_detection": {"type": "server_vad", "threshold": 0.9}}}}
    found = updated(SESSION, changes, None)
    assert found.audio.input.turn_detection == AtThreshold(threshold=0.9)
    assert found.instructions == "Listen."
    assert updated(found, {"instructions": ""}, None).audio == found.audio
    again = updated(found, {"audio": {"input": {"format": {"type": "audio/pcmu"}}}}, None)
    assert again.audio.input.turn_detection == AtThreshold(threshold=0.9)
    plain = updated(found, {"audio": {"input": {"turn_detection": {"type": "semantic_vad"}}}}, None)
    bare = updated(plain, {"audio": {"input": {"turn_detection": {"type": "server_vad"}}}}, None)
    assert bare.audio.input.turn_detection == AtThreshold()
    with pytest.raises(Fault, match=r"session\.id cannot be set"):
        updated(SESSION, {"id": "x"}, None)


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_no_message_is_a_defect(message: bytes | str) -> None:
    with pytest.raises(Fault):
        parse(message)
