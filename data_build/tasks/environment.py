"""Tasks inside planned scenes: conversations and questions among sounds."""

from __future__ import annotations

from data_build.labelling.history import ROUNDS_BETWEEN
from data_build.labelling.questions import SOUNDS_BETWEEN
from data_build.plans import AskOrder, AskPlace, Item, SoundQuestion
from data_build.scenes.source import CuratedScene
from data_build.tasks.chat import ended_by, least_of, probe_of, with_mixins
from data_build.tasks.context import Planned, PlannerContext, behind, sound_item
from data_build.tasks.events import category_of


def plan_chat(ctx: PlannerContext) -> Planned:
    """A conversation inside a scene; its sounds come between the turns and behind them."""
    scene = ctx.scene()
    talk = with_mixins(ctx, ctx.any_of(ctx.pools.dialogues, "dialogue"))
    front, rest = _tracks(scene)
    # The last turn stays last: a probe needs to be asked late.
    items = (*ctx.scattered(talk.items[:-1], front), talk.items[-1])
    notes = {**talk.notes, "scene": scene.provenance()}
    turns = sum(item.address is not None for item in talk.items[: talk.least])
    return Planned((*items, *rest), notes, least=least_of(items, turns))


def plan_question(ctx: PlannerContext) -> Planned:
    """A scene, then a question about it: what came first, what came last, or where one is."""
    scene = ctx.scene()
    front, rest = _tracks(scene)
    kinds: list[tuple[str, SoundQuestion]] = [("last", AskOrder("last"))]
    if len(front) > SOUNDS_BETWEEN:
        kinds.append(("first", AskOrder("first")))
    setting = scene.scene.made_by.get("setting", "")
    if setting:
        kinds.append(("where", AskPlace(setting)))
    about, question = kinds[int(ctx.rng.integers(len(kinds)))]
    item = ctx.ask(about, question)
    return Planned((*front, item, *rest), {"about": about, "scene": scene.provenance()})


def plan_warning(ctx: PlannerContext) -> Planned:
    """A sound that calls for help between the turns of a conversation, and one that does not."""
    dialogue = ctx.leading(ctx.any_of(ctx.pools.dialogues, "dialogue"))
    turns = ctx.turns(dialogue)
    alarm = ctx.any_of(ctx.pools.alarms, "sound that calls for help")
    extra = [sound_item(alarm), ctx.sound(ctx.pools.benign, "harmless sound")]
    order = [extra[int(i)] for i in ctx.rng.permutation(2)]
    # Early enough to be in the stream, however long the conversation is.
    items = (turns[0], *ctx.scattered(turns[1:2], order), *turns[2:])
    notes = {"dialogue": dialogue.id, "category": category_of(alarm)}
    return Planned(items, notes, least=least_of(items, 1))


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
    return Planned((*turns, *behind([sound])), notes)


def _tracks(scene: CuratedScene) -> tuple[list[Item], list[Item]]:
    """Foreground items, and those behind."""
    items = [Item(g.clip, sound_item(g.clip).what, track=g.event.role) for g in scene.grounded]
    front = [item for item in items if item.track == "foreground"]
    return front, [item for item in items if item.track != "foreground"]
