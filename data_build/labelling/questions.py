"""Answers to questions about sounds, from everything that was audible before the question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from data_build.drops import Drop, Dropped
from data_build.labelling.descriptions import identified, noun
from data_build.labelling.sounds import (
    alike,
    as_sentence,
    how_many,
    is_one,
    sound_class,
    sound_name,
)
from data_build.plans import AskCount, AskLatest, AskOrder, AskPlace, AudibleItem, SoundQuestion
from data_build.records import PlannedReply
from data_build.scenes.ontology import Setting, ontology
from data_build.wording.wording import StreamWords
from soundflow.protocol.timebase import to_samples

STEP = "label"
SOUNDS_BETWEEN = 3  # sounds after the first one before it is asked for
TELLING = 3  # a sound that belongs in so few places tells them from others
CLEARLY_SAMPLES = to_samples(0.3)  # a shorter lead is not heard as an order


def answer(
    question: SoundQuestion, asked: AudibleItem, audible: Sequence[AudibleItem], words: StreamWords
) -> PlannedReply:
    """The answer to ``question``, and all that would be right beside it.

    Args:
        asked: the question itself.
        audible: everything in the stream.

    Raises:
        Dropped: if what can be heard does not settle it.
    """
    before = [
        a for a in audible if a.item.clip.kind != "speech" and a.on_samples < asked.on_samples
    ]
    passing = [a for a in before if a.item.track != "ambient"]
    match question:
        case AskLatest(names):
            if sum(name in names for name in {sound_name(a.item.clip) for a in before}) > 1:
                raise unsettled(asked, "several of the sounds that the question names were heard")
            return _latest(_newest(asked, passing), asked.item.clip.text, names, words)
        case AskCount(sound):
            return _count(asked, before, sound, words)
        case AskOrder(which):
            order = _last if which == "last" else _first
            return order(asked, passing, words)
        case AskPlace(setting):
            return _place(asked, before, setting, words)


def _latest(
    newest: AudibleItem, text: str, names: tuple[str, ...], words: StreamWords
) -> PlannedReply:
    clip = newest.item.clip
    if names:
        if sum(n == sound_name(clip) for n in names) != 1:
            raise unsettled(newest, "the sound is not among those that the question names")
        reply = words.reply("<answer.sound>", text, s=noun(clip, words))
        return replace(reply, answers=(as_sentence(sound_name(clip)),))
    if clip.question is not None and clip.question.text == text:
        return PlannedReply(clip.question.answers[0], answers=clip.question.answers[1:])
    return identified(clip, words, text)


def _count(
    asked: AudibleItem, before: Sequence[AudibleItem], sound: str, words: StreamWords
) -> PlannedReply:
    total, name = 0, sound
    for a in before:
        kind = sound_class(a.item.clip)
        if not alike(kind, sound):
            continue
        count = how_many(a.item.clip, a.onsets) if is_one(kind, sound) else None
        if count is None or a.end_samples > asked.on_samples:
            raise unsettled(a, "how often the sound occurs cannot be told")
        total += count
        name = sound_name(a.item.clip)
    number = words.number(total)
    reply = words.reply("<answer.count>", total, n=number, s=words.sound(sound, name))
    return replace(reply, answers=(number.forms["figure"],))


def _newest(asked: AudibleItem, before: Sequence[AudibleItem]) -> AudibleItem:
    """The sound that ended last, clearly after all others."""
    ended = sorted(before, key=lambda a: a.end_samples)
    if not ended or ended[-1].end_samples > asked.on_samples:
        raise unsettled(asked, "the sound that is asked about has not ended before the question")
    if len(ended) > 1 and ended[-1].end_samples - ended[-2].end_samples < CLEARLY_SAMPLES:
        raise unsettled(asked, "two sounds end together")
    return ended[-1]


def _last(asked: AudibleItem, passing: Sequence[AudibleItem], words: StreamWords) -> PlannedReply:
    return identified(_newest(asked, passing).item.clip, words, "last")


def _first(asked: AudibleItem, passing: Sequence[AudibleItem], words: StreamWords) -> PlannedReply:
    began = sorted(passing, key=lambda a: a.on_samples)
    if len(began) <= SOUNDS_BETWEEN:
        raise unsettled(asked, "fewer than three sounds since the first")
    if began[1].on_samples - began[0].on_samples < CLEARLY_SAMPLES:
        raise unsettled(asked, "two sounds begin together")
    first = began[0].item.clip
    if any(alike(sound_class(a.item.clip), sound_class(first)) for a in began[1:]):
        raise unsettled(asked, "the first sound was repeated")
    reply = words.reply("<answer.first>", s=noun(first, words))
    return replace(reply, answers=(as_sentence(sound_name(first)),))


def _place(
    asked: AudibleItem, before: Sequence[AudibleItem], planned: str, words: StreamWords
) -> PlannedReply:
    classes = [sound_class(a.item.clip) for a in before]
    places = {setting.name: setting for setting in ontology().settings}
    fits = {name: _evidence(setting, classes) for name, setting in places.items()}
    best = max(fits.values())
    known = [n for n, f in fits.items() if f == best] == [planned]
    if not known or not any(_tells(name, places[planned]) for name in classes):
        raise unsettled(asked, "the place cannot be told by what is heard")
    return words.reply("<answer.place>", setting=planned.replace(" ", "_"))


def _tells(name: str, place: Setting) -> bool:
    """Whether a sound belongs in a place and in few others."""
    known = ontology()
    if name not in known.classes or not known.is_instance(name, place.welcome):
        return False
    return sum(known.is_instance(name, s.welcome) for s in known.settings) <= TELLING


def _evidence(setting: Setting, classes: Sequence[str]) -> int:
    """How many sounds belong to a place; below zero if one of them would be nonsense there."""
    known = ontology()
    sounds = [name for name in classes if name in known.classes]
    if any(known.is_any(name, setting.unwelcome) for name in sounds):
        return -1
    return sum(known.is_instance(name, setting.welcome) for name in sounds)


def unsettled(where: AudibleItem, reason: str) -> Dropped:
    """A plan to be given up for another one: what it asks for cannot be told from the audio."""
    return Dropped(Drop(STEP, where.item.clip.id, reason, "choice"))
