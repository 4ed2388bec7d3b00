"""What the items of one stream have in common: the voices of its speakers, and its place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data_build.plans import Item
from data_build.records import Dialogue, Voice
from data_build.scenes.source import CuratedScene
from data_build.speech.speech_source import SpeechSource
from soundflow.text.normalize import primary_language

_OTHER_VOICES = 16  # draws to find a voice that no other role has


@dataclass(frozen=True)
class Place:
    """A planned scene as items: those that happen one after another, and those around them."""

    front: tuple[Item, ...]
    around: tuple[Item, ...]
    scene: CuratedScene

    @property
    def setting(self) -> str:
        """The setting of the ontology that the scene was planned for; empty: a model planned."""
        return str(self.scene.scene.made_by.get("setting", ""))

    def suits(self, dialogue: Dialogue) -> bool:
        """Whether a dialogue makes sense in it."""
        return not dialogue.places or self.setting in dialogue.places


class SessionVoices:
    """The voices of one session: one for each role, and no two roles share one if avoidable."""

    def __init__(self, speech: SpeechSource, rng: np.random.Generator) -> None:
        self._speech = speech
        self._rng = rng
        self._drawn: dict[tuple[str, str], Voice] = {}

    def of(self, role: str, language: str) -> Voice:
        """The voice of ``role`` in a language, drawn when it first speaks."""
        code = primary_language(language)
        if (role, code) not in self._drawn:
            voice = self._speech.voice(code, self._rng)
            for _ in range(_OTHER_VOICES):
                if voice not in self._drawn.values():
                    break
                voice = self._speech.voice(code, self._rng)
            self._drawn[role, code] = voice
        return self._drawn[role, code]
