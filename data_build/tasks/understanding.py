"""Spoken questions about sounds: open, multiple choice, description, count."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from data_build.records import Clip, PlannedReply
from data_build.tasks.context import Planned, PlannerContext, silent
from data_build.tasks.wording import (
    as_sentence,
    described,
    number_word,
    phrase,
    sound_class,
    sound_name,
)

_OPEN = ("What was that sound?", "What did you just hear?", "Tell me what made that noise.")
_DESCRIBE = ("Describe every sound you hear.", "Tell me about the sounds around me.")


def plan_open(ctx: PlannerContext) -> Planned:
    """Sounds, then a question about the last one; the corpus' own question where it has one."""
    clips = _different(ctx, ctx.how_many(ctx.config.sounds.others))
    question, answers = question_about(clips[-1], ctx.rng)
    asked = ctx.say(question, PlannedReply(answers[0], answers=answers[1:]))
    return Planned((*map(silent, clips), asked), {"asked": question}, whole=True)


def plan_choice(ctx: PlannerContext) -> Planned:
    """One sound, then two to four names of which one is right."""
    asked_about, *others = _different(ctx, 1 + ctx.how_many(ctx.config.sounds.others))
    right, names = sound_name(asked_about), [sound_name(other) for other in others]
    names.insert(int(ctx.rng.integers(len(names) + 1)), right)
    question = f"Was it {', '.join(names[:-1])} or {names[-1]}?"
    asked = ctx.say(question, PlannedReply(as_sentence(right)))
    return Planned((silent(asked_about), asked), {"asked": question, "choices": names}, whole=True)


def plan_description(ctx: PlannerContext) -> Planned:
    """A request early on; after it every sound is described when it ends."""
    request = phrase(_DESCRIBE, ctx.rng)
    first = ctx.say(request, PlannedReply("I am listening."))
    clips = _different(ctx, ctx.how_many(ctx.config.sounds.others))
    items = [replace(silent(clip), replies=(PlannedReply(described(clip)),)) for clip in clips]
    return Planned((first, *items), {"asked": request})


def plan_count(ctx: PlannerContext) -> Planned:
    """A sound several times among others, then a question how often it occurred."""
    counted, *others = _different(ctx, 1 + ctx.how_many(ctx.config.sounds.others))
    times = ctx.how_many(ctx.config.sounds.counted)
    items = ctx.scattered([silent(counted)] * times, [silent(other) for other in others])
    question = f"How many times did you hear this: {sound_name(counted)}?"
    reply = PlannedReply(as_sentence(number_word(times)), answers=(str(times),))
    notes = {"asked": question, "times": times}
    return Planned((*items, ctx.say(question, reply)), notes, whole=True)


def question_about(clip: Clip, rng: np.random.Generator) -> tuple[str, tuple[str, ...]]:
    """A question about a clip and every answer that is right."""
    if clip.question is not None:
        return clip.question.text, clip.question.answers
    said = (described(clip), as_sentence(sound_name(clip)))
    return phrase(_OPEN, rng), tuple(dict.fromkeys(said))


def _different(ctx: PlannerContext, count: int) -> list[Clip]:
    """Clips of different kinds of sound."""
    clips = [ctx.any_of(ctx.pools.sounds, "sound")]
    while len(clips) < count:
        clips.append(_other(ctx, {sound_class(clip) for clip in clips}))
    return clips


def _other(ctx: PlannerContext, kinds: set[str]) -> Clip:
    return ctx.pick(ctx.pools.sounds, lambda c: sound_class(c) not in kinds, "other kind of sound")
