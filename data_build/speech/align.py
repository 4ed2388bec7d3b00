"""When each word of a rendering is said: by an aligner, or evenly spread and marked as such."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from data_build.records import Word
from data_build.speech.recognisers.whisper import Whisper
from data_build.speech.voices import MARGIN_SAMPLES, SAMPLE_RATE_HZ
from soundflow.text.normalize import BY_CHARACTER

Float32 = npt.NDArray[np.float32]
TimedBy = Literal["source", "engine", "aligner", "uniform"]


@dataclass(frozen=True)
class WordTimes:
    """Words in order with rising times, and where the times come from.

    ``uniform`` is a guess: words share the duration by their number of letters.
    """

    words: tuple[Word, ...]
    by: TimedBy


class Aligner(Protocol):
    """Finds the words of a known text in its audio, (n,) float32 mono at 16 kHz."""

    @property
    def id(self) -> str: ...

    def align(self, samples: Float32, text: str, language: str) -> WordTimes: ...


class UniformAligner:
    """Spreads the words over what lies between the margins of a rendering.

    Args:
        margin_samples: silence before and after the speech.
    """

    id = "uniform"

    def __init__(self, margin_samples: int = MARGIN_SAMPLES) -> None:
        self._margin_s = margin_samples / SAMPLE_RATE_HZ

    def align(self, samples: Float32, text: str, language: str) -> WordTimes:
        targets = spoken_units(text, language)
        duration_s = len(samples) / SAMPLE_RATE_HZ
        margin_s = min(self._margin_s, duration_s / 4)
        # One more than the letters: short words take longer a letter.
        letters = np.array([0, *(1 + sum(c.isalnum() for c in t) for t in targets)])
        share = np.cumsum(letters) / max(letters.sum(), 1)
        edges = (margin_s + share * (duration_s - 2 * margin_s)).round(3)
        words = tuple(
            Word(t, float(a), float(b))
            for t, a, b in zip(targets, edges[:-1], edges[1:], strict=True)
        )
        return WordTimes(words, "uniform")


class WhisperAligner:
    """Dynamic time warping over Whisper's cross-attention; uniform where that gives no path."""

    def __init__(self, whisper: Whisper) -> None:
        self._whisper = whisper
        self._fallback = UniformAligner()

    @property
    def id(self) -> str:
        return f"dtw-{self._whisper.id}"

    def align(self, samples: Float32, text: str, language: str) -> WordTimes:
        words = self._whisper.word_times(samples, text, language)
        if words is None:
            return self._fallback.align(samples, text, language)
        return WordTimes(words, "aligner")


def spoken_units(text: str, language: str) -> list[str]:
    """What gets a time of its own: words with their punctuation, or single characters."""
    if language.split("-")[0].lower() in BY_CHARACTER:
        return [c for c in text if c.isalnum()]
    return [w for w in text.split() if any(c.isalnum() for c in w)]
