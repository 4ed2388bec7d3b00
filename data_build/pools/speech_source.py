"""Who speaks the texts of a split: voices that no other split uses, rendered when a plan asks.

A text is spoken by a limited number of voices, so that streams share renderings, and a rendering
that was made once comes from the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property

import numpy as np

from data_build.drops import Drop, Dropped
from data_build.randomness import generator
from data_build.records import Clip, Dialogue, Origin, Unspoken, Voice
from data_build.speech.engines.engine import RenderingFailed
from data_build.speech.render import DialogueRenderer, SpokenDialogue
from soundflow.errors import UserError

STEP = "speech"
OWN_PHRASES = Origin("SoundFlow phrases", "Apache-2.0")
_DRAWS = 500


class SpeechSource:
    """Speaks for one split.

    Args:
        renderer: makes the renderer at the first use; engines take a moment to load.
        lot: (index, of): among ``of`` splits, speakers are told apart by their warp in hundredths.
        voices: in how many voices each text exists.
    """

    def __init__(
        self,
        renderer: Callable[[], DialogueRenderer],
        lot: tuple[int, int],
        voices: int,
        seed: int,
    ) -> None:
        self._make_renderer = renderer
        self._lot = lot
        self._voices = voices
        self._seed = seed

    @cached_property
    def _renderer(self) -> DialogueRenderer:
        return self._make_renderer()

    def voice(self, name: str, language: str, rng: np.random.Generator) -> Voice:
        """One of the voices that the text ``name`` exists in.

        Raises:
            UserError: if the pool has no voice of the language, or too narrow a range of warps.
        """
        take = int(rng.integers(self._voices))
        index, of = self._lot
        draws = generator(self._seed, "speech_source", index, name, take)
        for _ in range(_DRAWS):
            voice = self._renderer.draw_voice(draws, language)
            if round(voice.warp * 100) % of == index:
                return voice
        raise UserError(
            f"speech.pool: splits find no {language!r} voices of their own",
            f"widen warp: it needs {of} hundredths or more",
        )

    def speak(self, clip: Clip, rng: np.random.Generator) -> Clip:
        """An unspoken clip with its audio; any other clip as it is.

        Raises:
            Dropped: if it cannot be spoken well enough.
        """
        if not isinstance(clip.audio, Unspoken):
            return clip
        voice = self.voice(clip.id, clip.language, rng)
        spoken = self._rendered(clip.id, clip.text, voice, clip.language, clip.origin)
        return replace(
            spoken,
            translation=clip.translation,
            translation_language=clip.translation_language,
            notes={**clip.notes, **spoken.notes},
        )

    def say(
        self, text: str, rng: np.random.Generator, *, voice: Voice | None = None, lang: str = "en"
    ) -> Clip:
        """A phrase of ours (an instruction, a question).

        Raises:
            Dropped: if it cannot be spoken well enough.
        """
        by = voice or self.voice(text, lang, rng)
        return self._rendered(f"phrase/{text}", text, by, by.language, OWN_PHRASES)

    def converse(self, dialogue: Dialogue, rng: np.random.Generator) -> SpokenDialogue:
        """A dialogue spoken by one voice.

        Raises:
            Dropped: if any turn of it cannot be spoken well enough.
        """
        voice = self.voice(dialogue.id, dialogue.language, rng)
        spoken = self._renderer.render(dialogue, self._seed, voice)
        if isinstance(spoken, Drop):
            raise Dropped(_drop(spoken.item, spoken.reason))
        turns = tuple(replace(t, clip=_named(t.clip, voice)) for t in spoken.turns)
        return replace(spoken, turns=turns)

    def _rendered(self, name: str, text: str, voice: Voice, language: str, origin: Origin) -> Clip:
        try:
            return _named(self._renderer.clip(name, text, voice, language, origin), voice)
        except RenderingFailed as failure:
            raise Dropped(_drop(name, str(failure))) from failure


def _named(clip: Clip, voice: Voice) -> Clip:
    """The same text by another voice is another clip."""
    return replace(clip, id=f"{clip.id}@{voice.id}:r{voice.rate:g}")


def _drop(name: str, reason: str) -> Drop:
    """What the check refused is counted together; which take and why stands with the item."""
    if " refused: " in reason:
        return Drop(STEP, f"{name}: {reason}", "no rendering passed the check")
    return Drop(STEP, name, reason)
