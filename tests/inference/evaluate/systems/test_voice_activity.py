"""The voice-activity baseline on real speech and on noise."""

from __future__ import annotations

import numpy as np
import pytest

from inference.evaluate.systems.voice_activity import (
    VoiceActivity,
    is_installed,
    speech_probabilities,
)
from soundflow.audio.files import read_audio
from soundflow.protocol.timebase import TimeBase

TIME = TimeBase()

if not is_installed():
    pytest.skip("needs the extra 'asr'", allow_module_level=True)


def test_it_replies_once_speech_has_ended(shared):
    speech = read_audio(next((shared / "data" / "speech").rglob("*.flac")))[: 4 * 16_000]
    quiet = np.zeros(2 * 16_000, np.float32)
    replies = VoiceActivity(TIME, silence_s=0.6)(np.concatenate((quiet, speech, quiet))).replies
    assert replies
    end_s = 2.0 + len(speech) / 16_000
    # Recordings may end in a little silence of their own.
    assert end_s <= replies[-1].at_samples / 16_000 <= end_s + 1.3


def test_noise_is_no_speech():
    noise = np.random.default_rng(0).normal(0, 0.01, 5 * 16_000).astype(np.float32)
    assert not VoiceActivity(TIME)(noise).replies
    assert len(speech_probabilities(noise)) == -(-len(noise) // 512)
    assert not VoiceActivity(TIME)(np.zeros(0, np.float32)).replies
