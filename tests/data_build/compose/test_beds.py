"""Noise beds are full, even at their joins, and hold only what may lie under the stream."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from data_build.compose.beds import Bed, draw_beds
from data_build.compose.config import NoiseConfig
from data_build.pools.prepare import PreparedClip
from data_build.randomness import StreamSeed, generator
from data_build.records import Clip
from data_build.synth.kinds import synthesised_clip, take
from soundflow.audio.level import Float32, db

CLIPS = (synthesised_clip("rain", 1), synthesised_clip("pink_noise", 1))
SOUNDS = {c.id: take(k, generator(k), 1.3).samples
          for c, k in zip(CLIPS, ("rain", "wind"), strict=True)}  # fmt: skip


def drawn(
    n_samples: int,
    read: Callable[[Clip], Float32] = lambda clip: SOUNDS[clip.id],
    *,
    fits: Callable[[Clip], bool] = lambda clip: True,
    crossfade_s: float = 0.25,
    seed: int = 0,
) -> tuple[Bed, ...]:
    return draw_beds(
        n_samples, (CLIPS, CLIPS), fits, lambda clip: PreparedClip(read(clip)),
        NoiseConfig(crossfade_s=crossfade_s), StreamSeed(seed, "test", 0),
    )  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60_000), st.floats(0.0, 0.4), st.integers(0, 10**6))
def test_a_bed_is_full_has_no_hole_and_says_where_its_clips_are(
    n: int, crossfade_s: float, seed: int
) -> None:
    for bed in drawn(n, crossfade_s=crossfade_s, seed=seed):
        assert len(bed.samples) == n
        hops = bed.samples[: n // 1_600 * 1_600].reshape(-1, 1_600)
        assert (np.abs(hops).max(axis=1) > 0).all()
        heard = bed.audible()
        assert [a.item.clip for a in heard] == list(bed.clips)
        assert heard[0].on_samples == 0
        assert heard[-1].end_samples == n
        assert all(a.end_samples == b.on_samples for a, b in pairwise(heard))


def test_the_joins_keep_their_level() -> None:
    """Equal-power cross-fades: no dip and no bump where white noise follows white noise."""
    rng = generator(5)
    takes = [rng.standard_normal(16_000).astype(np.float32) for _ in range(40)]
    calls = iter(takes * 8)
    (bed, _) = drawn(400_000, lambda _: next(calls))
    levels = [db(float(np.mean(part**2))) for part in bed.samples.reshape(-1, 4_000)]
    assert max(levels) - min(levels) < 1.0


def test_a_single_sample_of_noise_still_fills_a_bed() -> None:
    assert [len(bed.samples) for bed in drawn(100, lambda _: np.ones(1, np.float32))] == [100, 100]


def test_a_noise_that_may_not_lie_under_is_left_out() -> None:
    for bed in drawn(80_000, fits=lambda c: c is CLIPS[1]):
        assert {clip.id for clip in bed.clips} == {CLIPS[1].id}
        assert np.abs(bed.samples).max() > 0
    assert drawn(80_000, fits=lambda c: False) == ()
