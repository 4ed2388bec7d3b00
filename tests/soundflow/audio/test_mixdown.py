"""Channels become one: what cancels, is dead or carries an offset is noticed and said."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundflow.audio.files import read_audio, read_recording
from soundflow.errors import UserError
from tests.soundflow.audio.encoded import RATE, SECONDS, Float32, chirps, encode


def wav(samples: Float32, rate_hz: int = RATE) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


def test_opposite_channels_are_not_summed_to_silence(signal: Float32) -> None:
    for factor in (-1.0, -0.9, -0.5):
        heard = read_recording(wav(np.stack([signal, factor * signal], axis=1)))
        np.testing.assert_allclose(heard.samples, signal, atol=1e-6)
        assert heard.warnings == ("its channels cancel each other: channel 1 is used alone",)


def test_channels_that_cancel_for_a_while_are_noticed(signal: Float32) -> None:
    right = signal.copy()
    right[:32_000] *= -1
    heard = read_recording(wav(np.stack([0.8 * right, signal], axis=1)))
    np.testing.assert_allclose(heard.samples, signal, atol=1e-6)
    assert "cancel" in heard.warnings[0]


def test_a_dead_channel_does_not_halve_the_level(signal: Float32) -> None:
    for dead in (np.zeros_like(signal), np.full_like(signal, 0.1), signal * 1e-4):
        heard = read_recording(wav(np.stack([dead, signal], axis=1)))
        np.testing.assert_allclose(heard.samples, signal, atol=1e-6)
        assert heard.warnings == ("channel 1 is silent: used 2",)


def test_related_and_unrelated_channels_are_averaged(signal: Float32) -> None:
    for other in (signal, chirps(RATE, SECONDS, seed=5), 0.1 * signal):
        heard = read_recording(wav(np.stack([signal, other], axis=1)))
        np.testing.assert_allclose(heard.samples, (signal + other) / 2, atol=1e-6)
        assert heard.warnings == ()
    silent = read_recording(wav(np.zeros((RATE, 2), np.float32)))
    assert not silent.samples.any()


def test_an_offset_and_a_second_track_are_said(signal: Float32, tmp_path: Path) -> None:
    assert "constant offset of +0.1" in read_recording(wav(signal + np.float32(0.1))).warnings[0]
    path = encode(tmp_path / "two.mkv", signal, RATE, "matroska", "flac", tracks=2)
    assert read_recording(path).warnings == ("it has 2 audio tracks: the first is used",)


@pytest.mark.parametrize(
    ("value", "said"),
    [(1e30, r"far beyond full scale \(1e\+30 times, at 1\.00 s\)"), (20_000.0, "divided by 32768"),
     (np.nan, r"NaN or infinity \(at 1\.00 s\)"), (-np.inf, "NaN or infinity")],
)  # fmt: skip
def test_samples_out_of_range_are_refused(value: float, said: str, signal: Float32) -> None:
    damaged = signal.copy()
    damaged[RATE] = value
    with pytest.raises(UserError, match=said):
        read_audio(wav(damaged))
    loud = read_audio(wav(signal * 10))  # +10 dB over full scale is only loud
    np.testing.assert_allclose(loud, signal * 10, rtol=1e-6)


def test_warnings_reach_the_log(signal: Float32, caplog: pytest.LogCaptureFixture) -> None:
    read_audio(wav(np.stack([signal, -signal], axis=1)), name="talk.wav")
    assert caplog.messages == ["talk.wav: its channels cancel each other: channel 1 is used alone"]
