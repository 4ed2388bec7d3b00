"""Spoken questions about sounds: open, multiple choice, description, count."""

from __future__ import annotations

import numpy as np

from data_build.drops import Drop, Dropped
from data_build.labelling.sounds import (
    alike,
    as_sentence,
    described,
    how_many,
    sound_class,
    sound_name,
)
from data_build.plans import AskCount, AskLatest, DescribeSounds
from data_build.pools.onsets import count_onsets
from data_build.records import Clip
from data_build.tasks.context import STEP, Planned, PlannerContext, sound_item
from data_build.tasks.wording import phrase, phrases

_TRIES = 12  # clips that are looked at for one that can be counted


def plan_open(ctx: PlannerContext) -> Planned:
    """Sounds, then a question about the last one; the corpus' own question where it has one."""
    clips = _different(ctx, ctx.how_many(ctx.config.sounds.others))
    question, _ = question_about(clips[-1], ctx.rng)
    return Planned((*map(sound_item, clips), ctx.say(question, AskLatest())), {"asked": question})


def plan_choice(ctx: PlannerContext) -> Planned:
    """One sound, then two to four names of which one is right."""
    asked_about, *others = _different(ctx, 1 + ctx.how_many(ctx.config.sounds.others))
    right, names = sound_name(asked_about), [sound_name(other) for other in others]
    names.insert(int(ctx.rng.integers(len(names) + 1)), right)
    joined = f"{', '.join(names[:-1])} or {names[-1]}"
    asked = ctx.ask("choice", AskLatest(tuple(names)), names=joined)
    return Planned((sound_item(asked_about), asked), {"choices": names})


def plan_description(ctx: PlannerContext) -> Planned:
    """An instruction; under it every sound is described when it ends."""
    clips = _different(ctx, ctx.how_many(ctx.config.sounds.others))
    items = [sound_item(clip) for clip in clips]
    return ctx.instructed("describe", DescribeSounds(), items, {}, least=1)


def plan_count(ctx: PlannerContext) -> Planned:
    """A sound several times among others, then a question how often it occurred."""
    counted = [_countable(ctx, None)]
    kind = sound_class(counted[0])
    times = ctx.how_many(ctx.config.sounds.counted)
    counted += [_countable(ctx, kind) for _ in range(times - 1)]
    others = [_other(ctx, {kind}) for _ in range(ctx.how_many(ctx.config.sounds.others))]
    items = ctx.scattered([sound_item(c) for c in counted], [sound_item(c) for c in others])
    asked = ctx.ask("count", AskCount(kind), name=sound_name(counted[0]))
    return Planned((*items, asked), {"asked": kind})


def question_about(clip: Clip, rng: np.random.Generator) -> tuple[str, tuple[str, ...]]:
    """A question about a clip alone and every answer that is right."""
    if clip.question is not None:
        return clip.question.text, clip.question.answers
    said = (described(clip), as_sentence(sound_name(clip)))
    return phrase(phrases().questions["latest"], rng), tuple(dict.fromkeys(said))


def _countable(ctx: PlannerContext, kind: str | None) -> Clip:
    """A sound of that kind (None: any) in which it can be told how many there are.

    Raises:
        Dropped: if none is found among a few.
    """
    for _ in range(_TRIES):
        clip = ctx.pick(
            ctx.pools.sounds, lambda c: kind is None or sound_class(c) == kind, "sound to count"
        )
        if how_many(clip, count_onsets(ctx.resources.prepare(clip).samples)) is not None:
            return clip
    raise Dropped(Drop(STEP, kind or "any", "no sound of a kind that can be counted", "choice"))


def _different(ctx: PlannerContext, count: int) -> list[Clip]:
    """Clips of different kinds of sound."""
    clips = [ctx.any_of(ctx.pools.sounds, "sound")]
    while len(clips) < count:
        clips.append(_other(ctx, {sound_class(clip) for clip in clips}))
    return clips


def _other(ctx: PlannerContext, kinds: set[str]) -> Clip:
    return ctx.pick(
        ctx.pools.sounds,
        lambda c: not any(alike(sound_class(c), kind) for kind in kinds),
        "other kind of sound",
    )
