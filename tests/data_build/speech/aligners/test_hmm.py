from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from data_build.records import Voice
from data_build.speech.aligners.hmm import HmmAligner
from soundflow.errors import UserError
from tests.benchmarks.bench_alignment import joined_digits
from tests.data_build.speech.aligners.joined import TEXT, joined_words
from tests.data_build.speech.embedded import speech

pytest.importorskip("pocketsphinx")
pytest.importorskip("py_nanotts")


def test_known_word_times_are_found_after_any_other_text() -> None:
    samples, ends_s = joined_words()
    aligner = HmmAligner()
    words = aligner.align(samples, TEXT, "en-US")
    assert words is not None
    assert [w.text for w in words] == TEXT.split()
    off_s = [abs(w.end_s - end_s) for w, end_s in zip(words, ends_s, strict=True)]
    assert np.median(off_s) <= 0.03
    assert max(off_s) <= 0.06
    other = speech("Something else first.", Voice("pico", "en-GB"))
    assert aligner.align(other, "Something else first.", "en") is not None
    assert aligner.align(samples, TEXT, "en") == words


def test_words_keep_their_spelling_their_order_and_their_number() -> None:
    said = "The P B X costs five dollars, doesn't it? Ask Flibbertywock."
    text = "The PBX costs $5, doesn’t it? Ask “Flibbertywock”."
    samples = speech(said, Voice("pico", "en-US"))
    words = HmmAligner().align(samples, text, "en")
    assert words is not None
    assert [w.text for w in words] == text.split()
    times = [t for w in words for t in (w.start_s, w.end_s)]
    assert times == sorted(times)
    assert all(w.start_s < w.end_s for w in words)
    assert times[-1] <= len(samples) / 16_000


def test_silence_behind_the_last_word_is_not_the_word() -> None:
    samples, ends_s = joined_words()
    longer = np.concatenate([samples[: round(ends_s[-1] * 16_000)], np.zeros(2_400, np.float32)])
    words = HmmAligner().align(longer, TEXT, "en")
    assert words is not None
    assert words[-1].end_s == pytest.approx(ends_s[-1], abs=0.05)  # of 0.15 s of silence


def test_an_address_is_spoken_with_its_dots() -> None:
    samples = speech("Visit w w w dot asterisk dot org.", Voice("pico", "en-US"))
    words = HmmAligner().align(samples, "Visit www.asterisk.org.", "en")
    assert words is not None
    assert [w.text for w in words] == ["Visit", "www.asterisk.org."]
    assert words[1].end_s - words[1].start_s > 1.0


def test_a_text_that_was_not_said_is_not_found() -> None:
    samples = speech("Yes.", Voice("pico", "en-US"))
    aligner = HmmAligner()
    long = "Many more words than anybody could possibly say in such a short time."
    assert aligner.align(samples, long, "en") is None
    assert aligner.align(samples, "...", "en") is None
    assert aligner.align(np.zeros(0, np.float32), "Yes.", "en") is None
    with pytest.raises(UserError, match="English only"):
        aligner.align(samples, "Ja.", "de-DE")


def test_a_voice_that_the_models_know_badly_is_aligned(shared: Path) -> None:
    folder = shared / "data"
    rows = map(json.loads, (folder / "manifest.jsonl").read_text().splitlines())
    mine = [row for row in rows if row.get("speaker") == "fsdd_nicolas"]
    aligner = HmmAligner()
    for made in joined_digits(folder, mine, "joined")[2:5]:
        assert aligner.align(made["samples"], made["text"], "en") is not None, made["path"]
