"""Word times of a rendering: found by an aligner, or spread evenly and marked as such."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from data_build.records import Word
from data_build.speech.voices import MARGIN_SAMPLES
from data_build.speech.whisper import Whisper
from soundflow.audio.level import block_power
from soundflow.protocol.timebase import SAMPLE_RATE_HZ
from soundflow.protocol.turns import Basis
from soundflow.text.normalize import BY_CHARACTER

Float32 = npt.NDArray[np.float32]
_PAUSE_DB = -38.0  # below the loudest 10 ms: no speech
TimedBy = Literal["source", "engine", "aligner", "uniform"]


def basis_of(words_by: str) -> Basis:
    """The basis of word times, by what gave them (`Clip.words_by`)."""
    match words_by:
        case "uniform":
            return "assumed"
        case "aligner":
            return "measured"
        case _:
            return "known"


@dataclass(frozen=True)
class WordTimes:
    """Words in order with rising times, and where the times come from.

    ``uniform`` is an estimate: words share the duration by their number of letters.
    """

    words: tuple[Word, ...]
    by: TimedBy


class Aligner(Protocol):
    """Finds the words of a known text in its audio, (n,) float32 mono at 16 kHz."""

    @property
    def id(self) -> str: ...

    def align(self, samples: Float32, text: str, language: str) -> WordTimes: ...


class UniformAligner:
    """Spreads the words evenly between the margins of a rendering."""

    id = "uniform"

    def align(self, samples: Float32, text: str, language: str) -> WordTimes:
        targets = spoken_units(text, language)
        duration_s = len(samples) / SAMPLE_RATE_HZ
        margin_s = min(MARGIN_SAMPLES / SAMPLE_RATE_HZ, duration_s / 4)
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
    """Dynamic time warping over Whisper's cross-attention; uniform where that gives no path.

    The path has no word for a pause and lengthens a neighbour over it: silence at the edges of a
    word is cut off afterwards.
    """

    def __init__(self, whispers: Mapping[str, Whisper]) -> None:
        """``whispers``: language code -> model; other languages get uniform times."""
        self._whispers = whispers
        self._fallback = UniformAligner()

    @property
    def id(self) -> str:
        return "dtw-" + ",".join(f"{c}:{w.id}" for c, w in sorted(self._whispers.items()))

    def align(self, samples: Float32, text: str, language: str) -> WordTimes:
        whisper = self._whispers.get(language.split("-")[0].lower())
        words = whisper.word_times(samples, text, language) if whisper else None
        if words is None:
            return self._fallback.align(samples, text, language)
        return WordTimes(_without_pauses(words, samples), "aligner")


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


def spoken_units(text: str, language: str) -> list[str]:
    """What gets a time of its own: words with their punctuation, or single characters."""
    if language.split("-")[0].lower() in BY_CHARACTER:
        return [c for c in text if c.isalnum()]
    return [w for w in text.split() if any(c.isalnum() for c in w)]
