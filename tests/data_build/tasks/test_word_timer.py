from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from data_build.drops import Dropped
from data_build.records import Clip, Origin, Recorded, Word
from data_build.speech.setup import SpeechConfig, make_aligners, missing_aligners
from data_build.tasks.word_timer import WordTimer
from soundflow.errors import UserError

SAMPLES = (0.1 * np.sin(np.arange(16_000))).astype(np.float32)
CLIP = Clip(
    "a", "speech", Recorded("a"), Origin("test", "CC0-1.0"), text="one two", language="en-GB"
)
WORDS = (Word("one", 0.1, 0.4), Word("two", 0.5, 0.9))


@dataclass
class Counting:
    """An aligner that counts how often it is asked, and knows one text."""

    id: str = "counting"
    asked: list[str] = field(default_factory=list)

    def align(self, samples: np.ndarray, text: str, language: str) -> tuple[Word, ...] | None:
        self.asked.append(text)
        return WORDS if text == CLIP.text else None


def timer(folder: Path, aligner: Counting, **changes: object) -> WordTimer:
    return replace(WordTimer(lambda _: SAMPLES, {"en": aligner}, folder), **changes)  # type: ignore[arg-type]


def test_a_clip_is_aligned_once_for_its_samples_text_and_aligner(tmp_path: Path) -> None:
    aligner = Counting()
    first = timer(tmp_path, aligner).timed(CLIP)
    assert (first.words, first.words_by) == (WORDS, "counting")
    other_name = replace(CLIP, id="b", audio=Recorded("b"))
    assert timer(tmp_path, aligner).timed(other_name).words == WORDS
    assert len(aligner.asked) == 1
    timer(tmp_path, aligner, samples=lambda _: SAMPLES / 2).timed(CLIP)
    aligner.id = "counting-v2"
    timer(tmp_path, aligner).timed(CLIP)
    assert len(aligner.asked) == 3
    (damaged, *_) = tmp_path.rglob("*.json")
    for path in tmp_path.rglob("*.json"):
        path.write_text(damaged.read_text()[:-3])
    assert timer(tmp_path, aligner).timed(CLIP).words == WORDS
    assert len(aligner.asked) == 4
    for path in tmp_path.rglob("*.json"):
        path.write_text(path.read_text().replace("0.9", "0.5"))
    assert timer(tmp_path, aligner).timed(CLIP).words == WORDS
    assert len(aligner.asked) == 5


def test_the_times_of_the_corpus_are_kept(tmp_path: Path) -> None:
    aligner = Counting()
    known = replace(CLIP, words=(Word("one", 0, 1),))
    assert timer(tmp_path, aligner).timed(known) is known
    assert not aligner.asked


def test_a_text_that_is_not_in_its_audio_is_dropped_and_not_tried_again(tmp_path: Path) -> None:
    aligner = Counting()
    for _ in range(2):
        with pytest.raises(Dropped) as dropped:
            timer(tmp_path, aligner).timed(replace(CLIP, text="three"))
        assert dropped.value.drop.reason == "its text cannot be found in its audio"
    assert aligner.asked == ["three"]


def test_audio_in_which_no_word_fits_is_dropped_unasked(tmp_path: Path) -> None:
    aligner = Counting()
    with pytest.raises(Dropped, match="too short"):
        timer(tmp_path, aligner, samples=lambda _: SAMPLES[:300]).timed(CLIP)
    assert not aligner.asked


def test_words_are_spread_evenly_only_where_it_is_allowed(tmp_path: Path) -> None:
    foreign = replace(CLIP, language="de")
    with pytest.raises(UserError, match="no aligner for language 'de'"):
        timer(tmp_path, Counting()).timed(foreign)
    spread = timer(tmp_path, Counting(), allow_even=True).timed(foreign)
    assert spread.words_by == "even"
    assert [w.text for w in spread.words] == ["one", "two"]
    assert spread.words[-1].end_s == pytest.approx(1.0)


def test_an_aligner_that_is_not_installed_is_done_without_where_that_is_allowed() -> None:
    aligners = {"de-DE": "/nowhere/whisper", "fr": "/nowhere/whisper"}
    with pytest.raises(UserError, match="not a CTranslate2 Whisper folder"):
        make_aligners(SpeechConfig(aligners=aligners))
    spread = SpeechConfig(aligners=aligners, allow_even=True)
    assert make_aligners(spread) == {}
    assert list(missing_aligners(spread)) == ["de", "fr"]
