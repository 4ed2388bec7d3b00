"""Voices: as many as asked, and no speaker on two sides of a split."""

from __future__ import annotations

import pytest

from data_build.pools.config import PoolsConfig
from data_build.pools.voice_draw import cast


def test_no_speaker_belongs_to_two_splits() -> None:
    voices = cast(PoolsConfig(), 3, {"train": 40, "valid": 8, "test": 12})
    assert {split: len(v) for split, v in voices.items()} == {"train": 40, "valid": 8, "test": 12}
    speakers = [v.id for split in voices.values() for v in split]
    assert len(set(speakers)) == len(speakers)
    for voice in voices["train"]:
        assert 0.88 <= voice.warp <= 1.14
        assert 0.8 <= voice.pitch <= 1.25


def test_the_cast_depends_on_the_seed_alone() -> None:
    counts = {"train": 5, "test": 3}
    assert cast(PoolsConfig(), 1, counts) == cast(PoolsConfig(), 1, counts)
    assert cast(PoolsConfig(), 1, counts) != cast(PoolsConfig(), 2, counts)


def test_too_narrow_ranges_are_said() -> None:
    narrow = PoolsConfig(voices=("pico:en-US",), warp=(1.0, 1.0), pitch=(1.0, 1.01))
    with pytest.raises(ValueError, match="finds no new voice"):
        cast(narrow, 1, {"train": 20})
