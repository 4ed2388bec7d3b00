"""What deserves which reply: the one place that decides it, for every event of every task.

::

    what is audible, in order ─▶ instruction in force ─▶ replies
    policy ────────────────────────┘

The same rules hold in every task, so that the same context never has two labels:

* Speech to the assistant is answered, unless it was told to be quiet by the one who speaks.
* Other speech is silent, or what the instruction in force makes of it: words, a translation.
* A sound that the instruction asks for (described, counted, watched for) gets that reply.
* A sound of danger is answered in any case, after what was asked for; another one that a cue of the
  recipe answers is not while everybody wants quiet.
* Everything else deserves silence.

Pure: no generator, no samples, no files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from data_build.labelling.descriptions import description
from data_build.labelling.policy import Policy
from data_build.labelling.questions import answer, unsettled
from data_build.labelling.recognition import once_recognised
from data_build.labelling.sounds import (
    alike,
    how_many,
    is_one,
    nameless,
    of_a_place,
    sound_class,
)
from data_build.plans import (
    AskCount,
    AudibleItem,
    Chat,
    CountSound,
    DescribeSounds,
    Instruction,
    KeepQuiet,
    LabelledPlan,
    Request,
    StreamPlan,
    Transcribe,
    Translate,
    Turn,
    WatchFor,
)
from data_build.records import Clip, PlannedReply
from data_build.speech.word_times import basis_of, known_after_s, spoken_units
from data_build.wording.wording import StreamWords

Replies = tuple[PlannedReply, ...]


def label(
    plan: StreamPlan, audible: Sequence[AudibleItem], policy: Policy, words: StreamWords
) -> LabelledPlan:
    """The replies of every item of ``plan``.

    Args:
        audible: its items, in its order, with their spans; then the noises under them.
        words: in which the assistant speaks.

    Raises:
        Dropped: if what is asked for cannot be told from what is audible, or a noise would deserve
            a reply.
    """
    fits = fits_under(plan, policy)
    for noise in audible[len(plan.items) :]:
        if not fits(noise.item.clip):
            raise unsettled(noise, "the noise under the stream deserves a reply of its own")
    replies: list[Replies] = [()] * len(plan.items)
    session = _Session(plan.instruction, audible, policy, words.speaking(plan.language))
    # What has ended can govern what ends later.
    for position in sorted(range(len(replies)), key=lambda i: audible[i].end_samples):
        replies[position] = session.replies(audible[position])
    return LabelledPlan(plan, tuple(replies))


def fits_under(plan: StreamPlan, policy: Policy) -> Callable[[Clip], bool]:
    """Which noises may lie under a stream without contradicting its labels.

    None that deserves a reply or whose class is in doubt, none that is asked about; where any sound
    may be asked about, none that has a name; inside a planned scene, none of a place either.
    """
    asked: set[str] = set()
    # Inside a scene the ambience is planned: no other place sounds through it.
    inside = bool(plan.scene)
    for item in plan.items:
        match item.address:
            case AskCount(sound):
                asked.add(sound)
            case Request(WatchFor(sound)):
                asked.add(sound)
            case _:
                pass
    if isinstance(plan.instruction, WatchFor):
        asked.add(plan.instruction.sound)
    # A cue that is counted is known by the classes of its takes.
    asked |= {sound_class(item.clip) for item in plan.items if item.is_cue and item.clip.labels}

    def fits(clip: Clip) -> bool:
        if inside:
            return nameless(clip) and not of_a_place(clip)
        if plan.any_sound:
            return nameless(clip)
        return policy.harmless(clip) and not any(alike(sound_class(clip), s) for s in asked)

    return fits


class _Session:
    """The state of a session while its items are labelled."""

    def __init__(
        self,
        instruction: Instruction,
        audible: Sequence[AudibleItem],
        policy: Policy,
        words: StreamWords,
    ) -> None:
        self._instruction = instruction
        self._audible = audible
        self._policy = policy
        self._words = words
        self._quiet_to: set[str] = set()  # voices
        self._quiet = False
        self._since = 0  # when it was put in force
        self._counted = 0
        self._speakers: list[str] = []

    def replies(self, audible: AudibleItem) -> Replies:
        """The replies to an item, after everything that ended before it."""
        item = audible.item
        if item.is_cue and item.clip.kind == "speech":
            return _one(self._cued(audible))
        if item.clip.kind != "speech":
            return self._to_sound(audible)
        if item.address is None:
            return self._to_others(item.clip)
        return self._to_user(audible)

    def _to_user(self, said: AudibleItem) -> Replies:
        voice, address = said.item.clip.speaker, said.item.address
        if isinstance(address, Request):
            if isinstance(address.instruction, KeepQuiet):
                self._quiet = self._quiet or address.instruction.everybody
                self._quiet_to.add(voice)
            elif isinstance(address.instruction, Chat):
                self._quiet, self._quiet_to = False, set()
            else:
                self._instruction, self._counted = address.instruction, 0
                self._since = said.end_samples
            return (address.acknowledgement,)
        if self._quiet or voice in self._quiet_to:
            return ()
        if isinstance(address, Turn):
            return (PlannedReply(address.reply, address.emotion),)
        assert address is not None
        return (answer(address, said, self._audible, self._words),)

    def _to_others(self, clip: Clip) -> Replies:
        match self._instruction:
            case Transcribe("word"):
                basis = basis_of(clip.words_by)
                return tuple(
                    PlannedReply(word.text, after_s=known_after_s(word, basis), basis=basis)
                    for word in clip.words
                )
            case Transcribe("utterance"):
                return (PlannedReply(clip.text),)
            case Transcribe("speaker"):
                who = clip.speaker or clip.id
                if who not in self._speakers:
                    self._speakers.append(who)
                number = self._words.number(self._speakers.index(who) + 1)
                return (PlannedReply(f"{self._words.plainest('<speaker>', n=number)} {clip.text}"),)
            case Translate(None):
                return (PlannedReply(clip.translation),)
            case Translate(int() as k):
                return wait_k(clip, k)
            case _:
                return ()

    def _to_sound(self, sound: AudibleItem) -> Replies:
        asked, warning = self._asked_for(sound), self._warning(sound)
        clip = sound.item.clip
        if asked is not None and sound.on_samples < self._since:
            raise unsettled(sound, "the sound began before it was asked for")
        if warning is not None:
            warning = once_recognised(warning, clip)
        if asked is None or warning is None:
            return _one(asked or warning)
        if asked.needs_s is None:  # the warning does not wait for the description
            return (warning, asked)
        text, plain = f"{asked.text} {warning.text}", f"{asked.plain} {warning.plain}"
        return (replace(warning, text=text, plainest=plain, answers=(asked.text, warning.text)),)

    def _asked_for(self, sound: AudibleItem) -> PlannedReply | None:
        item = sound.item
        match self._instruction:
            case DescribeSounds() if item.track == "ambient" and nameless(item.clip):
                return None
            case DescribeSounds():
                return description(sound, self._words)
            case WatchFor(wanted, name):
                found = sound_class(item.clip)
                if is_one(found, wanted):
                    noun = self._words.sound(wanted, name)
                    reply = self._words.reply("<watch.found>", sound.on_samples, s=noun)
                    return once_recognised(reply, item.clip)
                if alike(found, wanted):
                    raise unsettled(sound, "whether the sound is the one asked for is not known")
            case CountSound(cue, lines) if item.is_cue and item.what == cue:
                count = how_many(item.clip, sound.onsets)
                if count != 1:
                    raise unsettled(sound, "how often the sound occurs cannot be told")
                self._counted += 1
                line = lines[self._counted - 1] if self._counted <= len(lines) else "<count.more>"
                number = self._words.number(self._counted)
                reply = self._words.reply(line, sound.on_samples, n=number)
                return once_recognised(reply, item.clip)
        return None

    def _warning(self, sound: AudibleItem) -> PlannedReply | None:
        item = sound.item
        if item.is_cue:
            return self._cued(sound)
        judgement = self._policy.judgement(item.clip)
        if self._quiet and not judgement.category:
            return None  # a cue of the recipe, but no danger
        reply = judgement.reply_in(self._words.language)
        return None if reply is None else self._words.said(reply, sound.on_samples)

    def _cued(self, sound: AudibleItem) -> PlannedReply | None:
        reply = self._policy.cues.get(sound.item.what)
        return None if reply is None else self._words.said(reply, sound.on_samples)


def wait_k(clip: Clip, k: int) -> Replies:
    """The translation word by word, each with the time at which it is due.

    Word t is due when word min(k + t - 1, n) of the source ends; the rest of a translation that is
    longer than its source comes at the end (Ma et al. 2019, STACL, the wait-k policy).
    """
    targets = spoken_units(clip.translation, clip.translation_language)
    basis = basis_of(clip.words_by)
    ends_s = [known_after_s(word, basis) for word in clip.words]
    return tuple(
        PlannedReply(target, after_s=ends_s[min(k + number, len(ends_s)) - 1], basis=basis)
        for number, target in enumerate(targets)
    )


def _one(reply: PlannedReply | None) -> Replies:
    return () if reply is None else (reply,)
