"""Tasks about events: a reply to events that deserve one, silence at all others.

What deserves a reply is set by the cues of a recipe and by the intervention policy, which
judges the sounds of the sources (`data_build.labelling`). The plans are the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from data_build.drops import Drop, Dropped
from data_build.labelling.descriptions import noun
from data_build.plans import CountSound, Item, Request
from data_build.pools.pools import Cue
from data_build.records import Clip
from data_build.speech.speech_source import CUE_PHRASES, OWN_PHRASES
from data_build.tasks.context import STEP, Planned, PlannerContext, sound_item


def plan_cues(ctx: PlannerContext) -> Planned:
    """Cues in random order; about ``respond_share`` of them have a reply."""
    answered, silent = ctx.pools.answered_cues, ctx.pools.silent_cues
    items = []
    for _ in range(ctx.how_many(ctx.config.cues.items)):
        pool = answered if ctx.chance(ctx.config.cues.respond_share) else silent
        items.append(_any_cue(ctx, pool or answered or silent))
    return Planned(tuple(items))


def plan_quiet(ctx: PlannerContext) -> Planned:
    """A stream in which no event deserves a reply.

    It uses cues without a reply, or else sounds that need no reply by the policy.
    """
    count = ctx.how_many(ctx.config.cues.items)
    return Planned(tuple(_silent(ctx) for _ in range(count)), least=1)


def plan_single(ctx: PlannerContext) -> Planned:
    """One sound that calls for help among everyday sounds, in any order or as in a place."""
    alarm = ctx.any_of(ctx.pools.alarms, "sound that calls for help")
    notes = {"category": category_of(alarm)}
    place = ctx.place_by_chance(alarm)
    if place is not None:
        return Planned((*place.front, *place.around), notes, place=place)
    return Planned(ctx.scattered([sound_item(alarm)], _harmless(ctx)), notes)


def plan_several(ctx: PlannerContext) -> Planned:
    """Sounds of one category of danger among everyday sounds."""
    first = ctx.any_of(ctx.pools.alarms, "sound that calls for help")
    category = category_of(first)
    alarms = [first] + [
        ctx.pick(
            ctx.pools.alarms,
            lambda c: category_of(c) == category,
            f"sound of category {category}",
        )
        for _ in range(ctx.how_many(ctx.config.sounds.alarms) - 1)
    ]
    items = ctx.scattered([sound_item(clip) for clip in alarms], _harmless(ctx))
    return Planned(items, {"category": category})


def plan_counting(ctx: PlannerContext) -> Planned:
    """An early instruction, then the sound it is about one to n times, with silent cues between.

    In a share of the streams a silent cue replaces the instruction: then the same sounds deserve no
    reply.
    """
    counting = ctx.config.counting
    counted = next((c for c in ctx.pools.cues if c.name == counting.sound), None)
    if counted is None:
        raise Dropped(
            Drop(STEP, counting.sound, "there is no cue to count in this split", "choice")
        )
    distractors = [c for c in ctx.pools.silent_cues if c is not counted]
    instructed = not distractors or not ctx.chance(counting.uninstructed_share)
    items: list[Item] = []
    if instructed:
        named = noun(counted.clips[0], ctx.words)
        told = ctx.words.text(counting.instruction, s=named)
        assent = ctx.words.reply(counting.reply, s=named)
        instruction = CountSound(counted.name, counting.words)
        # One literal cannot be dealt to the splits: the recipe wants it in all of them.
        origin = CUE_PHRASES if told == counting.instruction else OWN_PHRASES
        items.append(ctx.say(told, Request(instruction, assent), origin))
    else:
        items.append(_any_cue(ctx, distractors))
    for _ in range(ctx.how_many((1, len(counting.words)))):
        if distractors and ctx.chance(counting.distractor_share):
            items.append(_any_cue(ctx, distractors))
        items.append(ctx.cue(counted))
    return Planned(tuple(items), {"instructed": "spoken" if instructed else ""}, least=2)


def category_of(clip: Clip) -> str:
    """The kind of danger of a clip of the pool of alarms."""
    if clip.judgement is None:
        raise RuntimeError(f"{clip.id} lies among the alarms without a judgement")
    return clip.judgement.category


def _any_cue(ctx: PlannerContext, cues: Sequence[Cue]) -> Item:
    return ctx.cue(ctx.any_of(cues, "cue"))


def _silent(ctx: PlannerContext) -> Item:
    if ctx.pools.silent_cues:
        return _any_cue(ctx, ctx.pools.silent_cues)
    return ctx.sound(ctx.pools.benign, "harmless sound")


def _harmless(ctx: PlannerContext) -> list[Item]:
    count = ctx.how_many(ctx.config.sounds.others)
    return [ctx.sound(ctx.pools.benign, "harmless sound") for _ in range(count)]
