"""Tasks inside planned scenes: conversations and questions among sounds."""

from __future__ import annotations

from data_build.drops import Dropped
from data_build.labelling.history import ROUNDS_BETWEEN, first_sound_probe
from data_build.records import Item, PlannedReply
from data_build.scenes.source import CuratedScene
from data_build.tasks.chat import ended_by, probe_of, with_mixins
from data_build.tasks.context import Planned, PlannerContext, behind
from data_build.tasks.events import alarm_item, intervention_of
from data_build.tasks.wording import as_sentence, described, phrase, sound_name

_WHERE = ("Where do you think I am?", "What kind of place is this?")
_LAST = ("What was the last thing you heard?", "What did we just hear?")


def plan_chat(ctx: PlannerContext) -> Planned:
    """A conversation inside a scene; its sounds come between the turns and behind them."""
    scene = ctx.scene()
    talk = with_mixins(ctx, ctx.any_of(ctx.pools.dialogues, "dialogue"))
    front, rest = _tracks(scene)
    # The last turn stays last: a probe needs to be asked late.
    items = (*ctx.scattered(talk.items[:-1], front), talk.items[-1])
    return Planned((*items, *rest), {**talk.notes, "scene": scene.provenance()}, talk.whole)


def plan_question(ctx: PlannerContext) -> Planned:
    """A scene, then a question about it: what came first, what came last, or where one is."""
    scene = ctx.scene()
    front, rest = _tracks(scene)
    front, about, question, answer = _question(ctx, scene, front)
    item = ctx.say(question, PlannedReply(answer))
    notes = {"asked": question, "about": about, "scene": scene.provenance()}
    return Planned((*front, item, *rest), notes, whole=True)


def plan_warning(ctx: PlannerContext) -> Planned:
    """A sound that calls for help between the turns of a conversation, and one that does not."""
    dialogue = ctx.leading(ctx.any_of(ctx.pools.dialogues, "dialogue"))
    turns = ctx.turns(dialogue)
    alarm = ctx.any_of(ctx.pools.alarms, "sound that calls for help")
    extra = [alarm_item(alarm), ctx.sound(ctx.pools.benign, "harmless sound")]
    order = [extra[int(i)] for i in ctx.rng.permutation(2)]
    # Early enough to be in the stream, however long the conversation is.
    items = (turns[0], *ctx.scattered(turns[1:2], order), *turns[2:])
    notes = {"dialogue": dialogue.id, "category": intervention_of(alarm).category}
    return Planned(items, notes)


def plan_recall(ctx: PlannerContext) -> Planned:
    """A long conversation that ends with a question about something said early on."""
    dialogue = ctx.pick(
        ctx.pools.dialogues,
        lambda d: len(d.turns) >= ROUNDS_BETWEEN,
        "dialogue of three turns or more",
    )
    probe = probe_of(ctx, dialogue)
    turns = ctx.turns(ended_by(dialogue, probe))
    sound = ctx.sound(ctx.pools.sounds, "sound")
    notes = {"dialogue": dialogue.id, "probe": vars(probe)}
    return Planned((*turns, *behind([sound])), notes, whole=True)


def _question(
    ctx: PlannerContext, scene: CuratedScene, front: list[Item]
) -> tuple[list[Item], str, str, str]:
    """The sounds before the question, what it is about, the question and its answer."""
    try:
        names = [sound_name(item.clip) for item in front]
        first = first_sound_probe(scene.scene.sentence, names, ctx.rng)
    except Dropped:
        first = None  # too few sounds to have a first one
    if first is not None and ctx.chance(0.5):
        return front[: first.at], "first", first.question, first.answer
    if ctx.chance(0.5):
        return front, "last", phrase(_LAST, ctx.rng), described(front[-1].clip)
    answer = as_sentence(f"You seem to be {scene.scene.location}")
    return front, "where", phrase(_WHERE, ctx.rng), answer


def _tracks(scene: CuratedScene) -> tuple[list[Item], list[Item]]:
    """Foreground items, and those behind."""
    items = scene.items()
    front = [item for item in items if item.track == "foreground"]
    return front, [item for item in items if item.track != "foreground"]
