"""How loud a recording is, where it can be heard, and what counts as silence."""

from __future__ import annotations

import math

import numpy as np
import pytest

from soundflow.audio.level import (
    SILENT_DB,
    active_power,
    audible_span,
    block_power,
    db,
    gain_to,
    is_silent,
    without_dc,
)

RATE_HZ = 16_000
LSB = np.float32(1 / 32768)
RNG = np.random.default_rng(0)


def tone(seconds: float, amplitude: float, hz: float = 440.0) -> np.ndarray:
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return (amplitude * np.sin(2 * np.pi * hz * t)).astype(np.float32)


def speech_like(peak_db: float) -> np.ndarray:
    """Syllables of a buzz: four a second, with pauses between."""
    t = np.arange(2 * RATE_HZ) / RATE_HZ
    buzz = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 20))
    syllables = np.maximum(np.sin(2 * np.pi * 4 * t), 0.0) * buzz
    return (syllables / np.abs(syllables).max() * 10 ** (peak_db / 20)).astype(np.float32)


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(0, np.float32),
        np.zeros(RATE_HZ, np.float32),
        np.full(RATE_HZ, 0.3, np.float32),
        np.full(RATE_HZ, -1.0, np.float32),
        RNG.integers(-1, 2, RATE_HZ).astype(np.float32) * LSB,
        RNG.choice([-1, 1], RATE_HZ).astype(np.float32) * LSB,
        np.float32(0.1) + RNG.choice([-1, 1], RATE_HZ).astype(np.float32) * LSB,
    ],
    ids=["nothing", "zeros", "DC", "DC at full scale", "+-1 LSB", "square of 1 LSB", "DC and LSB"],
)
def test_what_holds_no_sound_is_silent(samples: np.ndarray) -> None:
    assert is_silent(samples)
    assert active_power(samples) == 0.0
    assert audible_span(samples) == (0, len(samples))
    assert gain_to(-20.0, active_power(samples)) == 0.0


@pytest.mark.parametrize("peak_db", [-80.0, -60.0, 0.0])
@pytest.mark.parametrize("offset", [0.0, 0.2])
def test_the_quietest_speech_is_not(peak_db: float, offset: float) -> None:
    pcm = np.rint(speech_like(peak_db) * 32768) / 32768
    assert not is_silent((pcm + offset).astype(np.float32))


def test_an_offset_changes_no_level() -> None:
    speech = speech_like(-20.0)
    shifted = (speech + np.float32(0.25)).astype(np.float32)
    assert active_power(shifted) == pytest.approx(active_power(speech), rel=1e-3)
    assert audible_span(shifted) == audible_span(speech)
    assert np.abs(without_dc(np.full(100, 0.5, np.float32))).max() == 0.0


def test_the_swings_of_a_short_sound_are_no_offset() -> None:
    t = np.arange(3_200)
    lopsided = 0.3 * np.square(np.sin(2 * np.pi * t / 133)).astype(np.float32)
    clip = np.concatenate([lopsided, np.zeros(3_200, np.float32)])
    assert audible_span(clip) == (0, 3_200)
    np.testing.assert_allclose(without_dc(clip + np.float32(0.1)), clip, atol=1e-6)


def test_the_audible_span_is_found_on_the_ten_ms_grid() -> None:
    samples = np.zeros(RATE_HZ, np.float32)
    samples[3_210:8_000] = tone(0.3, 0.2 * math.sqrt(2))[:4_790]
    assert audible_span(samples) == (3_200, 8_000)
    assert active_power(samples) == pytest.approx(0.04, rel=0.05)
    assert audible_span(tone(0.0151, 0.5)) == (0, 242)


def test_levels_are_those_of_the_definition() -> None:
    assert db(active_power(tone(1.0, 1.0))) == pytest.approx(-3.01, abs=0.05)
    assert gain_to(-23.01, 0.5) == pytest.approx(0.1, rel=1e-3)
    assert db(0.0) == -120.0
    np.testing.assert_allclose(db(np.array([1.0, 0.1])), [0.0, -10.0])
    assert SILENT_DB < -80


def test_blocks_cover_everything_and_the_last_may_be_shorter() -> None:
    samples = tone(0.1, 0.5)[:1_000]
    power = block_power(samples, 300)
    assert power.shape == (4,)
    last = np.square(without_dc(samples)[900:]).mean()
    assert power[3] == pytest.approx(last)
    assert block_power(np.zeros(0, np.float32)).shape == (0,)
