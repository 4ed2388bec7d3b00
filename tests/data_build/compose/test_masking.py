"""A sound that is nowhere as loud as the rest is not heard, and no stream is made of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_build.collect.collect import collect
from data_build.compose.masking import HEARD_DB, HEARD_RISE_DB, above_rest_db, rises
from data_build.context import MATERIAL, build_context
from data_build.recipe import BuildRecipe
from data_build.run import require_material
from data_build.shard_job import build_stream
from soundflow.audio.level import Float32
from soundflow.config.load import load
from tests.data_build.compose.test_snr import RATE, noise
from tests.data_build.small_recipe import write_recipe


def above(sound: Float32, rest: Float32) -> float:
    found = above_rest_db(sound, rest)
    assert found is not None
    return found


def gained(samples: Float32, db: float) -> Float32:
    return samples * np.float32(10 ** (db / 20))


@settings(max_examples=20)
@given(st.floats(-30, 30))
def test_a_gain_raises_a_sound_above_the_rest_by_as_much(gain_db: float) -> None:
    sound, rest = noise(150, 4_000), noise(150, 8_000, 1)
    raised = above(gained(sound, gain_db), rest)
    assert raised - above(sound, rest) == pytest.approx(gain_db, abs=0.02)


def test_equal_noises_are_as_loud_but_for_chance() -> None:
    levels = [above(noise(150, 7_000, n), noise(150, 7_000, n + 9)) for n in range(9)]
    assert all(0 <= level <= 6 for level in levels)
    assert all(above(noise(150, 7_000, n), gained(noise(150, 7_000, n + 9), 7)) < HEARD_DB
               for n in range(9))  # fmt: skip


def test_a_sound_is_heard_in_its_own_band_and_in_the_gaps_of_the_rest() -> None:
    whistle = gained(noise(3_100, 3_200), -20)
    assert above(whistle, noise(150, 1_000, 1)) > 20  # 20 dB quieter, as a whole
    assert above(whistle, noise(2_500, 4_000, 1)) < HEARD_DB
    click, hiss = np.zeros(2 * RATE, np.float32), noise(150, 7_000, 1)
    click[RATE : RATE + 160] = 20 * noise(150, 7_000)[:160]
    assert above(click, hiss) > 6
    hiss[RATE // 2 : RATE + RATE // 2] = 0
    assert above(gained(click, -40), hiss) > 6


def test_a_click_counts_the_same_wherever_it_falls() -> None:
    hiss, levels = noise(150, 7_000, 1), list[float]()
    for at in range(8_000, 8_512, 64):
        click = np.zeros(len(hiss), np.float32)
        click[at] = 60.0
        levels.append(above(click, hiss))
    assert np.ptp(levels) < 4


def test_silence_is_not_above_anything() -> None:
    assert above_rest_db(np.zeros(RATE, np.float32), noise(150, 8_000)) is None
    assert above_rest_db(np.zeros(0, np.float32), np.zeros(0, np.float32)) is None
    assert above(noise(150, 8_000), np.zeros(2 * RATE, np.float32)) == 60.0


@pytest.mark.parametrize(("snr_db", "heard"), [(0, True), (-50, False)])
def test_no_stream_is_made_of_sounds_that_cannot_be_heard(
    snr_db: int, heard: bool, tmp_path: Path
) -> None:
    path = write_recipe(tmp_path, tmp_path / "data")
    changed = [f"compose.noise.snr_db=[{snr_db},{snr_db}]", "speech.pool.voices=[pico:en-US]"]
    recipe = load(path, BuildRecipe, changed)
    require_material(recipe, collect(recipe, Path(recipe.output) / MATERIAL))
    sample, drops = build_stream(build_context(recipe), "train", 0)
    assert (sample is not None) == heard
    reason = "cannot be heard through the rest of the stream"
    if sample is not None:
        assert all((item.above_rest_db or -1) >= HEARD_DB for item in sample.record.items)
    else:
        assert {drop.reason for drop in drops[:-1]} == {reason}


def test_what_happens_rises_above_what_goes_on_all_the_time() -> None:
    bed = np.concatenate([noise(150, 7_000, n) for n in range(3)])
    whistle = np.zeros(len(bed), np.float32)
    whistle[2 * RATE : 3 * RATE] = noise(3_100, 3_200)[:RATE]
    heard, quiet = (2 * RATE, 3 * RATE), (4 * RATE, 5 * RATE)
    rise, none = rises(bed + whistle, [heard, quiet])
    assert rise is not None
    assert none is not None
    assert rise > 10
    assert none < HEARD_RISE_DB
    assert rises(bed + whistle, [heard, (RATE, 5 * RATE)]) == [None, None]  # one in the other
    assert rises(bed, [(0, len(bed) - RATE)]) == [None]  # nothing to compare with
    assert rises(bed[:0], []) == []
