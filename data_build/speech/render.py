"""Renders a text to a clip on disk: rewritten, spoken by one voice, checked.

::

    text ─▶ rewrite ─▶ synthesise ─▶ length, WER ─▶ clip in the cache
                           ▲             │ fails
                           └── next take ┘ (at most ``retries`` times; then the text is dropped)

A rendering is a function of its text, its voice and the ids of the parts; what was rendered once,
by any process on the machine, is taken from the cache.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache

from data_build.clip_cache import CachedClip, ClipCache, clip_key
from data_build.drops import Drop, Dropped, unanswered
from data_build.records import VOICE_LIMITS, Voice
from data_build.speech.asr import AsrModel
from data_build.speech.engines.engine import STEP, SpeechEngine, unspeakable
from data_build.speech.gate import GateConfig, check
from data_build.speech.pronunciation import rare_words
from data_build.speech.rewriting.rewriter import Rewriter, Rewritten
from data_build.speech.voices import fitted, synthesise
from soundflow.endpoints.http_calls import CallFailure
from soundflow.text.normalize import primary_language, units

_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]")
VERSION = 2  # raise when a rendering of the same text and voice changes
# The same speaker at another pace and pitch: enough for an engine without randomness to say it
# otherwise.
_MANNERS = ((1.0, 1.0), (0.93, 1.03), (1.06, 0.97), (0.88, 1.06))


@dataclass(frozen=True)
class Rendering:
    """A rendered text.

    Attributes:
        said: the text as it was rewritten for speech, and how.
        clip: the audio in the cache.
        take: which of the tries passed the gate.
        wer: word error rate that the gate measured; None: it checked the length alone.
    """

    said: Rewritten
    clip: CachedClip
    take: int
    wer: float | None


@dataclass(frozen=True)
class Tally:
    """How many texts of each class were to be spoken, and how many of them the check refused."""

    asked: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    def clear(self) -> None:
        self.asked.clear()
        self.refused.clear()


class Renderer:
    """Renders texts with one set of engines, ASR models and rewriter.

    Args:
        engines: by the name that voices use.
        asr_models: language code -> model; other languages are checked by length alone.
        tally: counts the texts, as often as they are asked for.
    """

    def __init__(
        self,
        engines: Mapping[str, SpeechEngine],
        cache: ClipCache,
        rewriter: Rewriter,
        asr_models: Mapping[str, AsrModel],
        gate: GateConfig,
        tally: Tally,
    ) -> None:
        self.engines = engines
        self._cache = cache
        self._rewriter = rewriter
        self._asr_models = asr_models
        self._gate = gate
        self._tally = tally
        self._refused: dict[str, Drop] = {}  # by key, so that nothing is refused twice

    def render(self, written: str, voice: Voice) -> Rendering:
        """One text by one voice, in the voice's language.

        Raises:
            Dropped: if no take passes the gate, nothing is left to speak, or a server gives no
                usable answer for this text.
            ServerGone: if a server has stopped responding.
            UserError: if an engine does not support the settings of the voice.
        """
        try:
            said = self._rewriter.rewrite(written, voice.language)
            if not any(c.isalnum() for c in said.text):
                raise unspeakable(written, "nothing to speak")
            clip = self._clip(said.text, voice)
        except CallFailure as failure:
            raise Dropped(unanswered(failure, STEP, repr(written))) from failure
        notes = clip.notes
        return Rendering(said, clip, notes["take"], notes["wer"])

    def _clip(self, text: str, voice: Voice) -> CachedClip:
        engine, asr_model = self.engines[voice.engine], self._asr_models.get(voice.language)
        key = clip_key(
            {
                "version": VERSION,
                "text": text,
                "voice": vars(voice),
                "engine": engine.id,
                "gate": asdict(self._gate),
                "asr_model": asr_model.id if asr_model else None,
            }
        )
        kind = text_class(text, voice.language)
        self._tally.asked[kind] += 1
        stored = self._cache.get(key)
        if stored is not None:
            return stored
        if key in self._refused:
            self._tally.refused[kind] += 1
            raise Dropped(self._refused[key])
        reasons: list[str] = []
        for take in range(self._gate.retries + 1):
            variant = _take(voice, take, engine)
            samples = synthesise(text, variant, engine)
            result = check(samples, text, voice.language, variant.rate, asr_model, self._gate)
            if result.passed:
                return self._cache.put(key, samples, {"take": take, "wer": result.wer})
            reasons.append(result.reason)
        self._tally.refused[kind] += 1
        reason = f"no rendering of a text of {kind} passed the check"
        dropped = unspeakable(text, reason, "; ".join(reasons))
        self._refused[key] = dropped.drop
        raise dropped


@lru_cache(maxsize=1 << 14)
def text_class(text: str, language: str) -> str:
    """The class of a text: refusals are counted by it, so that none disappears unseen.

    By its length, and by what an ASR model may spell otherwise or not know: numbers, and in English
    names (a capital inside a sentence) and rare words, which the dictionary lacks.
    """
    spoken = units(text, language)
    sizes = ((3, "1 to 3 words"), (9, "4 to 9 words"), (25, "10 to 25 words"))
    size = next((name for most, name in sizes if len(spoken) <= most), "more than 25 words")
    if any(c.isdigit() for unit in spoken for c in unit):
        return f"{size} with numbers"
    if primary_language(language) == "en" and (_NAME.search(text) or rare_words(spoken)):
        return f"{size} with names or rare words"
    return size


def _take(voice: Voice, take: int, engine: SpeechEngine) -> Voice:
    by_pace, by_pitch = _MANNERS[take % len(_MANNERS)]
    lowest, highest = VOICE_LIMITS["rate"]
    rate = min(max(round(voice.rate * by_pace, 3), lowest), highest)
    lowest, highest = VOICE_LIMITS["pitch"]
    pitch = min(max(round(voice.pitch * by_pitch, 3), lowest), highest)
    return fitted(replace(voice, rate=rate, pitch=pitch, take=voice.take + take), engine)
