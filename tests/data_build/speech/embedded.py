"""The embedded engines, loaded once, and what they say."""

from __future__ import annotations

from functools import cache

import numpy as np

from data_build.records import Voice
from data_build.speech.engines.engine import SpeechEngine
from data_build.speech.setup import SpeechConfig, make_engine
from data_build.speech.voices import synthesise


@cache
def engine(name: str) -> SpeechEngine:
    return make_engine(name, SpeechConfig())


def speech(text: str, voice: Voice) -> np.ndarray:
    return synthesise(text, voice, engine(voice.engine))
