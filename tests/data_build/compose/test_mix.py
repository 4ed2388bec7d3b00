"""Levels are what was drawn, measured on the mixed tracks themselves."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_build.compose.config import ComposeConfig, NoiseConfig
from data_build.compose.mix import foreground_power, mix, noise_bed, place, taper
from data_build.pools.prepare import PreparedClip
from data_build.randomness import StreamSeed, generator
from data_build.records import Clip
from data_build.synth.kinds import synthesised_clip, take
from soundflow.audio.level import Float32, active_power, db


def noises(seed: int) -> tuple[tuple[Clip, ...], Callable[[Clip], Float32]]:
    """Two short noise clips and their reader."""
    clips = (synthesised_clip("rain", seed), synthesised_clip("pink_noise", seed))
    kinds = ("rain", "wind")
    sound = {
        c.id: take(k, generator(seed, k), 1.3).samples for c, k in zip(clips, kinds, strict=True)
    }
    return clips, lambda clip: sound[clip.id]


def any_noise(clip: Clip) -> bool:
    return True


def speech_like(seed: int, seconds: float = 1.2) -> PreparedClip:
    return PreparedClip(take("dog_bark", generator(seed), seconds).samples)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_the_achieved_snr_is_the_drawn_one(seed: int) -> None:
    clips, read = noises(seed)
    placed = [place(speech_like(seed), 9_000, "foreground", 320)]
    config = ComposeConfig(peak=1.0)
    mixed = mix(
        48_000, placed, (clips, clips), any_noise, read, config, StreamSeed(seed, "test", 0)
    )
    signal = db(foreground_power(mixed.foreground, placed))
    drawn = mixed.noise_tracks
    for track, said in zip(mixed.noise, drawn, strict=True):
        achieved = signal - db(float(np.mean(track.astype(np.float64) ** 2)))
        assert achieved == pytest.approx(said.snr_db, abs=0.01)
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
    config = ComposeConfig(spread_db=0.0, level_db=(-25.0, -25.0), noise=NoiseConfig(share=0.0))
    mixed = mix(80_000, placed, ((), ()), any_noise, lambda c: c, config, StreamSeed(0, "test", 0))  # type: ignore[arg-type,return-value]
    front = mixed.foreground[1_000 : 1_000 + len(loud.samples)]
    background = mixed.beside[30_000 : 30_000 + len(quiet.samples)]
    ambient = mixed.beside[55_000 : 55_000 + len(quiet.samples)]
    assert db(active_power(front)) == pytest.approx(-25.0, abs=0.05)
    assert db(active_power(background)) == pytest.approx(-31.0, abs=0.05)
    assert db(active_power(ambient)) == pytest.approx(-37.0, abs=0.05)


def test_a_loud_mix_is_scaled_as_a_whole_and_marked() -> None:
    placed = [place(PreparedClip(take("glass_break", generator(3)).samples), 0, "foreground", 320)]
    config = ComposeConfig(level_db=(-6.0, -6.0), peak=0.5, noise=NoiseConfig(share=0.0))
    mixed = mix(32_000, placed, ((), ()), any_noise, lambda c: c, config, StreamSeed(0, "test", 0))  # type: ignore[arg-type,return-value]
    assert mixed.limited is True
    assert np.abs(mixed.audio).max() == pytest.approx(0.5, abs=1e-6)
    ratio = (
        mixed.audio[np.abs(mixed.foreground) > 0.1]
        / mixed.foreground[np.abs(mixed.foreground) > 0.1]
    )
    assert np.ptp(ratio) < 1e-5


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60_000), st.integers(0, 6_000), st.integers(0, 10**6))
def test_a_noise_bed_is_full_and_has_no_hole(n: int, crossfade: int, seed: int) -> None:
    clips, read = noises(1)
    bed, used = noise_bed(n, clips, any_noise, read, crossfade, generator(seed))
    assert len(bed) == n
    assert used
    hops = bed[: n // 1_600 * 1_600].reshape(-1, 1_600)
    assert (np.abs(hops).max(axis=1) > 0).all()


def test_the_joins_of_a_noise_bed_keep_their_level() -> None:
    """Equal-power cross-fades: no dip and no bump where white noise follows white noise."""
    rng = generator(5)
    clip = synthesised_clip("pink_noise", 0)
    takes = [rng.standard_normal(16_000).astype(np.float32) for _ in range(40)]
    calls = iter(takes * 4)
    bed, _ = noise_bed(400_000, (clip,), any_noise, lambda _: next(calls), 4_000, rng)
    levels = [db(float(np.mean(part**2))) for part in bed.reshape(-1, 4_000)]
    assert max(levels) - min(levels) < 1.0


def test_a_single_sample_of_noise_still_fills_the_bed() -> None:
    clip = synthesised_clip("rain", 0)
    bed, _ = noise_bed(100, (clip,), any_noise, lambda _: np.ones(1, np.float32), 50, generator(0))
    assert len(bed) == 100


@given(st.integers(1, 3_000), st.integers(0, 800))
def test_a_taper_starts_and_ends_near_zero_and_keeps_the_middle(n: int, fade: int) -> None:
    out = taper(np.ones(n, np.float32), fade)
    assert len(out) == n
    if fade and n > 2 * fade:
        assert out[0] < 0.01 or fade < 16
        assert (out[fade : n - fade] == 1).all()
        assert np.allclose(out, out[::-1], atol=1e-6)


def test_a_noise_that_contradicts_the_labels_is_left_out() -> None:
    clips, read = noises(3)
    bed, used = noise_bed(80_000, clips, lambda c: c is clips[1], read, 100, generator(1))
    assert {clip.id for clip in used} == {clips[1].id}
    assert np.abs(bed).max() > 0
    silent, none = noise_bed(80_000, clips, lambda c: False, read, 100, generator(1))
    assert none == ()
    assert not silent.any()
