"""Speech whose word times are known: single words by one voice, with pauses between them."""

from __future__ import annotations

import numpy as np

from data_build.records import Voice
from data_build.speech.voices import MARGIN_SAMPLES
from soundflow.protocol.timebase import to_seconds
from tests.data_build.speech.embedded import speech

WORDS = ("elephants", "usually", "remember", "every", "beautiful", "garden")
TEXT = "Elephants usually remember every beautiful garden."


def joined_words() -> tuple[np.ndarray, list[float]]:
    """The samples at 16 kHz, and the end of each of `WORDS` in seconds, known to 10 ms."""
    voice, pause = Voice("pico", "en-US"), np.zeros(2400, np.float32)
    parts, ends_s, at = list[np.ndarray](), list[float](), 0
    for word in WORDS:
        said = speech(word, voice)
        ends_s.append(to_seconds(at + len(said) - MARGIN_SAMPLES))
        parts += [said, pause]
        at += len(said) + len(pause)
    return np.concatenate(parts), ends_s
