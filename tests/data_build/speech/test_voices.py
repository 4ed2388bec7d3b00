"""Voices: as many as asked, and no speaker in two splits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_build.records import Voice
from data_build.speech.engines.http_tts import HttpVoices, HttpVoicesConfig
from data_build.speech.voices import VoicePool, draw_voices, fitted
from soundflow.errors import UserError
from tests.data_build.speech.embedded import engine

pytest.importorskip("py_nanotts")
POOL = VoicePool(("pico:en-US", "pico:de-DE", "pico:en-GB"))
ENGINES = {"pico": engine("pico")}


def test_no_speaker_belongs_to_two_splits() -> None:
    counts = {"train": 40, "valid": 8, "test": 12}
    voices = draw_voices(POOL, ENGINES, "en", counts, seed=3)
    assert {split: len(v) for split, v in voices.items()} == counts
    speakers = [v.id for split in voices.values() for v in split]
    assert len(set(speakers)) == len(speakers)
    for voice in voices["train"]:
        assert 0.88 <= voice.warp <= 1.14
        assert 0.8 <= voice.pitch <= 1.25
    assert {v.name for v in voices["valid"]} == {"en-US", "en-GB"}
    assert {v.name for v in draw_voices(POOL, ENGINES, "de-AT", counts, 3)["train"]} == {"de-DE"}


@given(st.integers(0, 2**32))
def test_a_split_keeps_its_voices_whatever_other_splits_there_are(seed: int) -> None:
    alone = draw_voices(POOL, ENGINES, "en", {"train": 5}, seed)
    beside = draw_voices(POOL, ENGINES, "en", {"a": 5, "train": 7}, seed)
    kept = set(alone["train"]) & set(beside["train"])
    assert len(kept) >= 4  # of 2 400 speakers, two rarely meet
    assert draw_voices(POOL, ENGINES, "en", {"train": 5}, seed) == alone
    assert draw_voices(POOL, ENGINES, "en", {"train": 5}, seed + 1) != alone


def test_voices_of_a_server_that_are_not_bent_are_shared_out() -> None:
    names = [f"v{i}" for i in range(5)]
    server = {"cosy": HttpVoices(HttpVoicesConfig(dict.fromkeys(names, "zh")))}
    pool = VoicePool(
        tuple(f"cosy:{n}" for n in names), warp=(1.0, 1.0), pitch=(1.0, 1.0), rate=(1.0, 1.0)
    )
    voices = draw_voices(pool, server, "zh-CN", {"train": 3, "test": 2}, seed=0)
    assert sorted(v.name for split in voices.values() for v in split) == names
    with pytest.raises(UserError, match="5 different 'zh' voices found, the splits ask for 6"):
        draw_voices(pool, server, "zh", {"train": 4, "test": 2}, seed=0)


def test_what_an_engine_cannot_change_moves_with_the_formants() -> None:
    server = HttpVoices(HttpVoicesConfig({"anna": "en"}, dialect="cosyvoice"))
    assert fitted(Voice("cosy", "anna", "en", 1.1, 0.9, 1.2), server) == Voice(
        "cosy", "anna", "en", 1.1, 1.1, 1.1
    )


@pytest.mark.parametrize("factor", ["warp", "pitch", "rate"])
@pytest.mark.parametrize("bounds", [(1.1, 0.9), (0.1, 1.0), (1.0, 3.0), (float("nan"), 1.0)])
def test_a_range_that_no_voice_can_have_is_refused(
    factor: str, bounds: tuple[float, float]
) -> None:
    with pytest.raises(ValueError, match=factor):
        VoicePool(**{factor: bounds})


def test_a_language_without_a_voice_and_an_unknown_voice_are_the_users_mistake() -> None:
    with pytest.raises(UserError, match="'fr'"):
        draw_voices(POOL, ENGINES, "fr", {"train": 1}, 0)
    with pytest.raises(UserError, match="no voice 'en-AU'"):
        draw_voices(VoicePool(("pico:en-AU",)), ENGINES, "en", {"train": 1}, 0)
