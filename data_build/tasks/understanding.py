"""Spoken questions about sounds: open, multiple choice, description, count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from data_build.drops import Drop, Dropped
from data_build.labelling.descriptions import identified, noun
from data_build.labelling.sounds import (
    alike,
    how_many,
    sound_class,
    sound_name,
)
from data_build.plans import AskCount, AskLatest, DescribeSounds, Item
from data_build.pools.onsets import count_onsets
from data_build.records import Clip
from data_build.tasks.context import STEP, Planned, PlannerContext, sound_item
from data_build.wording.wording import StreamWords

_TRIES = 12  # clips that are looked at for one that can be counted


def plan_open(ctx: PlannerContext) -> Planned:
    """Sounds, then a question about the last one; the corpus' own question where it has one."""
    place = ctx.place_by_chance()
    if place is not None:
        asked = ctx.ask("latest", AskLatest())
        notes = {"asked": [asked.clip.text]}
        return Planned((*place.front, asked, *place.around), notes, place=place)
    asked_texts: list[str] = []

    def exchange(heard: Sequence[Clip]) -> tuple[list[Clip], Item]:
        clips = _more(ctx, heard, ctx.how_many(ctx.config.sounds.others))
        question, _ = question_about(clips[-1], ctx.words)
        asked_texts.append(question)
        return clips, ctx.say(question, AskLatest())

    items, least = _exchanges(ctx, exchange)
    return Planned(items, {"asked": asked_texts}, least=least)


def plan_choice(ctx: PlannerContext) -> Planned:
    """One sound, or those of a place, then two to four names of which one is right."""
    place = ctx.place_by_chance()
    if place is not None:
        sounds = [item.clip for item in (place.front[-1], *place.front[:-1], *place.around)]
        wrong = _more(ctx, sounds, ctx.how_many(ctx.config.sounds.others))
        asked, names = _choice(ctx, place.front[-1].clip, wrong)
        return Planned((*place.front, asked, *place.around), {"choices": [names]}, place=place)
    choices: list[tuple[str, ...]] = []

    def exchange(heard: Sequence[Clip]) -> tuple[list[Clip], Item]:
        count = 1 + ctx.how_many(ctx.config.sounds.others)
        asked_about, *others = _more(ctx, heard, count)
        asked, names = _choice(ctx, asked_about, others)
        choices.append(names)
        return [asked_about], asked

    items, least = _exchanges(ctx, exchange)
    return Planned(items, {"choices": choices}, least=least)


def plan_description(ctx: PlannerContext) -> Planned:
    """An instruction; under it every sound is described when it ends."""
    place = ctx.place_by_chance()
    if place is not None:
        planned = ctx.instructed("describe", DescribeSounds(), place.front, {}, least=1)
        # An ambience is there before anyone can ask for it.
        around = place.around if isinstance(planned.instruction, DescribeSounds) else ()
        return replace(planned, items=(*planned.items, *around), place=place)
    clips = _different(ctx, ctx.how_many(ctx.config.sounds.others))
    items = [sound_item(clip) for clip in clips]
    return ctx.instructed("describe", DescribeSounds(), items, {}, least=1)


def plan_count(ctx: PlannerContext) -> Planned:
    """A sound several times among others, then a question how often it occurred."""
    counted = [_countable(ctx, None)]
    kind = sound_class(counted[0])
    times = ctx.how_many(ctx.config.sounds.counted)
    while len(counted) < times:
        counted.append(_countable(ctx, kind, counted))
    asked = ctx.ask("count", AskCount(kind), s=noun(counted[0], ctx.words))
    place = ctx.place_by_chance(counted[0])
    if place is not None:
        items = ctx.scattered(place.front, [sound_item(c) for c in counted[1:]])
        return Planned((*items, asked, *place.around), {"asked": kind}, place=place)
    others = [_other(ctx, {kind}) for _ in range(ctx.how_many(ctx.config.sounds.others))]
    items = ctx.scattered([sound_item(c) for c in counted], [sound_item(c) for c in others])
    return Planned((*items, asked), {"asked": kind})


def _choice(
    ctx: PlannerContext, right: Clip, wrong: Sequence[Clip]
) -> tuple[Item, tuple[str, ...]]:
    """A question that names a sound among others, and all the names."""
    clips = [*wrong]
    clips.insert(int(ctx.rng.integers(len(clips) + 1)), right)
    names = tuple(map(sound_name, clips))
    joined = ctx.words.listed([noun(clip, ctx.words).text for clip in clips])
    return ctx.ask("choice", AskLatest(names), names=joined), names


def question_about(clip: Clip, words: StreamWords) -> tuple[str, str]:
    """A question about a clip alone, and its answer."""
    if clip.question is not None:
        return clip.question.text, clip.question.answers[0]
    question = words.text("<ask.latest>")
    return question, identified(clip, words, question).text


def _countable(ctx: PlannerContext, kind: str | None, others: Sequence[Clip] = ()) -> Clip:
    """A sound of that kind (None: any) in which it can be told how many there are.

    It is one of the ``others`` only where no more are found.

    Raises:
        Dropped: if none is found among a few.
    """
    known = {clip.id for clip in others}
    for _ in range(_TRIES):
        clip = ctx.pick(
            ctx.pools.sounds, lambda c: kind is None or sound_class(c) == kind, "sound to count"
        )
        if clip.id in known:
            continue
        if how_many(clip, count_onsets(ctx.resources.prepare(clip).samples)) is not None:
            return clip
    if others:
        return others[int(ctx.rng.integers(len(others)))]
    raise Dropped(Drop(STEP, kind or "any", "no sound of a kind that can be counted", "choice"))


def _exchanges(
    ctx: PlannerContext, exchange: Callable[[Sequence[Clip]], tuple[list[Clip], Item]]
) -> tuple[tuple[Item, ...], int]:
    """Several questions, each after sounds of its own; and how many items the first one takes.

    Args:
        exchange: gives the next sounds, of other kinds than those before, and the question.

    Raises:
        Dropped: if there are not enough kinds of sound for the first one.
    """
    clips, question = exchange(())
    items = [*map(sound_item, clips), question]
    least = len(items)
    for _ in range(ctx.how_many(ctx.config.sounds.questions) - 1):
        try:
            more, question = exchange(clips)
        except Dropped:
            break  # the split has no more kinds of sound
        clips = [*clips, *more]
        items += [*map(sound_item, more), question]
    return tuple(items), least


def _different(ctx: PlannerContext, count: int) -> list[Clip]:
    """Clips of different kinds of sound."""
    return _more(ctx, (), count)


def _more(ctx: PlannerContext, clips: Sequence[Clip], count: int) -> list[Clip]:
    """Clips of kinds of sound that differ from ``clips`` and from each other."""
    more: list[Clip] = []
    for _ in range(count):
        more.append(_other(ctx, {sound_class(clip) for clip in (*clips, *more)}))
    return more


def _other(ctx: PlannerContext, kinds: set[str]) -> Clip:
    return ctx.pick(
        ctx.pools.sounds,
        lambda c: not any(alike(sound_class(c), kind) for kind in kinds),
        "other kind of sound",
    )
