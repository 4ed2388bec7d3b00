"""What a sound is called: by its caption, where that is in the language of the stream."""

from __future__ import annotations

import pytest

from data_build.labelling.descriptions import has_caption, identified
from data_build.records import Clip, Origin, Recorded, SyntheticSound
from data_build.wording.wording import SplitWording, wording

ENGLISH, CHINESE = "A small dog barks.", "一只小狗在叫。"


def clip(caption: str) -> Clip:
    audio = Recorded("a.wav")
    return Clip("a", "event", audio, Origin("own", "CC0-1.0"), labels=("Bark",), caption=caption)


@pytest.mark.parametrize(
    ("caption", "language", "used"),
    [
        (ENGLISH, "en", True), (CHINESE, "zh", True), (ENGLISH, "zh", False),
        (CHINESE, "en", False), ("", "en", False),
    ],
)  # fmt: skip
def test_a_caption_is_said_in_streams_of_its_language_alone(
    caption: str, language: str, used: bool
) -> None:
    words = SplitWording.of(wording(weights=((language, 1.0),)), "train", {"train": 1.0})
    found = identified(clip(caption), words.stream(1), "question").text
    assert has_caption(clip(caption), language) == used
    assert (caption.strip("。.") in found) == (used or not caption)
    assert any("\u3400" <= c <= "\u9fff" for c in found) == (language == "zh")


def test_a_synthesised_sound_has_the_caption_of_its_kind_and_none_of_its_own() -> None:
    made = Clip("s", "event", SyntheticSound("beep", (1,)), Origin("s", "s"), caption=ENGLISH)
    assert not has_caption(made, "en")
