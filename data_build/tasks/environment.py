"""Tasks inside planned scenes: conversations and questions among sounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from data_build.labelling.history import ROUNDS_BETWEEN
from data_build.labelling.questions import SOUNDS_BETWEEN
from data_build.plans import AskOrder, AskPlace, Item, SoundQuestion
from data_build.tasks.chat import ended_by, probe_of, with_mixins
from data_build.tasks.context import Planned, PlannerContext, behind, sound_item
from data_build.tasks.events import category_of
from data_build.tasks.in_scene import in_scene, least_of
from data_build.tasks.reactions import with_reactions


def plan_chat(ctx: PlannerContext) -> Planned:
    """A conversation inside a scene, and about it.

    As often as an alarm is mixed into other conversations, the scene has one.
    """
    alarms, wanted = ctx.pools.alarms, ctx.chance(ctx.config.mixins.proactive)
    place = ctx.place(ctx.any_of(alarms, "alarm") if wanted and len(alarms) else None)
    talk = with_mixins(ctx, ctx.dialogue_in(place), place)
    return with_reactions(ctx, in_scene(ctx, talk, place))


def plan_question(ctx: PlannerContext) -> Planned:
    """A scene, then a question about it: what came first, what came last, or where one is."""
    place = ctx.place()
    kinds: list[tuple[str, SoundQuestion]] = [("last", AskOrder("last"))]
    if len(place.front) > SOUNDS_BETWEEN:
        kinds.append(("first", AskOrder("first")))
    if place.setting:
        kinds.append(("where", AskPlace(place.setting)))
    about, question = kinds[int(ctx.rng.integers(len(kinds)))]
    item = ctx.ask(about, question)
    return Planned((*place.front, item, *place.around), {"about": about}, place=place)


def plan_warning(ctx: PlannerContext) -> Planned:
    """A sound that calls for help between the turns of a conversation, and others that do not: one,
    or those of a place where the first belongs."""
    dialogue = ctx.session(ctx.any_of(ctx.pools.dialogues, "dialogue"))
    turns = ctx.turns(dialogue)
    alarm = ctx.any_of(ctx.pools.alarms, "sound that calls for help")
    notes = {"dialogue": dialogue.id, "category": category_of(alarm)}
    place = ctx.place_by_chance(alarm, [dialogue])
    if place is None:
        extra = [sound_item(alarm), ctx.sound(ctx.pools.benign, "harmless sound")]
        order: Sequence[Item] = [extra[int(i)] for i in ctx.rng.permutation(2)]
    else:
        order = place.front
    # Early enough to be in the stream, however long the conversation is.
    items = (turns[0], *ctx.scattered(turns[1:2], order), *turns[2:])
    around = place.around if place else ()
    least, language = least_of(items, 1), dialogue.language
    planned = Planned((*items, *around), notes, least=least, place=place, language=language)
    return with_reactions(ctx, planned)


def plan_recall(ctx: PlannerContext) -> Planned:
    """A long conversation that ends with a question about something said early on."""
    dialogue = ctx.pick(
        ctx.pools.dialogues,
        lambda d: len(d.turns) >= ROUNDS_BETWEEN,
        "dialogue of three turns or more",
    )
    probe = probe_of(ctx, dialogue)
    turns = ctx.turns(ended_by(dialogue, probe))
    notes = {"dialogue": dialogue.id, "probe": vars(probe)}
    talk = Planned(turns, notes, language=dialogue.language)
    place = ctx.place_by_chance(talk=[dialogue])
    if place is not None:
        return with_reactions(ctx, in_scene(ctx, talk, place))
    return replace(talk, items=(*turns, *behind([ctx.sound(ctx.pools.sounds, "sound")])))
