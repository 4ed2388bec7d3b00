"""Tasks in which a spoken instruction decides what deserves a reply afterwards."""

from __future__ import annotations

from dataclasses import replace

from data_build.labelling.descriptions import noun
from data_build.labelling.sounds import alike, sound_class, sound_name
from data_build.plans import Chat, Item, KeepQuiet, WatchFor
from data_build.tasks.context import Planned, PlannerContext, sound_item
from data_build.tasks.in_scene import in_scene
from data_build.tasks.reactions import with_reactions

_GUEST = "guest"  # somebody else who speaks to the assistant


def plan_alert(ctx: PlannerContext) -> Planned:
    """An alert at one kind of sound; the same sounds deserve none if another was named."""
    sounds = ctx.pools.sounds
    target = ctx.any_of(sounds, "sound")
    kind = sound_class(target)
    other = ctx.pick(sounds, lambda c: not alike(sound_class(c), kind), "other kind of sound")
    named = other if ctx.chance(ctx.config.sounds.uninstructed_share) else target
    asked, called = sound_class(named), noun(named, ctx.words)
    instruction = WatchFor(asked, sound_name(named))
    notes = {"watched": asked, "target": kind}
    place = ctx.place_by_chance(target)
    if place is not None:
        planned = ctx.instructed("watch", instruction, place.front, notes, s=called)
        # What goes on all the time began before anyone could ask for it.
        around = place.around if isinstance(planned.instruction, WatchFor) else ()
        return replace(planned, items=(*planned.items, *around), place=place)
    others = [
        sound_item(
            ctx.pick(
                sounds,
                lambda c: not any(alike(sound_class(c), k) for k in (kind, asked)),
                "other kind of sound",
            )
        )
        for _ in range(ctx.how_many(ctx.config.sounds.others))
    ]
    # Not the identical recording where the split has another one.
    again = ctx.pick(sounds, lambda c: sound_class(c) == kind, "sound")
    watched = [sound_item(clip) for clip in (target, again)[: ctx.how_many((1, 2))]]
    items = ctx.scattered(watched, others)
    return ctx.instructed("watch", instruction, items, notes, s=called)


def plan_hold(ctx: PlannerContext) -> Planned:
    """Turns are answered, not answered, and answered again, as the user asks.

    "Do not answer me" silences the one who says it; "be quiet" holds for everybody. Somebody else
    who speaks meanwhile is answered in the first case only.
    """
    first = ctx.any_of(ctx.pools.dialogues, "dialogue")
    second, third = (
        ctx.pick(ctx.pools.dialogues, lambda d: d.language == first.language, "dialogue")
        for _ in range(2)
    )
    ctx = ctx.speaking(first.language)
    held = replace(first, id=f"{first.id}+{second.id}", turns=(first.turns[0], second.turns[0]))
    unanswered, answered = ctx.turns(held)
    everybody = ctx.chance(0.5)
    quiet = ctx.request("quiet" if everybody else "quiet_to_me", KeepQuiet(everybody))
    meanwhile: tuple[Item, ...] = ()
    if ctx.chance(0.5):
        meanwhile = ctx.turns(replace(third, turns=third.turns[:1]), _GUEST)
        if meanwhile[0].clip.speaker == unanswered.clip.speaker:
            meanwhile = ()  # the split has one voice only
    items = (quiet, unanswered, *meanwhile, ctx.request("go_on", Chat()), answered)
    notes = {"dialogues": [first.id, second.id], "everybody": everybody}
    planned = Planned(items, notes, language=first.language)
    place = ctx.place_by_chance(talk=[first, second, third])
    return planned if place is None else in_scene(ctx, planned, place, asked=False)


def plan_carry_out(ctx: PlannerContext) -> Planned:
    """Instructions of a text corpus, with speech of a bystander between them.

    The user is the one who has spoken first, so that a bystander is known by another voice.
    """
    dialogue = ctx.session(ctx.any_of(ctx.pools.dialogues, "dialogue"))
    first, *more = ctx.turns(dialogue)
    overheard = ctx.different(ctx.pools.speech, lambda _: True, ctx.how_many((0, 2)), [first.clip])
    spoken = [ctx.spoken(clip, "bystander") for clip in overheard]
    talk = [Item(c, "somebody else") for c in spoken if c.speaker != first.clip.speaker]
    items = (first, *ctx.scattered(more, talk))
    notes = {"dialogue": dialogue.id}
    planned = Planned(items, notes, least=1, language=dialogue.language)
    place = ctx.place_by_chance(talk=[dialogue])
    return planned if place is None else with_reactions(ctx, in_scene(ctx, planned, place))
