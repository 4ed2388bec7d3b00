"""Speaks the texts of a split with voices that no other split has.

::

    Unspoken clip ─┐
    phrase         ├─▶ one of the split's voices ─▶ render ─▶ Clip with Prepared audio
    dialogue ──────┘

Nothing is rendered before a plan asks for it. A text exists in as many voices as the split has at
most, so streams share renderings, and what was rendered once comes from the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from data_build.drops import Dropped
from data_build.records import Clip, Dialogue, Origin, Prepared, Unspoken, Voice
from data_build.speech.render import Renderer
from data_build.speech.rewriting.rewriter import strip_markup
from data_build.speech.voices import VoicePool, draw_voices
from soundflow.protocol.timebase import to_seconds
from soundflow.text.normalize import primary_language

OWN_PHRASES = Origin("SoundFlow phrases", "Apache-2.0")  # instructions and questions
CUE_PHRASES = Origin("cues of the recipe", "Apache-2.0")  # in all splits: they are the task


@dataclass(frozen=True)
class SpokenTurn:
    """The user's turn as a clip, and what the assistant replies to it."""

    clip: Clip
    assistant: str
    emotion: str


class SpeechSource:
    """Speaks for one split.

    Args:
        counts: number of voices of every split of the build; voices are drawn for all of them.
        renderer: returns the renderer; called when the first text is spoken, since engines are slow
            to load and a build may need none.
    """

    def __init__(
        self,
        split: str,
        counts: Mapping[str, int],
        pool: VoicePool,
        seed: int,
        renderer: Callable[[], Renderer],
    ) -> None:
        self._split = split
        self._counts = counts
        self._pool = pool
        self._seed = seed
        self._renderer = renderer
        self._voices: dict[str, tuple[Voice, ...]] = {}

    def voices(self, language: str) -> tuple[Voice, ...]:
        """The split's voices of a language; its region is ignored.

        Raises:
            UserError: if the pool has no voice of the language, or not enough different ones.
        """
        code = primary_language(language)
        if code not in self._voices:
            engines = self._renderer().engines
            drawn = draw_voices(self._pool, engines, code, self._counts, self._seed)
            self._voices[code] = drawn[self._split]
        return self._voices[code]

    def voice(self, language: str, rng: np.random.Generator) -> Voice:
        """Any of the split's voices of a language.

        Raises:
            UserError: as `voices`.
        """
        voices = self.voices(language)
        return voices[int(rng.integers(len(voices)))]

    def speak(self, clip: Clip, voice: Voice) -> Clip:
        """An unspoken clip with its audio; any other clip as it is.

        Raises:
            Dropped: if it cannot be spoken well enough.
            ServerGone: if a server has stopped responding.
        """
        if not isinstance(clip.audio, Unspoken):
            return clip
        return self._spoken(clip, voice)

    def say(self, text: str, voice: Voice, origin: Origin = OWN_PHRASES) -> Clip:
        """A phrase of the builder (an instruction, a question), or of the recipe.

        Raises:
            Dropped, ServerGone: as `speak`.
        """
        clip = Clip(
            f"phrase/{text}", "speech", Unspoken(), origin, text=text, language=voice.language
        )
        return self._spoken(clip, voice)

    def converse(self, dialogue: Dialogue, voice: Voice) -> tuple[SpokenTurn, ...]:
        """A dialogue spoken by one voice: every turn, or none at all.

        Raises:
            Dropped, ServerGone: as `speak`, for any turn of it.
        """
        return tuple(
            SpokenTurn(
                self._spoken(
                    Clip(
                        id=f"{dialogue.id}/{number}",
                        kind="speech",
                        audio=Unspoken(),
                        origin=dialogue.origin,
                        text=turn.user,
                        language=dialogue.language,
                    ),
                    voice,
                ),
                strip_markup(turn.assistant, dialogue.language).text,
                turn.emotion,
            )
            for number, turn in enumerate(dialogue.turns)
        )

    def _spoken(self, clip: Clip, voice: Voice) -> Clip:
        try:
            rendering = self._renderer().render(clip.text, voice)
        except Dropped as dropped:
            item = f"{clip.id}: {dropped.drop.item}"
            raise Dropped(replace(dropped.drop, item=item)) from dropped
        return replace(
            clip,
            # The same text by another voice is another clip.
            id=f"{clip.id}@{voice.id}:r{voice.rate:g}",
            audio=Prepared(str(rendering.clip.path)),
            duration_s=to_seconds(rendering.clip.n_samples),
            text=rendering.said.text,
            speaker=voice.id,
            notes={
                **clip.notes,
                "voice": vars(voice),
                "take": rendering.take,
                "wer": rendering.wer,
                "written": clip.text,
                "rewritten": list(rendering.said.rules),
            },
        )
