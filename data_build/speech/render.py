"""A dialogue in text to a dialogue that is spoken: one voice, every turn checked, or none at all.

::

    turn ─▶ rewrite ─▶ synthesise ─▶ length, WER ─▶ word times ─▶ Clip in the cache
                           ▲             │ fails
                           └── next take ┘ (at most ``retries`` times; then the dialogue goes)

Everything is a function of (seed, dialogue) and of the parts' ids; what was rendered once, by any
process on the machine, is taken from the cache.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from data_build.chat.http_calls import CallFailure
from data_build.drops import Drop
from data_build.randomness import generator
from data_build.records import Clip, Dialogue, Origin, Prepared, Voice, Word
from data_build.speech.align import Aligner
from data_build.speech.asr.asr_model import AsrModel
from data_build.speech.asr_check import GateConfig, judge
from data_build.speech.clip_cache import CachedClip, ClipCache, clip_key
from data_build.speech.engines.engine import Engine, RenderingFailed
from data_build.speech.pool import VoicePool
from data_build.speech.rewrite import Rewriter, Rewritten, strip_markup
from data_build.speech.voices import fitted, synthesise
from soundflow.protocol.timebase import to_seconds

VERSION = 1  # raise when a rendering of the same text and voice changes
_STEP = "speech"
# The same speaker at another pace: enough for an engine without randomness to say it otherwise.
_PACES = (1.0, 0.93, 1.06, 0.88)


@dataclass(frozen=True)
class SpokenTurn:
    """The user's turn as a clip, and the reply it wants."""

    clip: Clip
    assistant: str
    emotion: str


@dataclass(frozen=True)
class SpokenDialogue:
    """A `Dialogue` whose user turns are clips of one voice."""

    id: str
    voice: Voice
    turns: tuple[SpokenTurn, ...]
    origin: Origin
    language: str


@dataclass(frozen=True)
class RenderCounts:
    """What rendering came to; add up over processes. ``refused`` counts takes by reason."""

    dialogues: int = 0
    dropped: int = 0
    clips: int = 0
    cache_hits: int = 0
    takes: int = 0
    refused: dict[str, int] = field(default_factory=dict)

    def __add__(self, other: RenderCounts) -> RenderCounts:
        refused = dict(sorted((Counter(self.refused) + Counter(other.refused)).items()))
        totals = {
            f.name: getattr(self, f.name) + getattr(other, f.name)
            for f in dataclasses.fields(self)
            if f.name != "refused"
        }
        return RenderCounts(**totals, refused=refused)


class DialogueRenderer:
    """Renders dialogues with one set of engines, asr_model, aligner and rewriter.

    Args:
        engines: by the name that voices use; must hold every engine of ``pool``.
        asr_models: language code -> asr_model; other languages are checked by length alone.
        aligner: None leaves the clips without word times.
    """

    def __init__(
        self,
        pool: VoicePool,
        engines: Mapping[str, Engine],
        cache: ClipCache,
        rewriter: Rewriter,
        asr_models: Mapping[str, AsrModel],
        aligner: Aligner | None,
        gate: GateConfig,
    ) -> None:
        self._pool = pool
        self._engines = engines
        self._cache = cache
        self._rewriter = rewriter
        self._recognisers = asr_models
        self._aligner = aligner
        self._gate = gate
        self.counts = RenderCounts()
        self._refused: dict[str, str] = {}  # key -> why, so that nothing is refused twice

    def draw_voice(self, rng: np.random.Generator, language: str) -> Voice:
        """A speaker of the pool.

        Raises:
            UserError: if the pool has no voice of the language.
        """
        return self._pool.draw(rng, language, self._engines)

    def render(
        self, dialogue: Dialogue, seed: int, voice: Voice | None = None
    ) -> SpokenDialogue | Drop:
        """The spoken dialogue, or why there is none: one bad turn drops all of it.

        Args:
            voice: who speaks; by default a voice drawn from (seed, dialogue).

        Raises:
            UserError: if the pool has no voice of the language, or an engine lacks what is asked.
        """
        if voice is None:
            rng = generator(seed, "voice", dialogue.origin.corpus, dialogue.id)
            voice = self.draw_voice(rng, dialogue.language)
        turns: list[SpokenTurn] = []
        for number, turn in enumerate(dialogue.turns):
            try:
                clip = self.clip(
                    f"{dialogue.id}/{number}", turn.user, voice, dialogue.language, dialogue.origin
                )
            except RenderingFailed as failure:
                self._count(dialogues=1, dropped=1)
                return Drop(_STEP, dialogue.id, f"turn {number}: {failure}")
            reply = strip_markup(turn.assistant, dialogue.language).text
            turns.append(SpokenTurn(clip, reply, turn.emotion))
        self._count(dialogues=1)
        return SpokenDialogue(dialogue.id, voice, tuple(turns), dialogue.origin, dialogue.language)

    def clip(self, id: str, written: str, voice: Voice, language: str, origin: Origin) -> Clip:
        """One text by one voice.

        Raises:
            RenderingFailed: if no take passes, a server does not answer, or nothing is left to
                speak; says which.
        """
        try:
            spoken = self._rewriter.rewrite(written, language)
            if not any(c.isalnum() for c in spoken.text):
                raise RenderingFailed(f"nothing to speak in {written!r}")
            stored = self._rendered(spoken.text, voice, language)
        except CallFailure as failure:
            raise RenderingFailed(str(failure)) from failure
        self._count(clips=1)
        return _clip(id, written, spoken, stored, voice, language, origin)

    def _rendered(self, text: str, voice: Voice, language: str) -> CachedClip:
        engine = self._engines[voice.engine]
        asr_model = self._recognisers.get(language.split("-")[0].lower())
        key = clip_key(
            {
                "version": VERSION,
                "text": text,
                "language": language,
                "voice": asdict(voice),
                "engine": engine.id,
                "gate": asdict(self._gate),
                "asr_model": asr_model.id if asr_model else None,
                "aligner": self._aligner.id if self._aligner else None,
            }
        )
        stored = self._cache.get(key)
        if stored is not None:
            self._count(cache_hits=1)
            return stored
        if key in self._refused:
            raise RenderingFailed(self._refused[key])
        reasons: list[str] = []
        for take in range(self._gate.retries + 1):
            variant = _take(voice, take, engine)
            samples = synthesise(text, variant, engine)
            self._count(takes=1)
            verdict = judge(samples, text, language, variant.rate, asr_model, self._gate)
            if verdict.passed:
                notes: dict[str, Any] = {"take": take, "wer": verdict.wer, "heard": verdict.heard}
                if self._aligner is not None:
                    times = self._aligner.align(samples, text, language)
                    notes["words"] = [asdict(w) for w in times.words]
                    notes["words_by"] = times.by
                return self._cache.put(key, samples, notes)
            self._count(refused=verdict.reason.split()[0].rstrip(":") + f" ({engine.id})")
            reasons.append(verdict.reason)
        self._refused[key] = f"{len(reasons)} takes of {text!r} refused: {'; '.join(reasons)}"
        raise RenderingFailed(self._refused[key])

    def _count(self, refused: str | None = None, **more: int) -> None:
        self.counts += RenderCounts(**more, refused={refused: 1} if refused else {})


def _take(voice: Voice, take: int, engine: Engine) -> Voice:
    pace = min(max(round(voice.rate * _PACES[take % len(_PACES)], 3), 0.5), 2.0)
    return fitted(dataclasses.replace(voice, rate=pace, take=voice.take + take), engine)


def _clip(
    id: str,
    written: str,
    spoken: Rewritten,
    stored: CachedClip,
    voice: Voice,
    language: str,
    origin: Origin,
) -> Clip:
    notes = stored.notes
    return Clip(
        id=id,
        kind="speech",
        audio=Prepared(str(stored.path)),
        origin=origin,
        duration_s=to_seconds(stored.n_samples),
        text=spoken.text,
        language=language,
        speaker=voice.id,
        words=tuple(Word(**w) for w in notes.get("words", ())),
        words_by=str(notes.get("words_by") or ""),
        notes={
            "voice": asdict(voice),
            "take": notes["take"],
            "wer": notes["wer"],
            "written": written,
            "rewritten": list(spoken.rules),
        },
    )
