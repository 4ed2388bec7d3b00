"""What happens in a stream: its items, what is said to the assistant, what is instructed.

::

    planner ─▶ StreamPlan ─▶ AudibleItem (in time) ─▶ LabelledPlan (with replies)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from data_build.records import Clip, PlannedReply, TrackRole, Trend

# What governs the replies until another instruction takes its place: exactly one is in force.


@dataclass(frozen=True)
class Chat:
    """The default: answers what is said to it, warns of danger, is silent otherwise."""


@dataclass(frozen=True)
class Transcribe:
    """Writes down all speech: each word, each utterance, or each with its speaker's number."""

    by: Literal["word", "utterance", "speaker"]


@dataclass(frozen=True)
class Translate:
    """Translates all foreign speech: ``wait_k`` words behind, or when an utterance ends (None)."""

    wait_k: int | None = None


@dataclass(frozen=True)
class DescribeSounds:
    """Describes every sound."""


@dataclass(frozen=True)
class CountSound:
    """Counts aloud: ``words`` (lines of the grammar) for the first, second, ... time that the cue
    ``sound`` is heard.
    """

    sound: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class WatchFor:
    """Says when a sound of the class ``sound``, called ``name``, is heard."""

    sound: str
    name: str


@dataclass(frozen=True)
class KeepQuiet:
    """Does not answer the one who said it, or nobody at all; dangers are named all the same."""

    everybody: bool


Instruction = (
    Chat | Transcribe | Translate | DescribeSounds | CountSound | WatchFor | KeepQuiet
)  # fmt: skip


# What speech that is addressed to the assistant says to it.


@dataclass(frozen=True)
class Turn:
    """A turn of a conversation, with the reply of its corpus."""

    reply: str
    emotion: str = "normal"


@dataclass(frozen=True)
class Request:
    """Puts ``instruction`` in force."""

    instruction: Instruction
    acknowledgement: PlannedReply


@dataclass(frozen=True)
class AskLatest:
    """Asks what the newest sound is; ``names``: which of these sounds it is."""

    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class AskCount:
    """Asks how often a sound of the class ``sound`` was heard."""

    sound: str


@dataclass(frozen=True)
class AskOrder:
    """Asks which sound came first or last, apart from what goes on all the time."""

    which: Literal["first", "last"]


@dataclass(frozen=True)
class AskPlace:
    """Asks where one is, in the setting of the ontology that the scene was planned for."""

    setting: str


SoundQuestion = AskLatest | AskCount | AskOrder | AskPlace
Address = Turn | Request | SoundQuestion


@dataclass(frozen=True)
class Item:
    """One clip of a stream and its track; planners say what happens, not what it deserves.

    Attributes:
        what: names the item in the timeline ("user turn", "smoke_alarm", ...).
        address: what it says to the assistant; None: it is no speech, or not meant for it.
        is_cue: whether ``what`` is a cue of the recipe, which decides about its reply.
    """

    clip: Clip
    what: str
    track: TrackRole = "foreground"
    address: Address | None = None
    is_cue: bool = False


@dataclass(frozen=True)
class StreamPlan:
    """What happens in a stream: foreground items in order, background and ambient ones beside.

    Attributes:
        system: the text before the stream; it says what ``instruction`` means.
        instruction: what is in force when the stream begins.
        language: of what the assistant says beside the texts of its sources.
        least: with fewer than this many foreground items the plan has lost its point.
        notes: for the provenance of the sample.
        scene: the planned scene in a sentence; empty: there is none.
    """

    id: str
    ability: str
    task: str
    system: str
    instruction: Instruction
    items: tuple[Item, ...]
    least: int
    notes: dict[str, Any] = field(default_factory=dict)
    scene: str = ""
    language: str = "en"

    @property
    def any_sound(self) -> bool:
        """Whether any sound may be asked about: under it lies no noise that has a name."""
        asked = [item.address for item in self.items]
        told = [a.instruction for a in asked if isinstance(a, Request)]
        return any(isinstance(a, AskLatest | AskOrder | AskPlace) for a in asked) or any(
            isinstance(instruction, DescribeSounds) for instruction in (self.instruction, *told)
        )


@dataclass(frozen=True)
class AudibleItem:
    """An item with the span in which it can be heard, in samples of the stream.

    Attributes:
        onsets: how many separate sounds it holds; None where that cannot be told.
        trend: whether its level clearly rises or falls.
    """

    item: Item
    on_samples: int
    end_samples: int
    onsets: int | None = 1
    trend: Trend | None = None


@dataclass(frozen=True)
class LabelledPlan:
    """A plan with the replies that each of its items deserves (often none)."""

    plan: StreamPlan
    replies: tuple[tuple[PlannedReply, ...], ...]


@dataclass(frozen=True)
class OfflinePlan:
    """An offline sample before its audio is read: one answer after the whole recording.

    ``user`` is the question in text; there is none where the answer is the transcript. ``clip`` is
    None where there is text alone.
    """

    id: str
    ability: str
    form: str
    system: str
    clip: Clip | None
    user: str | None
    answer: str
    notes: dict[str, Any] = field(default_factory=dict)
