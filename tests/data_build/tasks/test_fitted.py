"""Speech that is longer than a stream: text and audio end together, or the clip is not used."""

from __future__ import annotations

from dataclasses import replace

import pytest

from data_build.drops import Dropped
from data_build.records import Clip, Origin, Recorded, Word
from data_build.tasks.fitted import fitted

WORDS = tuple(Word(f"w{i}", i + 0.1, i + 0.9) for i in range(40))
LONG = Clip(
    "long", "speech", Recorded("a.wav", None, 5.0), Origin("test", "CC0-1.0"), 40.0,
    text=" ".join(f"W{i}," for i in range(40)), words=WORDS,
)  # fmt: skip


def test_text_and_audio_end_with_the_last_word_that_fits() -> None:
    cut = fitted(LONG, 20.0)
    assert cut.words == WORDS[:20]
    assert cut.text == " ".join(f"W{i}," for i in range(20))
    assert isinstance(cut.audio, Recorded)
    assert cut.audio.start_s == 5.0
    assert cut.audio.end_s == pytest.approx(5.0 + 19.95)
    assert cut.duration_s == pytest.approx(19.95)


def test_the_next_word_is_not_heard() -> None:
    close = tuple(Word(f"w{i}", float(i), i + 1.0) for i in range(40))
    cut = fitted(replace(LONG, words=close), 20.0)
    assert cut.duration_s == 20.0
    assert len(cut.words) == 20


def test_words_that_the_text_writes_otherwise_are_taken_as_they_are() -> None:
    cut = fitted(replace(LONG, text="Something else is written here."), 3.0)
    assert cut.text == "w0 w1 w2"
    mandarin = tuple(Word(c, i * 1.0, i + 0.9) for i, c in enumerate("今天天气很好"))
    cut = fitted(replace(LONG, text="今天天气很好", words=mandarin, duration_s=6.0), 2.0)
    assert cut.text == "今天"


def test_what_fits_is_left_as_it_is() -> None:
    assert fitted(LONG, 40.0) is LONG
    unknown = replace(LONG, words=(), duration_s=None)
    assert fitted(unknown, 20.0) is unknown


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"words": ()}, "without word times"),
        ({"translation": "Was?"}, "translation cannot be cut"),
        ({"words": (Word("w", 0.0, 30.0),)}, "before its first word ends"),
    ],
)
def test_what_cannot_be_cut_is_dropped(change: dict[str, object], reason: str) -> None:
    with pytest.raises(Dropped, match=reason):
        fitted(replace(LONG, **change), 20.0)  # type: ignore[arg-type]
