"""What is said about a sound is what its corpus calls it, where that is a plain word."""

from __future__ import annotations

import pytest

from data_build.labelling.sounds import sound_class, sound_name
from data_build.records import Clip, Origin, Recorded


def clip(*labels: str, caption: str = "") -> Clip:
    origin = Origin("test", "CC0-1.0")
    return Clip("c", "event", Recorded("a"), origin, labels=labels, caption=caption)


@pytest.mark.parametrize(
    ("labels", "name"),
    [
        (("glass_breaking",), "glass breaking"),
        (("dog_bark",), "dog bark"),
        (("Smoke detector, smoke alarm",), "smoke detector"),
        (("Baby cry, infant cry",), "baby cry"),
        (("flibbertigibbet",), "flibbertigibbet"),
        (("flibbertigibbet", "Rain"), "rain"),
    ],
)
def test_a_sound_is_called_what_its_corpus_calls_it(labels: tuple[str, ...], name: str) -> None:
    assert sound_name(clip(*labels)) == name


def test_without_a_label_the_caption_names_it() -> None:
    assert sound_name(clip(caption="A cat purrs.")) == "a cat purrs"
    assert sound_name(clip()) == "sound"


def test_one_kind_of_sound_is_one_whatever_it_is_called() -> None:
    assert sound_class(clip("glass_breaking")) == sound_class(clip("Shatter"))
    assert sound_class(clip("dog_bark")) != sound_class(clip("Rain"))
