"""Word times of speech: what an aligner is, and the even spread that stands for none."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from data_build.records import Word
from soundflow.audio.level import audible_span
from soundflow.protocol.timebase import to_seconds
from soundflow.protocol.turns import Basis
from soundflow.text.normalize import BY_CHARACTER, primary_language

Float32 = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
_BLOCK_S = 0.01
EVEN = "even"  # `Clip.words_by` of times that nothing measured
# How much later than its measured end a word counts as ended, so that few replies come before a
# word is over (tests/benchmarks/bench_alignment.py).
MEASURED_LATER_S = 0.03


def basis_of(words_by: str) -> Basis:
    """The basis of word times, by what gave them (`Clip.words_by`)."""
    if words_by == EVEN:
        return "assumed"
    return "measured" if words_by else "known"


def known_after_s(word: Word, basis: Basis) -> float:
    """When a listener knows that a word has ended."""
    return word.end_s + (MEASURED_LATER_S if basis == "measured" else 0.0)


def heard_part(word: Word, audible: Bools) -> Word:
    """A word without the silence at its edges; one that is silent throughout stays as it is.

    Args:
        audible: of the recording, as `soundflow.audio.level.audible_blocks` gives it.
    """
    first, last = round(word.start_s / _BLOCK_S), round(word.end_s / _BLOCK_S)
    (heard,) = np.nonzero(audible[first:last])
    if not len(heard):
        return word
    start_s = max(word.start_s, (first + int(heard[0])) * _BLOCK_S)
    end_s = min(word.end_s, (first + int(heard[-1]) + 1) * _BLOCK_S)
    return Word(word.text, round(start_s, 3), round(end_s, 3))


class Aligner(Protocol):
    """Finds the words of a known text in its audio."""

    @property
    def id(self) -> str:
        """Model and version; times of different ids may differ."""

    def align(self, samples: Float32, text: str, language: str) -> tuple[Word, ...] | None:
        """Every one of the `spoken_units` of a text with rising times, in seconds.

        Args:
            samples: (n,) float32 mono at 16 kHz.

        Returns:
            None if the text does not fit the audio.

        Raises:
            UserError: if the model does not know ``language``.
        """


def evenly_spread(samples: Float32, text: str, language: str) -> tuple[Word, ...]:
    """The `spoken_units` of a text, which share the audible part by their number of letters."""
    units = spoken_units(text, language)
    start_s, end_s = (to_seconds(edge) for edge in audible_span(samples))
    # One more than the letters: short words take longer a letter.
    letters = np.array([0, *(1 + sum(c.isalnum() for c in unit) for unit in units)])
    edges = (
        (start_s + np.cumsum(letters) / max(letters.sum(), 1) * (end_s - start_s)).round(3).tolist()
    )
    return tuple(Word(u, a, b) for u, a, b in zip(units, edges, edges[1:], strict=False))


def spoken_units(text: str, language: str) -> list[str]:
    """What gets a time of its own: words with their punctuation, or single characters."""
    if primary_language(language) in BY_CHARACTER:
        return [c for c in text if c.isalnum()]
    return [w for w in text.split() if any(c.isalnum() for c in w)]
