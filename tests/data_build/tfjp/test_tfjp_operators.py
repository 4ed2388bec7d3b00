"""One property or more for each of the six operators."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_build.tfjp.spans import BLANK, Span, runs
from data_build.tfjp.spectrum import (
    TfjpConfig,
    active_frames,
    analyse,
    boundary_norm,
    core_locate,
    denoise,
    noise_profile,
    silence_cut,
    spec_smooth,
    synthesise,
)
from tests.data_build.tfjp.made_clips import noise, rms_db, silence, voiced

CONFIG = TfjpConfig()
SEEDS = st.integers(0, 10_000)


def test_nothing_done_is_nothing_changed() -> None:
    samples = voiced(1.3)
    np.testing.assert_allclose(synthesise(analyse(samples))[: len(samples)], samples, atol=1e-6)


# silence_cut


@settings(deadline=None, max_examples=40)
@given(seed=SEEDS, seconds=st.floats(0.5, 6.0), dip_db=st.floats(0.0, 28.0))
def test_silence_cut_eats_no_speech_where_there_is_no_silence(
    seed: int, seconds: float, dip_db: float
) -> None:
    clip = analyse(voiced(seconds, seed, dip_db))
    assert silence_cut(clip, CONFIG) is clip


@settings(deadline=None, max_examples=30)
@given(seed=SEEDS, quiet_db=st.floats(0.0, 26.0))
def test_a_percentile_alone_would_eat_quiet_speech(seed: int, quiet_db: float) -> None:
    """A long stretch of quieter speech lies under the tenth percentile, and is not silence."""
    quiet = voiced(0.5, seed + 1, 1.0) * np.float32(10 ** (-quiet_db / 20))
    clip = analyse(np.concatenate((voiced(2.0, seed, 1.0), quiet, voiced(2.0, seed, 1.0))))
    assert silence_cut(clip, CONFIG) is clip


@settings(deadline=None, max_examples=40)
@given(
    seed=SEEDS,
    pauses_s=st.lists(st.floats(0.02, 2.0), min_size=1, max_size=4),
    floor_db=st.sampled_from([None, -75.0, -60.0]),
)
def test_inner_silence_is_capped_at_tau(
    seed: int, pauses_s: list[float], floor_db: float | None
) -> None:
    parts = [voiced(1.0, seed, 6.0)]
    for pause_s in pauses_s:
        parts += [silence(pause_s), voiced(1.0, seed, 6.0)]
    samples = np.concatenate(parts)
    if floor_db is not None:
        samples = samples + noise(len(samples) / 16_000, floor_db, seed)[: len(samples)]
    clip = analyse(samples)
    cut = silence_cut(clip, CONFIG)
    silent = ~active_frames(clip, CONFIG)[cut.kept]
    inner = [r for r in runs(silent) if r.start > 0 and r.stop < len(cut)]
    assert max((len(r) for r in inner), default=0) <= 30
    lost_s = (len(clip) - len(cut)) * 0.01
    total_s = sum(p - 0.3 for p in pauses_s if p > 0.3)
    share = sum(pauses_s) / (len(samples) / 16_000)
    # The gate is the tenth percentile: with less silence than that it may lie above the floor.
    if share > 0.12:
        assert lost_s == pytest.approx(total_s, abs=0.04 * len(pauses_s))
    else:
        assert lost_s <= total_s + 0.04 * len(pauses_s)


def test_silence_at_the_ends_is_not_inner() -> None:
    clip = analyse(np.concatenate((silence(1.0), voiced(1.0, 1, 6.0), silence(1.0))))
    assert silence_cut(clip, CONFIG) is clip


def test_a_clip_of_silence_alone_is_left_alone() -> None:
    clip = analyse(silence(2.0))
    assert silence_cut(clip, CONFIG) is clip
    assert core_locate(clip, CONFIG) == Span(0, 200)


# noise_profile


@settings(deadline=None, max_examples=20)
@given(seed=SEEDS, db=st.floats(-70.0, -35.0))
def test_the_profile_is_the_spectrum_of_the_floor(seed: int, db: float) -> None:
    floor = noise(4.0, db, seed)
    samples = floor + np.concatenate((silence(1.5), voiced(1.0, seed, 6.0), silence(1.5)))
    profile = noise_profile(analyse(samples), CONFIG)
    expected = analyse(floor).power.mean(axis=0).sum()
    assert profile.shape == (201,)
    assert profile.dtype == np.float32
    assert 10 * np.log10(profile.sum() / expected) == pytest.approx(-1.0, abs=2.0)


@settings(deadline=None, max_examples=20)
@given(seed=SEEDS)
def test_a_sound_without_a_floor_has_no_profile(seed: int) -> None:
    assert not noise_profile(analyse(noise(2.0, -20.0, seed)), CONFIG).any()


# denoise


@settings(deadline=None, max_examples=20)
@given(seed=SEEDS, snr_db=st.floats(15.0, 35.0), gamma=st.sampled_from([0.5, 1.0, 2.0]))
def test_denoising_lowers_the_floor_and_keeps_the_voice(
    seed: int, snr_db: float, gamma: float
) -> None:
    config = TfjpConfig(gamma=gamma)
    clean = np.concatenate((silence(0.5), voiced(1.5, seed, 6.0), silence(0.5)))
    floor = noise(2.5, rms_db(clean) - snr_db, seed)
    clip = analyse(clean + floor)
    left = denoise(clip, noise_profile(clip, config), config)
    assert (left.power <= clip.power).all()
    assert (left.power >= clip.observed * np.float32(0.0099)).all()
    audio = synthesise(left)
    quiet, loud = slice(0, 7_000), slice(9_000, 31_000)
    assert rms_db(audio[quiet]) < rms_db(floor[quiet]) - (1.5 if gamma < 1 else 3.0)
    assert rms_db(audio[loud]) == pytest.approx(rms_db(clean[loud]), abs=0.5)


def test_denoising_with_an_empty_profile_or_no_gamma_changes_nothing() -> None:
    clip = analyse(noise(1.0, -20.0) + voiced(1.0))
    assert denoise(clip, np.zeros(201, np.float32), CONFIG) is clip
    off = TfjpConfig(gamma=0.0)
    np.testing.assert_array_equal(denoise(clip, clip.power[0], off).power, clip.power)


def test_repeated_denoising_stops_at_the_residual() -> None:
    clip = analyse(np.concatenate((noise(1.0, -50.0), voiced(1.0, 2, 6.0))))
    left = clip
    for _ in range(20):
        left = denoise(left, noise_profile(left, CONFIG), CONFIG)
    assert (left.power >= clip.power * np.float32(0.0099)).all()


# core_locate


@settings(deadline=None, max_examples=25)
@given(
    seed=SEEDS,
    before_s=st.floats(0.0, 3.0),
    after_s=st.floats(0.0, 3.0),
    floor_db=st.floats(-90, -60),
)
def test_the_core_is_the_voice(seed: int, before_s: float, after_s: float, floor_db: float) -> None:
    clean = np.concatenate((silence(before_s), voiced(1.2, seed, 10.0), silence(after_s)))
    samples = clean + noise(len(clean) / 16_000 + 1, floor_db, seed)[: len(clean)]
    core = core_locate(analyse(samples), CONFIG)
    assert core.start == pytest.approx(before_s * 100, abs=6)
    assert core.stop == pytest.approx((before_s + 1.2) * 100, abs=6)


def test_short_pauses_do_not_split_the_core() -> None:
    word = voiced(0.4, 3, 6.0)
    samples = np.concatenate((silence(1.0), word, silence(0.3), word, silence(0.3), word))
    core = core_locate(analyse(samples + noise(3.0, -80.0)[: len(samples)]), CONFIG)
    assert core.start == pytest.approx(100, abs=3)
    assert core.stop == pytest.approx(len(samples) / 160, abs=3)


def test_structure_beats_noise_of_the_same_level() -> None:
    tone = voiced(1.0, 4, 0.0)
    hiss = noise(1.0, rms_db(tone), 4)
    both = analyse(np.concatenate((hiss, silence(2.5), tone)))
    core = core_locate(both, CONFIG)
    assert core.start >= 340


# boundary_norm


@settings(deadline=None, max_examples=40)
@given(seed=SEEDS, seconds=st.floats(0.05, 3.0), data=st.data())
def test_the_clip_becomes_half_chunks_that_hold_the_core(
    seed: int, seconds: float, data: st.DataObject
) -> None:
    clip = analyse(voiced(seconds, seed, 10.0))
    start = data.draw(st.integers(0, len(clip) - 1))
    core = Span(start, data.draw(st.integers(start + 1, len(clip))))
    out, where = boundary_norm(clip, core, CONFIG)
    assert len(out) % 20 == 0
    assert len(out) > 0
    heard = out.kept[out.kept != BLANK]
    active = np.flatnonzero(active_frames(clip, CONFIG)[core.start : core.stop]) + core.start
    assert np.isin(active, heard).all()
    assert (out.kept[: len(heard)] == heard).all()  # blanks come last
    assert (out.power[out.kept == BLANK] == 0).all()
    assert not synthesise(out)[len(heard) * 160 + 200 :].any()
    assert out.kept[where.start] == max(core.start, heard[0])
    assert 0 <= where.start < where.stop <= len(out)


# spec_smooth


@settings(deadline=None, max_examples=20)
@given(seed=SEEDS, seconds=st.floats(0.02, 1.0), taper_s=st.sampled_from([0.0, 0.005, 0.02]))
def test_the_taper_is_a_hann_flank_at_both_ends_and_nothing_between(
    seed: int, seconds: float, taper_s: float
) -> None:
    clip = analyse(voiced(seconds, seed))
    plain, smooth = synthesise(clip), synthesise(spec_smooth(clip, TfjpConfig(taper_s=taper_s)))
    n = round(taper_s * 16_000)
    n = min(n, len(plain) // 2)
    np.testing.assert_array_equal(smooth[n : len(smooth) - n], plain[n : len(plain) - n])
    if n:
        flank = 0.5 - 0.5 * np.cos(np.pi * (np.arange(n) + 0.5) / n)
        np.testing.assert_allclose(smooth[:n], plain[:n] * flank, atol=1e-6)
        np.testing.assert_allclose(smooth[-n:], plain[-n:] * flank[::-1], atol=1e-6)


def test_tapering_twice_is_tapering_once() -> None:
    once = spec_smooth(analyse(voiced(0.5)), CONFIG)
    np.testing.assert_array_equal(synthesise(spec_smooth(once, CONFIG)), synthesise(once))


# settings


@pytest.mark.parametrize(
    "wrong",
    [
        {"silence_s": 0.0},
        {"gate_percentile": 50.0},
        {"noise_share": 1.0},
        {"gamma": -1.0},
        {"residual_db": 0.0},
        {"max_passes": 0},
        {"boundary_samples": 100},
        {"window_s": 0.5},
    ],
)
def test_impossible_settings_are_refused_by_name(wrong: dict[str, float]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        TfjpConfig(**wrong)  # type: ignore[arg-type]
