from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from data_build.records import Word
from data_build.speech.word_times import (
    EVEN,
    basis_of,
    evenly_spread,
    heard_part,
    spoken_units,
)


def test_even_times_fill_what_is_audible() -> None:
    samples = np.zeros(3 * 16_000, np.float32)
    samples[8_000:40_000] = 0.1 * np.sin(np.arange(32_000))
    words = evenly_spread(samples, "one — three four", "en")
    assert [w.text for w in words] == ["one", "three", "four"]
    assert words[0].start_s == pytest.approx(0.5)
    assert words[-1].end_s == pytest.approx(2.5)
    for before, after in pairwise(words):
        assert before.end_s == after.start_s
    assert words[1].end_s - words[1].start_s > words[0].end_s - words[0].start_s
    assert evenly_spread(samples, "...", "en") == ()


def test_mandarin_is_timed_by_character() -> None:
    assert spoken_units("今天，好！", "zh-CN") == ["今", "天", "好"]


def test_what_gave_the_times_says_what_they_are_worth() -> None:
    assert (basis_of(""), basis_of("an aligner"), basis_of(EVEN)) == (
        "known", "measured", "assumed",
    )  # fmt: skip


def test_silence_at_the_edges_of_a_word_is_not_the_word() -> None:
    audible = np.zeros(100, np.bool_)
    audible[20:30] = audible[40:50] = True
    assert heard_part(Word("one", 0.1, 0.8), audible) == Word("one", 0.2, 0.5)
    assert heard_part(Word("one", 0.25, 0.455), audible) == Word("one", 0.25, 0.455)
    assert heard_part(Word("one", 0.6, 0.8), audible) == Word("one", 0.6, 0.8)
