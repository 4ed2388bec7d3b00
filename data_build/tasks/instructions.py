"""Tasks in which a spoken instruction decides what deserves a reply afterwards."""

from __future__ import annotations

from dataclasses import replace

from data_build.records import Item, PlannedReply
from data_build.tasks.context import Planned, PlannerContext, silent
from data_build.tasks.wording import phrase, sound_class, sound_name

_WATCH = ("Tell me when you hear this: {}.", "Let me know as soon as you hear this: {}.")
_QUIET = ("Please be quiet for now.", "Do not answer me for a while.")
_GO_ON = ("You can talk again.", "Please answer me again.")


def plan_alert(ctx: PlannerContext) -> Planned:
    """An alert at one kind of sound; the same sounds deserve no reply if another was named."""
    sounds = ctx.pools.sounds
    target = ctx.any_of(sounds, "sound")
    name, kind = sound_name(target), sound_class(target)
    other = ctx.pick(sounds, lambda c: sound_class(c) != kind, "other kind of sound")
    instructed = not ctx.chance(ctx.config.sounds.uninstructed_share)
    named = name if instructed else sound_name(other)
    spared = {kind} if instructed else {kind, sound_class(other)}
    said = phrase(_WATCH, ctx.rng).format(named)
    request = ctx.say(said, PlannedReply("I will tell you."))
    reply = PlannedReply(f"That was it: {name}.")
    watched = replace(silent(target), replies=(reply,) if instructed else ())
    others = [
        silent(ctx.pick(sounds, lambda c: sound_class(c) not in spared, "other kind of sound"))
        for _ in range(ctx.how_many(ctx.config.sounds.others))
    ]
    items = ctx.scattered([watched] * ctx.how_many((1, 2)), others)
    return Planned((request, *items), {"watched": named, "target": name})


def plan_hold(ctx: PlannerContext) -> Planned:
    """Turns are answered, not answered, and answered again, as the user asks."""
    first, second = (ctx.any_of(ctx.pools.dialogues, "dialogue") for _ in range(2))
    held = replace(first, id=f"{first.id}+{second.id}", turns=(first.turns[0], second.turns[-1]))
    unanswered, answered = ctx.turns(held)
    quiet = ctx.say(phrase(_QUIET, ctx.rng), PlannedReply("All right."))
    go_on = ctx.say(phrase(_GO_ON, ctx.rng), PlannedReply("I am back."))
    items = (quiet, replace(unanswered, replies=()), go_on, answered)
    return Planned(items, {"dialogues": [first.id, second.id]}, whole=True)


def plan_carry_out(ctx: PlannerContext) -> Planned:
    """Instructions of a text corpus, with speech of bystanders between them."""
    dialogue = ctx.leading(ctx.any_of(ctx.pools.dialogues, "dialogue"))
    turns = ctx.turns(dialogue)
    by = turns[0].clip.speaker
    talk = []
    for _ in range(ctx.how_many((0, 2))):
        clip = ctx.spoken(ctx.any_of(ctx.pools.speech, "speech"))
        if clip.speaker != by:
            talk.append(Item(clip, "somebody else"))
    return Planned(ctx.scattered(turns, talk), {"dialogue": dialogue.id})
