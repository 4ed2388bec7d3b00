"""Levels are what was drawn, measured on the mixed tracks themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_build.compose.beds import Bed
from data_build.compose.config import ComposeConfig
from data_build.compose.mix import foreground_power, mean_power, mix, place, taper
from data_build.compose.snr import band_power, snr_db
from data_build.pools.prepare import PreparedClip
from data_build.randomness import StreamSeed, generator
from data_build.records import Texture, TrackRole
from data_build.synth.kinds import synthesised_clip, take
from soundflow.audio.level import Float32, active_power, db


def bed(texture: Texture, seed: int) -> Bed:
    """Noise under three seconds."""
    clip = synthesised_clip("rain", seed)
    return Bed(texture, take("rain", generator(seed, texture), 3.0).samples, (clip,), (0,))


def speech_like(seed: int, seconds: float = 1.2) -> PreparedClip:
    return PreparedClip(take("dog_bark", generator(seed), seconds).samples)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_the_achieved_snr_is_the_drawn_one(seed: int) -> None:
    placed = [place(speech_like(seed), 9_000, "foreground", 320)]
    beds, config = [bed("event", seed), bed("ambient", seed)], ComposeConfig(peak=1.0)
    mixed = mix(48_000, placed, beds, config, StreamSeed(seed, "test", 0))
    power = foreground_power(mixed.foreground, placed)
    items = [band_power(mixed.foreground[placed[0].on_samples : placed[0].end_samples])]
    drawn = mixed.noise_tracks
    for track, said in zip(mixed.noise, drawn, strict=True):
        noise_power = float(np.mean(track.astype(np.float64) ** 2))
        achieved = snr_db(power, items, noise_power, band_power(track))
        assert achieved == pytest.approx(said.snr_db, abs=0.01)
        assert db(power / noise_power) >= said.snr_db - 0.01
    assert 5.0 <= drawn[0].snr_db <= 20.0
    assert 10.0 <= drawn[1].snr_db <= 25.0  # the ambient track is 5 dB quieter


def test_role_gains_are_measured_on_what_is_mixed() -> None:
    quiet, loud = speech_like(1), speech_like(2)
    quiet = PreparedClip(quiet.samples * np.float32(0.01))
    placed = [
        place(loud, 1_000, "foreground", 320),
        place(quiet, 30_000, "background", 320),
        place(quiet, 55_000, "ambient", 320),
    ]
    config = ComposeConfig(spread_db=0.0, level_db=(-25.0, -25.0))
    mixed = mix(80_000, placed, (), config, StreamSeed(0, "test", 0))
    front = mixed.foreground[1_000 : 1_000 + len(loud.samples)]
    background = mixed.beside[30_000 : 30_000 + len(quiet.samples)]
    ambient = mixed.beside[55_000 : 55_000 + len(quiet.samples)]
    assert db(active_power(front)) == pytest.approx(-25.0, abs=0.05)
    assert db(active_power(background)) == pytest.approx(-31.0, abs=0.05)
    assert db(active_power(ambient)) == pytest.approx(-37.0, abs=0.05)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 40_000), st.sampled_from(["background", "ambient"]))
def test_nothing_beside_speech_hides_it(seed: int, start: int, role: TrackRole) -> None:
    hiss = PreparedClip(take("rain", generator(seed), 1.0).samples)
    config = ComposeConfig(spread_db=0.0, level_db=(-25.0, -25.0))
    role_db = config.background_db if role == "background" else config.ambient_db
    found: dict[bool, Float32] = {}
    for is_speech in (True, False):
        front = place(speech_like(seed), 12_000, "foreground", 320, is_speech=is_speech)
        # the order of the items does not matter: the foreground is mixed first
        behind = place(hiss, start, role, 320)
        mixed = mix(60_000, [behind, front], (), config, StreamSeed(seed, "test", 0))
        found[is_speech] = mixed.beside
        spoken = slice(front.on_samples, front.end_samples)
        level = db(active_power(mixed.beside[start : start + len(hiss.samples)]))
        # under another sound, or beside the speech, the role gain
        if not is_speech or not mixed.beside[spoken].any():
            assert level == pytest.approx(-25.0 + role_db, abs=0.05)
            continue
        signal, under = mixed.foreground[spoken], mixed.beside[spoken]
        under = under[max(0, start - front.on_samples) : start + len(hiss.samples) - spoken.start]
        ratio = snr_db(
            mean_power(signal), [band_power(signal)], mean_power(under), band_power(under)
        )
        assert ratio >= -role_db - 0.01
        held = level < -25.0 + role_db - 0.05
        assert not held or ratio == pytest.approx(-role_db, abs=0.01)  # no lower than it must be
    assert (np.abs(found[True]) <= np.abs(found[False]) + 1e-9).all()


def test_a_hiss_under_speech_is_quieter_than_its_role_gain() -> None:
    """So the property above is not one of items that are never held."""
    hiss = PreparedClip(take("rain", generator(0), 1.0).samples)
    placed = [
        place(speech_like(0), 0, "foreground", 320, is_speech=True),
        place(hiss, 0, "background", 320),
        place(hiss, 30_000, "background", 320),
    ]
    mixed = mix(60_000, placed, (), ComposeConfig(), StreamSeed(0, "test", 0))
    assert mixed.gains_db[1] < mixed.gains_db[2] - 3


def test_a_loud_mix_is_scaled_as_a_whole_and_marked() -> None:
    placed = [place(PreparedClip(take("glass_break", generator(3)).samples), 0, "foreground", 320)]
    config = ComposeConfig(level_db=(-6.0, -6.0), peak=0.5)
    mixed = mix(32_000, placed, (), config, StreamSeed(0, "test", 0))
    assert mixed.limited is True
    assert np.abs(mixed.audio).max() == pytest.approx(0.5, abs=1e-6)
    ratio = (
        mixed.audio[np.abs(mixed.foreground) > 0.1]
        / mixed.foreground[np.abs(mixed.foreground) > 0.1]
    )
    assert np.ptp(ratio) < 1e-5


@given(st.integers(1, 3_000), st.integers(0, 800))
def test_a_taper_starts_and_ends_near_zero_and_keeps_the_middle(n: int, fade: int) -> None:
    out = taper(np.ones(n, np.float32), fade)
    assert len(out) == n
    if fade and n > 2 * fade:
        assert out[0] < 0.01 or fade < 16
        assert (out[fade : n - fade] == 1).all()
        assert np.allclose(out, out[::-1], atol=1e-6)
