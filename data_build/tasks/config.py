"""What deserves a reply and what does not, as data."""

from __future__ import annotations

from dataclasses import dataclass, field

from soundflow.protocol.tokens import EMOTIONS


@dataclass(frozen=True)
class CueConfig:
    """Something that can be heard, and what it makes the assistant say (nothing by default).

    Exactly one of ``say`` (spoken by the voices), ``sound`` (a kind that can be synthesised) and
    ``label`` (clips of a manifest) says what is heard.

    Attributes:
        language: of ``say``.
        answers: further texts that count as right.
        ready_s: how far into the sound a listener could know; by default its end, or what the
            synthesis knows about the kind.
    """

    name: str
    say: str | None = None
    sound: str | None = None
    label: str | None = None
    language: str = "en"
    reply: str | None = None
    emotion: str = "normal"
    answers: tuple[str, ...] = ()
    ready_s: float | None = None

    def __post_init__(self) -> None:
        heard = [f for f in ("say", "sound", "label") if getattr(self, f) is not None]
        if len(heard) != 1:
            raise ValueError(f"cue {self.name!r}: needs one of say, sound, label; has {heard}")
        if self.emotion not in EMOTIONS:
            raise ValueError(f"cue {self.name!r}: emotion {self.emotion!r} is not in {EMOTIONS}")
        if self.answers and self.reply is None:
            raise ValueError(f"cue {self.name!r}: answers without a reply")
        if self.ready_s is not None and self.ready_s <= 0:
            raise ValueError(f"cue {self.name!r}: ready_s must be positive, got {self.ready_s}")


@dataclass(frozen=True)
class SceneConfig:
    """How many cues a stream holds, and the share of them that deserves a reply."""

    items: tuple[int, int] = (2, 5)
    respond_share: float = 0.5

    def __post_init__(self) -> None:
        if not 1 <= self.items[0] <= self.items[1]:
            raise ValueError(f"items must be a range from 1 up, got {self.items}")
        if not 0 <= self.respond_share <= 1:
            raise ValueError(f"respond_share must lie in [0, 1], got {self.respond_share}")


@dataclass(frozen=True)
class CountingConfig:
    """An early instruction that makes a sound count, which otherwise means nothing.

    Attributes:
        sound: name of the cue to be counted.
        words: what is said for the first, second, ... one.
        uninstructed_share: share of the counting streams without the instruction.
    """

    instruction: str = "count the beeps"
    reply: str = "Counting."
    sound: str = "beep"
    words: tuple[str, ...] = ("One.", "Two.", "Three.", "Four.")
    distractor_share: float = 0.3
    uninstructed_share: float = 0.35

    def __post_init__(self) -> None:
        if not self.words or not self.instruction:
            raise ValueError("instruction and words must not be empty")
        for name in ("distractor_share", "uninstructed_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}")


@dataclass(frozen=True)
class TranscriptionConfig:
    """How many utterances a transcription stream holds."""

    utterances: tuple[int, int] = (1, 3)

    def __post_init__(self) -> None:
        if not 1 <= self.utterances[0] <= self.utterances[1]:
            raise ValueError(f"utterances must be a range from 1 up, got {self.utterances}")


@dataclass(frozen=True)
class TranslationConfig:
    """How many utterances are translated, and how far a simultaneous one lags.

    Attributes:
        wait_k: words (characters, where there are none) heard before the first is translated
            (Ma et al. 2019).
        uninstructed_share: share of the streams on request in which nobody asks.
    """

    utterances: tuple[int, int] = (1, 3)
    wait_k: int = 3
    uninstructed_share: float = 0.25

    def __post_init__(self) -> None:
        _range("utterances", self.utterances)
        _share("uninstructed_share", self.uninstructed_share)
        if self.wait_k < 1:
            raise ValueError(f"wait_k must be at least 1, got {self.wait_k}")


@dataclass(frozen=True)
class SoundsConfig:
    """How many sounds a stream about sounds holds, beside the one it is about.

    Attributes:
        alarms: range of the sounds that call for help in ``react_to_events``.
        uninstructed_share: share of the streams with an instruction that asks for another sound.
    """

    others: tuple[int, int] = (1, 3)
    counted: tuple[int, int] = (1, 4)
    alarms: tuple[int, int] = (2, 3)
    uninstructed_share: float = 0.25

    def __post_init__(self) -> None:
        for name in ("others", "counted", "alarms"):
            _range(name, getattr(self, name))
        _share("uninstructed_share", self.uninstructed_share)


@dataclass(frozen=True)
class DialogueConfig:
    """How much of a dialogue a stream takes, and how long a reply may be.

    Attributes:
        turns: range of the user's turns; a dialogue of fewer is left as it is.
        max_reply_words: a longer reply is cut after its last whole sentence within.
    """

    turns: tuple[int, int] = (2, 6)
    max_reply_words: int = 60

    def __post_init__(self) -> None:
        _range("turns", self.turns)
        if self.max_reply_words < 1:
            raise ValueError(f"max_reply_words must be at least 1, got {self.max_reply_words}")


@dataclass(frozen=True)
class MixInConfig:
    """Chances of what is mixed into conversations; published for stage 4 (method, section 2.4).

    Attributes:
        history: a late question about something said at least three rounds before.
        silent: a sound that deserves no word.
        proactive: a sound that deserves one, although nobody asks.
    """

    history: float = 0.30
    silent: float = 0.40
    proactive: float = 0.30

    def __post_init__(self) -> None:
        for name in ("history", "silent", "proactive"):
            _share(name, getattr(self, name))


@dataclass(frozen=True)
class AbilitiesConfig:
    """One block of settings for each group of tasks."""

    scene: SceneConfig = field(default_factory=SceneConfig)
    counting: CountingConfig = field(default_factory=CountingConfig)
    transcription: TranscriptionConfig = field(default_factory=TranscriptionConfig)
    translation: TranslationConfig = field(default_factory=TranslationConfig)
    sounds: SoundsConfig = field(default_factory=SoundsConfig)
    dialogue: DialogueConfig = field(default_factory=DialogueConfig)
    mixins: MixInConfig = field(default_factory=MixInConfig)


def _range(name: str, bounds: tuple[int, int]) -> None:
    if not 1 <= bounds[0] <= bounds[1]:
        raise ValueError(f"{name} must be a range from 1 up, got {bounds}")


def _share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must lie in [0, 1], got {value}")
