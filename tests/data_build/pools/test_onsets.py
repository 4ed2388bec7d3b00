"""Separate sounds are counted where two readings agree, and not where they do not."""

from __future__ import annotations

import numpy as np
import pytest

from data_build.pools.onsets import count_onsets, onset_samples

RNG = np.random.default_rng(0)


def bursts(count: int, pause_s: float, floor: float = 0.0) -> np.ndarray:
    burst = RNG.normal(size=3_200).astype(np.float32) * 0.3
    pause = np.zeros(round(16_000 * pause_s), np.float32)
    whole = np.concatenate([pause, *([burst, pause] * count)])
    return whole + RNG.normal(size=len(whole)).astype(np.float32) * floor


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_bursts_with_clear_pauses_are_counted(count: int) -> None:
    assert count_onsets(bursts(count, 0.5)) == count
    assert count_onsets(bursts(count, 0.5, floor=0.001)) == count


def test_what_is_unclear_is_not_counted() -> None:
    assert count_onsets(bursts(3, 0.22)) is None  # one sound or three?
    assert count_onsets(np.zeros(100, np.float32)) == 1


def test_the_onset_is_that_of_the_sound_not_of_the_room() -> None:
    quiet = RNG.normal(size=8_000).astype(np.float32) * 0.001
    loud = RNG.normal(size=16_000).astype(np.float32) * 0.3
    assert onset_samples(np.concatenate([quiet, loud])) == 8_000
    assert onset_samples(np.zeros(1_600, np.float32)) == 0
