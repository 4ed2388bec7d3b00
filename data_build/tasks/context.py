"""The context of the planners: draws clips, spoken turns and scenes of a split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from data_build.chat.client import ChatClient
from data_build.drops import Drop, Dropped
from data_build.pools.pools import Cue, Pools
from data_build.pools.prepare import PreparedClip
from data_build.randomness import StreamSeed
from data_build.records import Clip, Dialogue, Item, PlannedReply, Recorded, Unspoken
from data_build.scenes.source import CuratedScene, SceneSource
from data_build.speech.speech_source import SpeechSource
from data_build.tasks.config import TasksConfig
from data_build.tasks.wording import shortened, sound_name

T = TypeVar("T")
STEP = "plan"
TURN = "user turn"  # name of what the user says to the assistant
_TRIES, _SCANNED = 32, 2_000
_AFTER_S = 0.05  # kept behind the last word of speech that is cut, if nothing follows sooner


@dataclass(frozen=True)
class PlannerResources:
    """The sources of speech, scenes and samples of a split.

    Attributes:
        prepare: gives the samples of a clip.
        scenes: None where no task of the split needs scenes.
        probes: the chat model that writes late questions; None: the rules do.
    """

    speech: SpeechSource
    prepare: Callable[[Clip], PreparedClip]
    scenes: SceneSource | None = None
    probes: ChatClient | None = None


@dataclass(frozen=True)
class Planned:
    """The items of a stream, in order, and notes for its provenance.

    A ``whole`` one makes no sense without its last item.
    """

    items: tuple[Item, ...]
    notes: dict[str, Any] = field(default_factory=dict)
    whole: bool = False


@dataclass(frozen=True)
class PlannerContext:
    """Everything that a planner uses to plan one stream.

    Attributes:
        longest_s: recorded speech that is longer is cut to it, where its words have times.
        report: takes the drops of damaged items that the plan does without.
        rng: decides what happens. Takes and voices have generators of their own
            (``takes``, ``voices``), so that other voices or more takes leave the plan as it is.
    """

    pools: Pools
    resources: PlannerResources
    config: TasksConfig
    longest_s: float
    report: Callable[[Drop], None]
    rng: np.random.Generator
    takes: np.random.Generator
    voices: np.random.Generator

    @staticmethod
    def of(
        pools: Pools,
        resources: PlannerResources,
        config: TasksConfig,
        longest_s: float,
        seed: StreamSeed,
        report: Callable[[Drop], None],
    ) -> PlannerContext:
        draws = (seed.generator("plan"), seed.generator("clips"), seed.generator("speech"))
        return PlannerContext(pools, resources, config, longest_s, report, *draws)

    def how_many(self, bounds: tuple[int, int]) -> int:
        """A number of ``bounds``, both included."""
        return int(self.rng.integers(bounds[0], bounds[1] + 1))

    def chance(self, share: float) -> bool:
        return float(self.rng.random()) < share

    def any_of(self, pool: Sequence[T], what: str) -> T:
        """Any item of ``pool``.

        Raises:
            Dropped: if the pool is empty; ``what`` names it.
        """
        return self.pick(pool, lambda _: True, what)

    def pick(self, pool: Sequence[T], fits: Callable[[T], bool], what: str) -> T:
        """Any item of ``pool`` that ``fits``; looks at a bounded number of them.

        Raises:
            Dropped: if none does; ``what`` names it.
        """
        if len(pool):
            for _ in range(_TRIES):
                item = pool[int(self.rng.integers(len(pool)))]
                if fits(item):
                    return item
            start = int(self.rng.integers(len(pool)))
            for step in range(min(len(pool), _SCANNED)):
                item = pool[(start + step) % len(pool)]
                if fits(item):
                    return item
        raise Dropped(Drop(STEP, what, f"there is no {what} in this split", "choice"))

    def cue(self, cue: Cue, *, replies: bool = True) -> Item:
        """Any take of ``cue``, with its reply if it has one.

        Raises:
            Dropped: if it cannot be spoken.
        """
        clip = self.spoken(cue.clips[int(self.takes.integers(len(cue.clips)))])
        return Item(clip, cue.name, replies=(cue.reply,) if replies and cue.reply else ())

    def sound(self, pool: Sequence[Clip], what: str) -> Item:
        """Any sound of ``pool``, without a reply.

        Raises:
            Dropped: if the pool is empty.
        """
        return silent(self.any_of(pool, what))

    def spoken(self, clip: Clip) -> Clip:
        """A clip with its audio: a text is spoken, long recorded speech cut with its text.

        Raises:
            Dropped: if it cannot be spoken well enough, or is too long and cannot be cut.
        """
        if isinstance(clip.audio, Unspoken):
            return self.resources.speech.speak(clip, self.voices)
        return fitted(clip, self.longest_s) if clip.kind == "speech" else clip

    def say(self, text: str, reply: PlannedReply | None) -> Item:
        """A spoken request or question of the user, answered at its end.

        Raises:
            Dropped: if it cannot be spoken.
        """
        clip = self.resources.speech.say(text, self.voices)
        return Item(clip, TURN, replies=(reply,) if reply else ())

    def turns(self, dialogue: Dialogue) -> tuple[Item, ...]:
        """A dialogue spoken by one voice, every turn answered at its end.

        Raises:
            Dropped: if it cannot be spoken well enough.
        """
        limit = self.config.dialogue.max_reply_words
        return tuple(
            Item(t.clip, TURN, replies=(PlannedReply(shortened(t.assistant, limit), t.emotion),))
            for t in self.resources.speech.converse(dialogue, self.voices)
        )

    def leading(self, dialogue: Dialogue) -> Dialogue:
        """The first few turns, as many as a stream is to have."""
        return replace(dialogue, turns=dialogue.turns[: self.how_many(self.config.dialogue.turns)])

    def others(self) -> list[Item]:
        """Additional sounds without a reply, for a stream about something else."""
        count = self.how_many(self.config.sounds.others)
        return [self.sound(self.pools.sounds, "sound") for _ in range(count)]

    def scene(self) -> CuratedScene:
        """A plausible scene of the split's sounds.

        Raises:
            Dropped: if none could be made.
        """
        if self.resources.scenes is None:
            raise RuntimeError("a task plans scenes without having named them as a need")
        seed = f"{int(self.rng.integers(1 << 62)):016x}"
        return self.resources.scenes.scene(seed, self.rng, self.report)

    def scattered(self, items: Sequence[Item], among: Sequence[Item]) -> tuple[Item, ...]:
        """``items`` in their order, ``among`` anywhere between them in theirs."""
        places = np.sort(self.rng.integers(len(items) + 1, size=len(among)))
        out: list[Item] = []
        for number, item in enumerate([*items, None]):
            out += [other for other, place in zip(among, places, strict=True) if place == number]
            if item is not None:
                out.append(item)
        return tuple(out)


def silent(clip: Clip) -> Item:
    """A sound without a reply."""
    return Item(clip, sound_name(clip))


def behind(items: Sequence[Item]) -> tuple[Item, ...]:
    """The same items on the background track."""
    return tuple(replace(item, track="background") for item in items)


def fitted(clip: Clip, longest_s: float) -> Clip:
    """A clip of speech of at most ``longest_s``: a longer one ends after the last word that fits.

    A clip of unknown length is left as it is until it is decoded.

    Raises:
        Dropped: if it is longer and has no word times, or a translation, which cannot be cut.
    """
    length_s = clip.words[-1].end_s if clip.words else 0.0
    if max(length_s, clip.duration_s or 0.0) <= longest_s:
        return clip
    reason = f"is stated to be speech of more than {longest_s:g} s"
    if not isinstance(clip.audio, Recorded) or not clip.words:
        raise _too_long(clip, f"{reason}, without word times to cut it by")
    if clip.translation:
        raise _too_long(clip, f"{reason}, whose translation cannot be cut")
    count = sum(word.end_s <= longest_s for word in clip.words)
    if not count:
        raise _too_long(clip, f"{reason} before its first word ends")
    words = clip.words[:count]
    end_s = min(words[-1].end_s + _AFTER_S, longest_s)
    if count < len(clip.words):
        end_s = min(end_s, max(clip.words[count].start_s, words[-1].end_s))
    return replace(
        clip,
        audio=replace(clip.audio, end_s=clip.audio.start_s + end_s),
        duration_s=end_s,
        text=_leading(clip, count),
        words=words,
    )


def _leading(clip: Clip, count: int) -> str:
    """The first ``count`` words, as the text writes them where it has as many."""
    written = clip.text.split()
    if len(written) == len(clip.words):
        return " ".join(written[:count])
    spaced = " " in clip.text or len(clip.words) == 1
    return (" " if spaced else "").join(word.text for word in clip.words[:count])


def _too_long(clip: Clip, reason: str) -> Dropped:
    return Dropped(Drop("prepare", clip.id, reason, "choice"))
