"""What flows through a build: immutable records; audio is read only where it is mixed.

::

    corpus ─▶ Clip ──────────────┐
    corpus ─▶ Dialogue ─▶ Clip   ├─▶ StreamPlan ─▶ StreamSample ─▶ shard
              (rendered speech)  ┘
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

ClipKind = Literal["speech", "event", "music", "noise"]
TrackRole = Literal["foreground", "background", "ambient"]


@dataclass(frozen=True)
class Origin:
    """Where an item came from and under which licence; travels into every sample's provenance."""

    corpus: str
    licence: str
    attribution: str = ""


@dataclass(frozen=True)
class AudioRef:
    """Audio that is not read yet: a file, or a member of a tar, and the part of it that is meant.

    ``end_s`` None means the end of the file.
    """

    path: str
    member: str | None = None
    start_s: float = 0.0
    end_s: float | None = None


@dataclass(frozen=True)
class Word:
    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Clip:
    """A recording (or rendering) with everything its corpus says about it.

    ``id`` is unique in its corpus and stable between runs. ``labels`` are sound classes,
    ``words`` word times where the source or the TTS gives them. ``extra`` holds what only one
    kind of corpus has (a question about the clip, its answers, an emotion, ...).
    """

    id: str
    kind: ClipKind
    audio: AudioRef
    origin: Origin
    duration_s: float | None = None
    text: str = ""
    language: str = ""
    speaker: str = ""
    labels: tuple[str, ...] = ()
    caption: str = ""
    translation: str = ""
    words: tuple[Word, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DialogueTurn:
    user: str
    assistant: str
    emotion: str = "normal"


@dataclass(frozen=True)
class Dialogue:
    """A conversation in text, to be spoken by one voice."""

    id: str
    turns: tuple[DialogueTurn, ...]
    origin: Origin
    language: str = "en"


@dataclass(frozen=True)
class Drop:
    """An item that did not make it, and why. Every skipped item becomes one."""

    step: str
    item: str
    reason: str


class Dropped(Exception):
    """Raised where an item is found unusable in the middle of a plan; carries its `Drop`."""

    def __init__(self, drop: Drop) -> None:
        super().__init__(f"{drop.item}: {drop.reason}")
        self.drop = drop


@dataclass(frozen=True)
class PlannedReply:
    """A reply tied to a clip: said ``after_s`` into it, or at its end where that is None.

    ``answers`` are further texts that would count as right; ``text`` always does.
    """

    text: str
    emotion: str = "normal"
    after_s: float | None = None
    answers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Item:
    """One clip of a stream: on which track, and what it makes the assistant say (often nothing).

    ``what`` names the item in the timeline ("user turn", "smoke_alarm", ...).
    """

    clip: Clip
    what: str
    track: TrackRole = "foreground"
    replies: tuple[PlannedReply, ...] = ()


@dataclass(frozen=True)
class StreamPlan:
    """A stream before it is mixed: foreground items in order, background and ambient ones beside.

    Made by an ability (`data_build.tasks`) from a seeded generator; mixed by
    `data_build.compose`. ``notes`` goes into the provenance of the sample. A plan that is ``whole``
    makes no sense without its last item (a question about what was heard before).
    """

    id: str
    ability: str
    task: str
    system: str
    items: tuple[Item, ...]
    notes: dict[str, Any] = field(default_factory=dict)
    whole: bool = False
