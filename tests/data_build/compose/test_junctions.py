"""Silence where clips meet: cut for recordings, with every time moved along."""

from __future__ import annotations

import numpy as np

from data_build.compose.junctions import at_junction
from data_build.pools.prepare import PreparedClip

TAU = 4_800


def padded(before: int, after: int) -> np.ndarray:
    tone = 0.3 * np.sin(np.arange(8_000) / 5.0).astype(np.float32)
    return np.pad(tone, (before, after)).astype(np.float32)


def test_silent_ends_of_a_recording_are_cut_to_half_of_tau_each() -> None:
    heard = at_junction(PreparedClip(padded(6_400, 9_600), None, None, {"passes": 1}), TAU)
    assert len(heard.samples) == 8_000 + TAU
    assert np.array_equal(heard.samples[TAU // 2 : -TAU // 2], padded(0, 0))
    assert heard.at(6_400 / 16_000) == TAU // 2  # where the tone begins
    assert heard.at(0.0) == 0
    assert heard.at(99.0) == len(heard.samples)


def test_short_silences_and_made_clips_stay() -> None:
    short = PreparedClip(padded(1_600, 800), None, None, {"passes": 1})
    assert np.array_equal(at_junction(short, TAU).samples, short.samples)
    made = PreparedClip(padded(6_400, 9_600))
    assert at_junction(made, TAU) is made
