"""Who may speak: engines' voices and the ranges in which they are bent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from data_build.records import Voice
from data_build.speech.engines.engine import Engine
from data_build.speech.voices import fitted
from soundflow.errors import UserError


@dataclass(frozen=True)
class VoicePool:
    """Voices as ``engine:name`` and the ranges from which a speaker is drawn.

    Attributes:
        warp, pitch, rate: (lowest, highest) of `Voice`'s factors.
    """

    voices: tuple[str, ...] = ("pico:en-US", "pico:en-GB", "hibari:heart")
    warp: tuple[float, float] = (0.88, 1.14)
    pitch: tuple[float, float] = (0.8, 1.25)
    rate: tuple[float, float] = (0.9, 1.15)

    def __post_init__(self) -> None:
        if not self.voices:
            raise ValueError("voices: at least one is needed")
        for voice in self.voices:
            if len(voice.split(":", 1)) != 2:
                raise ValueError(f"voices: wants engine:name, got {voice!r}")
        for name in ("warp", "pitch", "rate"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name} must be a positive range, got {(low, high)}")

    def draw(self, rng: np.random.Generator, language: str, engines: Mapping[str, Engine]) -> Voice:
        """A speaker of ``language`` (its region is ignored).

        Raises:
            UserError: if an engine or a voice of the pool is unknown, or none speaks the language.
        """
        code = language.split("-")[0].lower()
        fits = [v for v in self.voices if _language(v, engines) == code]
        if not fits:
            raise UserError(
                f"no voice of the pool speaks {language!r}: {', '.join(self.voices)}",
                "add one under voices",
            )
        engine, name = fits[int(rng.integers(len(fits)))].split(":", 1)
        warp, pitch, rate = (
            round(float(rng.uniform(*bounds)), 2) for bounds in (self.warp, self.pitch, self.rate)
        )
        return fitted(Voice(engine, name, code, warp, pitch, rate), engines[engine])


def _language(voice: str, engines: Mapping[str, Engine]) -> str:
    engine, name = voice.split(":", 1)
    if engine not in engines:
        raise UserError(f"unknown voice engine in {voice!r}", f"one of {', '.join(engines)}")
    known = engines[engine].voices
    if name not in known:
        raise UserError(f"engine {engine!r} has no voice {name!r}", f"one of {', '.join(known)}")
    return known[name]
