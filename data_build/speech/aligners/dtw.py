"""Alignment by Whisper's cross-attention, for all languages that it knows."""

from __future__ import annotations

from dataclasses import replace

from data_build.records import Word
from data_build.speech.whisper import Whisper
from data_build.speech.word_times import Float32, heard_part, spoken_units
from soundflow.audio.level import audible_blocks
from soundflow.protocol.timebase import to_seconds

_VERSION = 5  # raise when the same model gives other times
# How much the path of a model leaves a word before its end, inside a sentence: in the median over
# the English recordings of tests/benchmarks/bench_alignment.py, against a recogniser of another
# kind. Single words joined, whose ends are known, it leaves up to twice as early. (`tiny.en` leaves
# later: its conversion does not name the heads that align, so all of them are averaged.)
_EARLY_S = {"base": 0.12, "tiny.en": -0.06}


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
        moved = _moved(words, self._early_s, to_seconds(len(samples)))
        audible = audible_blocks(samples)
        return tuple(heard_part(word, audible) for word in moved)


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
