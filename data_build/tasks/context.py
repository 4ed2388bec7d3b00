"""The context of the planners: draws clips, spoken turns and scenes of a split."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np

from data_build.drops import Drop, Dropped, Report
from data_build.labelling.sounds import sound_name
from data_build.plans import Address, Chat, Instruction, Item, Request, Turn
from data_build.pools.pools import Cue, Pools
from data_build.pools.prepare import PreparedClip
from data_build.randomness import StreamSeed
from data_build.records import Clip, Dialogue, Origin, Unspoken
from data_build.scenes.source import SceneSource
from data_build.speech.speech_source import OWN_PHRASES, SpeechSource
from data_build.tasks.config import TasksConfig
from data_build.tasks.fitted import fitted
from data_build.tasks.reply_length import shortened
from data_build.tasks.session import Place, SessionVoices
from data_build.wording.grammar import Words
from data_build.wording.wording import StreamWords
from soundflow.endpoints.chat import ChatClient
from soundflow.text.normalize import primary_language

T = TypeVar("T")
STEP = "plan"
TURN = "user turn"  # name of what the user says to the assistant
_TRIES, _SCANNED = 32, 2_000
_ABOUT_THE_PLACE = 0.5  # of the conversations in a scene, where there are such dialogues
USER = "user"  # the role of whoever speaks to the assistant


@dataclass(frozen=True)
class PlannerResources:
    """The sources of speech, scenes and samples of a split.

    Attributes:
        prepare: gives the samples of a clip.
        timed: gives speech the times of its words.
        scenes: None where no task of the split needs scenes.
        probes: the chat model that writes late questions; None: the rules do.
    """

    speech: SpeechSource
    prepare: Callable[[Clip], PreparedClip]
    timed: Callable[[Clip], Clip]
    scenes: SceneSource | None = None
    probes: ChatClient | None = None


@dataclass(frozen=True)
class Planned:
    """What happens in a stream.

    Attributes:
        items: in order.
        notes: for its provenance.
        system, instruction: what is in force when it begins, in words and for the labels.
        least: so many foreground items at the beginning make its point; None: all of them do.
        place: the scene in which it happens; None: in none.
        language: of the conversation; empty: that of the stream.
    """

    items: tuple[Item, ...]
    notes: dict[str, Any] = field(default_factory=dict)
    system: str = ""
    instruction: Instruction = field(default_factory=Chat)
    least: int | None = None
    place: Place | None = None
    language: str = ""


@dataclass(frozen=True)
class PlannerContext:
    """Everything that a planner uses to plan one stream.

    Attributes:
        longest_s: recorded speech that is longer is cut to it, where its words have times.
        report: takes the drops of damaged items that the plan does without.
        rng: decides what happens. Takes and voices have generators of their own, so that other
            voices or more takes leave the plan as it is.
        words: says what the user says to the assistant; a wording leaves the plan as it is, too.
    """

    pools: Pools
    resources: PlannerResources
    config: TasksConfig
    longest_s: float
    report: Report
    rng: np.random.Generator
    takes: np.random.Generator
    voices: SessionVoices
    words: StreamWords

    @staticmethod
    def of(
        pools: Pools,
        resources: PlannerResources,
        config: TasksConfig,
        longest_s: float,
        seed: StreamSeed,
        words: StreamWords,
        report: Report,
    ) -> PlannerContext:
        return PlannerContext(
            pools, resources, config, longest_s, report,
            seed.generator("plan"), seed.generator("clips"),
            SessionVoices(resources.speech, seed.generator("speech")), words,
        )  # fmt: skip

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
        found = self._found(pool, fits)
        if found is None:
            raise Dropped(Drop(STEP, what, f"there is no {what} in this split", "choice"))
        return found

    def _found(
        self, pool: Sequence[T], fits: Callable[[T], bool], scanned: int = _SCANNED
    ) -> T | None:
        if len(pool):
            for _ in range(_TRIES):
                item = pool[int(self.rng.integers(len(pool)))]
                if fits(item):
                    return item
            start = int(self.rng.integers(len(pool)))
            for step in range(min(len(pool), scanned)):
                item = pool[(start + step) % len(pool)]
                if fits(item):
                    return item
        return None

    def different(
        self, pool: Sequence[Clip], fits: Callable[[Clip], bool], count: int, known: Sequence[Clip]
    ) -> list[Clip]:
        """Up to ``count`` clips that fit, whose texts differ from those of the ``known`` ones and
        from each other; fewer where no more are found."""
        clips: list[Clip] = []
        said = {clip.text for clip in known}
        while len(clips) < count:
            found = self._found(pool, lambda clip: fits(clip) and clip.text not in said)
            if found is None:
                break
            clips.append(found)
            said.add(found.text)
        return clips

    def cue(self, cue: Cue) -> Item:
        """Any take of ``cue``; what is said of a cue, the user says.

        Raises:
            Dropped: if it cannot be spoken.
        """
        clip = self.spoken(cue.clips[int(self.takes.integers(len(cue.clips)))], USER)
        return Item(clip, cue.name, is_cue=True)

    def sound(self, pool: Sequence[Clip], what: str) -> Item:
        """Any sound of ``pool``.

        Raises:
            Dropped: if the pool is empty.
        """
        return sound_item(self.any_of(pool, what))

    def spoken(self, clip: Clip, role: str) -> Clip:
        """A clip with its audio: a text is spoken by ``role``, long recorded speech cut with its
        text.

        Raises:
            Dropped: if it cannot be spoken well enough, or is too long and cannot be cut.
        """
        if isinstance(clip.audio, Unspoken):
            return self.resources.speech.speak(clip, self.voices.of(role, clip.language))
        return fitted(clip, self.longest_s) if clip.kind == "speech" else clip

    def say(self, text: str, address: Address, origin: Origin = OWN_PHRASES) -> Item:
        """What the user says to the assistant, beside the turns of a dialogue.

        Raises:
            Dropped: if it cannot be spoken.
        """
        voice = self.voices.of(USER, self.words.language)
        clip = self.resources.speech.say(text, voice, origin)
        return Item(clip, TURN, address=address)

    def says(self, language: str) -> bool:
        """Whether there is wording of a language for what the user says."""
        return self.words.speaking(language).language == primary_language(language)

    def speaking(self, language: str) -> PlannerContext:
        """The same, while the user speaks ``language``, if there is wording of it."""
        return replace(self, words=self.words.speaking(language))

    def ask(self, kind: str, question: Address, **slots: str | Words) -> Item:
        """A question of the user."""
        return self.say(self.words.text(f"<ask.{kind}>", **slots), question)

    def request(self, kind: str, instruction: Instruction, **slots: str | Words) -> Item:
        """An instruction that the user speaks, and the assistant's assent."""
        text = self.words.text(f"<{kind}.spoken>", **slots)
        assent = self.words.reply(f"<{kind}.reply>", **slots)
        return self.say(text, Request(instruction, assent))

    def instructed(
        self,
        kind: str,
        instruction: Instruction,
        items: Sequence[Item],
        notes: dict[str, Any],
        *,
        least: int | None = None,
        **slots: str | Words,
    ) -> Planned:
        """A stream under an instruction: written before it, or spoken at its beginning.

        Args:
            kind: of the rules of the wording, which use ``slots``.
            least: as in `Planned`, without the spoken instruction.
        """
        if self.chance(self.config.instructions.written_share):
            written = self.words.text(f"<{kind}.written>", **slots)
            return Planned(
                tuple(items), {**notes, "instructed": "written"}, written, instruction, least
            )
        spoken = self.request(kind, instruction, **slots)
        return Planned(
            (spoken, *items), {**notes, "instructed": "spoken"},
            least=None if least is None else least + 1,
        )  # fmt: skip

    def turns(self, dialogue: Dialogue, role: str = USER) -> tuple[Item, ...]:
        """A dialogue spoken by one voice, each turn with the reply of its corpus.

        Raises:
            Dropped: if it cannot be spoken well enough.
        """
        limit = self.config.dialogue.max_reply_words
        voice = self.voices.of(role, dialogue.language)
        return tuple(
            Item(t.clip, TURN, address=Turn(shortened(t.assistant, limit), t.emotion))
            for t in self.resources.speech.converse(dialogue, voice)
        )

    def dialogue_in(self, place: Place) -> Dialogue:
        """A dialogue that makes sense in a place; often one that makes sense in few others.

        Raises:
            Dropped: if there is none.
        """
        dialogues = self.pools.dialogues
        if self.chance(_ABOUT_THE_PLACE):
            about = self._found(dialogues, lambda d: place.setting in d.places, scanned=0)
            if about is not None:
                return about
        return self.pick(dialogues, place.suits, "dialogue that makes sense in the place")

    def session(
        self,
        first: Dialogue,
        place: Place | None = None,
        only: Callable[[Dialogue], bool] = lambda _: True,
    ) -> Dialogue:
        """As many turns as a stream is to have: of ``first``, then of others of its language that
        make sense in the same places, and in ``place``; of ``only`` some of them."""
        wanted = self.how_many(self.config.dialogue.turns)
        parts, places = [first], first.places

        def fits(other: Dialogue, places: Collection[str]) -> bool:
            apart = places and other.places and set(places).isdisjoint(other.places)
            said = any(other.id == d.id or other.theme == d.theme != "" for d in parts)
            here = place is None or place.suits(other)
            same = other.language == first.language and only(other)
            return same and here and not apart and not said

        while sum(len(d.turns) for d in parts) < wanted:
            more = self._found(self.pools.dialogues, partial(fits, places=places))
            if more is None:
                break  # the split has no more
            parts.append(more)
            both = tuple(name for name in places if name in more.places)
            places = both or places or more.places
        turns = tuple(turn for d in parts for turn in d.turns)[:wanted]
        return replace(first, id="+".join(d.id for d in parts), turns=turns, places=places)

    def others(self) -> list[Item]:
        """Additional sounds, for a stream about something else."""
        count = self.how_many(self.config.sounds.others)
        return [self.sound(self.pools.sounds, "sound") for _ in range(count)]

    def place(self, holding: Clip | None = None) -> Place:
        """A plausible scene of the split's sounds.

        Args:
            holding: a sound of whose class the scene has one among those that happen in it.

        Raises:
            Dropped: if none could be made.
        """
        if self.resources.scenes is None:
            raise RuntimeError("a task plans scenes without having named them as a need")
        seed = f"{int(self.rng.integers(1 << 62)):016x}"
        scene = self.resources.scenes.scene(seed, self.rng, self.report, holding)
        items = [Item(g.clip, sound_name(g.clip), track=g.event.role) for g in scene.grounded]
        return Place(
            tuple(item for item in items if item.track == "foreground"),
            tuple(item for item in items if item.track != "foreground"),
            scene,
        )

    def place_by_chance(
        self, holding: Clip | None = None, talk: Sequence[Dialogue] = ()
    ) -> Place | None:
        """A scene in a share of the streams; None in the others, and where there is no such one.

        Args:
            talk: dialogues that make sense there.
        """
        if self.resources.scenes is None or not self.chance(self.config.places.share):
            return None
        try:
            place = self.place(holding)
        except Dropped:
            return None  # no place has this sound
        return place if all(map(place.suits, talk)) else None

    def scattered(self, items: Sequence[Item], among: Sequence[Item]) -> tuple[Item, ...]:
        """``items`` in their order, ``among`` anywhere between them in theirs."""
        places = np.sort(self.rng.integers(len(items) + 1, size=len(among)))
        out: list[Item] = []
        for number, item in enumerate([*items, None]):
            out += [other for other, place in zip(among, places, strict=True) if place == number]
            if item is not None:
                out.append(item)
        return tuple(out)


def sound_item(clip: Clip) -> Item:
    """A sound under its own name."""
    return Item(clip, sound_name(clip))


def behind(items: Sequence[Item]) -> tuple[Item, ...]:
    """The same items on the background track."""
    return tuple(replace(item, track="background") for item in items)
