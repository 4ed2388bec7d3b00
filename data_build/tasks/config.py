"""Settings of the tasks: what deserves a reply, and how many items a stream has."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated

from annotated_types import MinLen
from pydantic import AfterValidator
from pydantic.dataclasses import dataclass

from data_build.records import PlannedReply
from data_build.wording.grammar import parse
from soundflow.config.settings import SETTINGS, Few, Fraction, Ordered, PositiveSeconds
from soundflow.protocol.tokens import EMOTIONS

Range = Annotated[tuple[Few, Few], Ordered]


def _of_the_grammar(line: str) -> str:
    parse(line)
    return line


# What is said, in the grammar of data_build/wording; a plain text stands for itself.
Line = Annotated[str, MinLen(1), AfterValidator(_of_the_grammar)]


@dataclass(frozen=True, config=SETTINGS)
class CueConfig:
    """A sound or phrase, and the reply that it deserves (none by default).

    Exactly one of ``say`` (spoken by the voices), ``sound`` (a kind that can be synthesised) and
    ``label`` (clips of a source) is given.

    Attributes:
        say, reply: lines of the grammar (`data_build.wording`), and so may be plain texts.
        language: of ``say``.
        answers: further texts that count as right.
        ready_s: time into the sound at which a listener could recognise it; by default as
            ``labelling/recognition.tsv`` or the synthesis says, at the latest its end.
    """

    name: str
    say: Line | None = None
    sound: str | None = None
    label: str | None = None
    language: str = "en"
    reply: Line | None = None
    emotion: str = "normal"
    answers: tuple[str, ...] = ()
    ready_s: PositiveSeconds | None = None

    def __post_init__(self) -> None:
        given = [f for f in ("say", "sound", "label") if getattr(self, f) is not None]
        if len(given) != 1:
            raise ValueError(
                f"cue {self.name!r}: expected one of say, sound and label, got {given or 'none'}"
            )
        if self.emotion not in EMOTIONS:
            raise ValueError(f"cue {self.name!r}: emotion {self.emotion!r} is not in {EMOTIONS}")
        if self.answers and self.reply is None:
            raise ValueError(f"cue {self.name!r}: answers without a reply")

    @property
    def planned(self) -> PlannedReply | None:
        """The reply for a plan; None: the cue deserves none."""
        if self.reply is None:
            return None
        return PlannedReply(self.reply, self.emotion, self.ready_s, self.answers)


@dataclass(frozen=True, config=SETTINGS)
class CueStreamConfig:
    """How many cues a stream holds, and the share of them that deserves a reply."""

    items: Range = (3, 8)
    respond_share: Fraction = 0.5


@dataclass(frozen=True, config=SETTINGS)
class CountingConfig:
    """An early instruction to count a sound that otherwise deserves no reply.

    Attributes:
        sound: name of the cue to be counted.
        instruction, reply: what the user says, and the assistant's assent.
        words: what is said for the first, second, ... one. All are lines of the grammar
            (`data_build.wording`), and so may be plain texts.
        uninstructed_share: share of the counting streams without the instruction.
    """

    instruction: Line = "<count.spoken>"
    reply: Line = "<count.reply>"
    sound: str = "beep"
    words: Annotated[tuple[Line, ...], MinLen(1)] = (
        "<count.one>", "<count.two>", "<count.three>", "<count.four>",
    )  # fmt: skip
    distractor_share: Fraction = 0.3
    uninstructed_share: Fraction = 0.35


@dataclass(frozen=True, config=SETTINGS)
class TranscriptionConfig:
    """How many utterances a transcription stream holds."""

    utterances: Range = (3, 8)


@dataclass(frozen=True, config=SETTINGS)
class TranslationConfig:
    """How many utterances are translated, and how far a simultaneous one lags.

    Attributes:
        wait_k: source words (or characters) before the first translated one
            (Ma et al. 2019).
        uninstructed_share: share of the ``translate_on_request`` streams without a request.
    """

    utterances: Range = (3, 6)
    wait_k: Few = 3
    uninstructed_share: Fraction = 0.25


@dataclass(frozen=True, config=SETTINGS)
class SoundsConfig:
    """How many sounds a stream about sounds holds, beside the one it is about.

    Attributes:
        questions: range of the questions in ``answer_about_sound`` and ``choose_sound``, each with
            sounds of its own.
        alarms: range of the sounds that call for help in ``react_to_events``.
        uninstructed_share: share of the streams with an instruction that asks for another sound.
    """

    others: Range = (1, 3)
    counted: Range = (1, 4)
    questions: Range = (2, 4)
    alarms: Range = (2, 3)
    uninstructed_share: Fraction = 0.25


@dataclass(frozen=True, config=SETTINGS)
class PlacesConfig:
    """How often a task that could happen anywhere happens inside a planned scene.

    Attributes:
        share: of the streams of each task that draws on scenes but does not need one.
        asked_share: of the conversations in a scene; in these the user asks about what can be
            heard there.
    """

    share: Fraction = 0.3
    asked_share: Fraction = 0.5


@dataclass(frozen=True, config=SETTINGS)
class DialogueConfig:
    """How many turns of a dialogue a stream uses, and how long a reply may be.

    Attributes:
        turns: range of the user's turns; a dialogue of fewer is followed by others.
        max_reply_words: a longer reply is cut after its last whole sentence within.
    """

    turns: Range = (3, 8)
    max_reply_words: Few = 60


@dataclass(frozen=True, config=SETTINGS)
class MixInConfig:
    """Probabilities of additions to conversations; published for stage 4 (method, section 2.4).

    Attributes:
        history: a late question about something said at least three rounds before.
        silent: a sound that deserves no reply.
        proactive: a sound that deserves an unprompted reply.
    """

    history: Fraction = 0.30
    silent: Fraction = 0.40
    proactive: Fraction = 0.30


@dataclass(frozen=True, config=SETTINGS)
class InstructionsConfig:
    """How a stream says which task it is.

    Attributes:
        written_share: share of the instructed streams whose instruction is a text before the
            stream; in the others the user speaks it. A stream without an instruction has the
            default behaviour: replies when addressed, warnings of danger, silence otherwise.
    """

    written_share: Fraction = 0.5


@dataclass(frozen=True, config=SETTINGS)
class TasksConfig:
    """One block of settings for each group of tasks."""

    instructions: InstructionsConfig = field(default_factory=InstructionsConfig)
    cues: CueStreamConfig = field(default_factory=CueStreamConfig)
    counting: CountingConfig = field(default_factory=CountingConfig)
    transcription: TranscriptionConfig = field(default_factory=TranscriptionConfig)
    translation: TranslationConfig = field(default_factory=TranslationConfig)
    sounds: SoundsConfig = field(default_factory=SoundsConfig)
    places: PlacesConfig = field(default_factory=PlacesConfig)
    dialogue: DialogueConfig = field(default_factory=DialogueConfig)
    mixins: MixInConfig = field(default_factory=MixInConfig)
