"""Alignment by Whisper's cross-attention, for all languages that it knows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from data_build.records import Word
from data_build.speech.whisper import Whisper
from data_build.speech.word_times import Float32, spoken_units
from soundflow.audio.level import block_power
from soundflow.protocol.timebase import to_seconds

_VERSION = 3  # raise when the same model gives other times
_PAUSE_DB = -38.0  # below the loudest 10 ms: no speech
# How much the path of a model leaves a word before its end: in the median over 1 079 words of the
# English recordings of tests/benchmarks/bench_alignment.py, against forced alignment. (`tiny.en`
# leaves later: its conversion does not name the heads that align, so all of them are averaged.)
_EARLY_S = {"base": 0.06, "tiny.en": -0.09}


class WhisperAligner:
    """Dynamic time warping over the cross-attention of a Whisper model; at most 30 s of audio.

    The path has no word for a pause and lengthens a neighbour over it: silence at the edges of a
    word is cut off afterwards.
    """

    def __init__(self, model: str) -> None:
        """``model``: as `Whisper` takes it; that of a folder has no known bias."""
        self._whisper = Whisper(model)
        self._early_s = _EARLY_S.get(model, 0.0)

    @property
    def id(self) -> str:
        return f"{self._whisper.id}-dtw-v{_VERSION}"

    def align(self, samples: Float32, text: str, language: str) -> tuple[Word, ...] | None:
        words = self._whisper.word_times(samples, text, language)
        if words is None or len(words) != len(spoken_units(text, language)):
            return None
        return _without_pauses(_moved(words, self._early_s, to_seconds(len(samples))), samples)


def _moved(words: tuple[Word, ...], by_s: float, length_s: float) -> tuple[Word, ...]:
    """Ends moved by the bias, never before the word has begun, and starts that they overlap.

    Nothing follows the last word: it lasts until the end.
    """
    moved: list[Word] = []
    at_s = 0.0
    for word in words:
        start_s = max(word.start_s, at_s)
        at_s = min(max(word.end_s + by_s, start_s), length_s)
        moved.append(Word(word.text, min(start_s, at_s), at_s))
    # The path ends with the last token, about 0.3 s before the sound of the last word does.
    moved[-1] = replace(moved[-1], end_s=length_s)
    return tuple(moved)


def _without_pauses(words: tuple[Word, ...], samples: Float32) -> tuple[Word, ...]:
    power = block_power(samples)
    loud = power > power.max(initial=0.0) * 10 ** (_PAUSE_DB / 10)
    timed: list[Word] = []
    for word in words:
        first, last = round(word.start_s * 100), round(word.end_s * 100)
        (audible,) = np.nonzero(loud[first:last])
        if len(audible):
            start_s, end_s = (first + audible[0]) / 100, (first + audible[-1] + 1) / 100
            word = Word(word.text, float(start_s), float(min(end_s, word.end_s)))
        timed.append(word)
    return tuple(timed)
