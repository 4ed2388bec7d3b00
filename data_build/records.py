"""The immutable records of a build; audio is read only when it is mixed.

::

    corpus ─▶ Clip ──────────────┐
    corpus ─▶ Dialogue ─▶ Clip   ├─▶ StreamPlan ─▶ LabelledPlan ─▶ StreamSample ─▶ shard
              (rendered speech)  ┘   (`data_build.plans`)
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from pydantic import Field

from soundflow.protocol.turns import Basis

ClipKind = Literal["speech", "event", "music", "noise"]
TrackRole = Literal["foreground", "background", "ambient"]
Trend = Literal["rising", "fading"]
Texture = Literal["ambient", "event"]
Verdict = Literal["respond", "borderline", "silent"]


@dataclass(frozen=True)
class Origin:
    """Where an item came from and under which licence; travels into every sample's provenance."""

    corpus: str
    licence: str
    attribution: str = ""


@dataclass(frozen=True)
class Recorded:
    """Audio in a file that is not read yet: the file, or a member of a tar, and the part meant.

    ``end_s`` None means the end of the file.
    """

    path: str
    member: str | None = None
    start_s: float = 0.0
    end_s: float | None = None
    type: Literal["Recorded"] = "Recorded"


@dataclass(frozen=True)
class SyntheticSound:
    """A sound still to be synthesised: a kind of `data_build.synth`, and the seed of this take."""

    kind: str
    seed: tuple[str | int, ...]
    seconds: float | None = None
    type: Literal["SyntheticSound"] = "SyntheticSound"


# What the factors of a voice may be: beyond, engines and resampling give no voice any more.
VOICE_LIMITS = {"warp": (0.75, 1.35), "pitch": (0.6, 1.6), "rate": (0.5, 2.0)}


@dataclass(frozen=True)
class Voice:
    """A voice: that of an engine, changed by three factors; 1 leaves it unchanged.

    Attributes:
        engine: "pico", "hibari", or the name of a voice server in the recipe.
        name: the engine's name for the voice.
        warp: formant scale (above 1: shorter vocal tract).
        pitch: scale of the fundamental frequency.
        rate: pace; 2 is twice as fast.
        take: seed of what the engine varies from rendering to rendering.
    """

    engine: str
    name: str
    language: str = "en"
    warp: float = 1.0
    pitch: float = 1.0
    rate: float = 1.0
    take: int = 0

    def __post_init__(self) -> None:
        for name, (low, high) in VOICE_LIMITS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} must lie in [{low}, {high}], got {value}")

    @property
    def id(self) -> str:
        """Identifies the speaker (not the take)."""
        return f"{self.engine}:{self.name}:w{self.warp:g}:p{self.pitch:g}"


@dataclass(frozen=True)
class Unspoken:
    """The clip's text, still to be spoken: `data_build.speech` gives it a voice and its audio."""

    type: Literal["Unspoken"] = "Unspoken"


@dataclass(frozen=True)
class Prepared:
    """A file that is used as it is: already checked and processed."""

    path: str
    type: Literal["Prepared"] = "Prepared"


# ``type`` tells them apart in the tables.
ClipAudio = Annotated[Recorded | SyntheticSound | Unspoken | Prepared, Field(discriminator="type")]


@dataclass(frozen=True)
class Word:
    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Question:
    """A question about one clip that came with its corpus, and every answer that is right."""

    text: str
    answers: tuple[str, ...]


@dataclass(frozen=True)
class PlannedReply:
    """A reply tied to a clip: due ``after_s`` into it, else when ``needs_s`` of it were audible,
    else at its end; ``basis`` tells where that time comes from. ``answers`` would be right too, and
    so would ``plainest``, which says the same in the plainest of all wordings (empty: ``text``).
    """

    text: str
    emotion: str = "normal"
    after_s: float | None = None
    answers: tuple[str, ...] = ()
    needs_s: float | None = None
    basis: Basis = "known"
    plainest: str = ""

    @property
    def plain(self) -> str:
        return self.plainest or self.text


@dataclass(frozen=True)
class Judgement:
    """What the intervention policy says to a sound that nobody asked about.

    Attributes:
        reply: the unprompted words of the assistant; None: it stays silent.
        category: the kind of danger; empty where a cue of the recipe gives the reply.
        evidence: the classes that decided it.
        made_by: the rules, the recipe, or the prompt of a chat model.
        texts: language -> the text of the reply, where a chat model wrote it; empty: that of
            ``reply`` is a line of the grammar, which is said in any language.
    """

    reply: PlannedReply | None = None
    category: str = ""
    evidence: tuple[str, ...] = ()
    made_by: dict[str, Any] = field(default_factory=lambda: {"name": "rules", "version": 2})
    texts: dict[str, str] = field(default_factory=dict)

    def reply_in(self, language: str) -> PlannedReply | None:
        """The reply, for a stream in a language."""
        if self.reply is None or language not in self.texts:
            return self.reply
        return replace(self.reply, text=self.texts[language])


@dataclass(frozen=True)
class Clip:
    """A sound or an utterance with everything its corpus says about it.

    Attributes:
        id: unique in its corpus and stable between runs.
        audio: where its samples come from.
        labels: sound classes, in the words of the corpus.
        translation, translation_language: of ``text``.
        words: word times, where the source, the engine or an aligner gives them.
        words_by: where ``words`` come from; empty: the source itself.
        group: clips of one group never lie in different splits (as those of one speaker).
        recording: what its file is, wherever it lies; empty: not known.
        near_duplicates: the cluster of recordings that sound the same; empty: there is no other.
        texture: whether a noise is one of events or of an ambience; None: not known.
        question: about this clip, from its corpus.
        judgement: what the intervention policy says to it; None: not asked yet.
        notes: facts for the provenance of a sample; written, never read back.
    """

    id: str
    kind: ClipKind
    audio: ClipAudio
    origin: Origin
    duration_s: float | None = None
    text: str = ""
    language: str = ""
    speaker: str = ""
    labels: tuple[str, ...] = ()
    caption: str = ""
    translation: str = ""
    translation_language: str = "en"
    words: tuple[Word, ...] = ()
    words_by: str = ""
    group: str = ""
    recording: str = ""
    near_duplicates: str = ""
    texture: Texture | None = None
    question: Question | None = None
    judgement: Judgement | None = None
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DialogueTurn:
    user: str
    assistant: str
    emotion: str = "normal"


@dataclass(frozen=True)
class Dialogue:
    """A conversation in text, to be spoken by one voice.

    Attributes:
        places: settings of scenes in which it makes sense; empty: anywhere.
        theme: two of one theme do not follow each other in a stream; empty: it has none.
    """

    id: str
    turns: tuple[DialogueTurn, ...]
    origin: Origin
    language: str = "en"
    places: tuple[str, ...] = ()
    theme: str = ""
