"""Noise counts where the signal is, by what the band tells of a word; exact under a gain."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_build.compose.snr import IMPORTANCE, band_power, snr_db, weighted_snr_db
from soundflow.audio.level import Float32, db

RATE = 16_000


def noise(low_hz: float, high_hz: float, seed: int = 0) -> Float32:
    """Two seconds of noise of power 1 between two frequencies."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(2 * RATE))
    hz = np.fft.rfftfreq(2 * RATE, 1 / RATE)
    samples = np.fft.irfft(np.where((hz >= low_hz) & (hz < high_hz), spectrum, 0))
    return (samples / np.sqrt(np.mean(samples**2))).astype(np.float32)


def ratio(signal: Float32, under: Float32) -> float:
    power, noise_power = float(np.mean(signal**2)), float(np.mean(under**2))
    return snr_db(power, [band_power(signal)], noise_power, band_power(under))


def test_the_importance_of_all_bands_is_one() -> None:
    assert IMPORTANCE.sum() == pytest.approx(1.0, abs=1e-9)  # as the standard's table


def test_the_power_of_a_tone_is_in_its_band() -> None:
    tone = np.sin(2 * np.pi * 1_000 * np.arange(RATE) / RATE).astype(np.float32)
    power = band_power(tone)
    assert int(power.argmax()) == 8
    assert power[8] / power.sum() > 0.99


def test_noise_of_the_spectrum_of_the_signal_has_the_plain_ratio() -> None:
    assert ratio(noise(150, 8_000), noise(150, 8_000, 1)) == pytest.approx(0.0, abs=0.5)


@given(st.floats(-40, 40))
def test_quieter_noise_has_a_ratio_higher_by_as_much(gain_db: float) -> None:
    signal, under = noise(150, 4_000), noise(1_000, 8_000, 1)
    quieter = under * np.float32(10 ** (-gain_db / 20))
    assert ratio(signal, quieter) - ratio(signal, under) == pytest.approx(gain_db, abs=0.01)


def test_a_hiss_counts_more_than_a_rumble_under_a_voice() -> None:
    """A voice falls by about 30 dB from 300 Hz to 5 kHz."""
    parts = [(150, 500, 1.0), (500, 1_500, 0.2), (1_500, 6_000, 0.03)]
    voice = sum((noise(a, b) * np.float32(g) for a, b, g in parts), np.zeros(1, np.float32))
    power, rumble, hiss = band_power(voice), noise(150, 400, 1), noise(2_000, 6_000, 1)
    on_rumble, on_hiss = (weighted_snr_db(power, band_power(n)) for n in (rumble, hiss))
    assert on_rumble is not None
    assert on_hiss is not None
    assert on_rumble > on_hiss + 20
    assert ratio(voice, rumble) == pytest.approx(db(float(np.mean(voice**2))), abs=0.1)


def test_a_whistle_is_heard_through_noise_of_other_bands() -> None:
    whistle, below, within = noise(3_100, 3_200), noise(200, 1_000, 1), noise(2_800, 3_500, 1)
    power = band_power(whistle)
    free, masked = (weighted_snr_db(power, band_power(n)) for n in (below, within))
    assert free is not None
    assert masked is not None
    assert free > 40 > 5 > masked


def test_silence_has_no_ratio() -> None:
    assert weighted_snr_db(np.zeros(18), np.ones(18)) is None
    assert band_power(np.zeros(0, np.float32)).tolist() == [0.0] * 18
    assert snr_db(4.0, [np.zeros(18)], 1.0, np.ones(18)) == pytest.approx(db(4.0))
