"""Voice chat tasks: dialogues of a text corpus, spoken turn by turn, with additions.

::

    turn  turn  (harmless sound)  turn  (alarm: a word at once)  turn  late question
                   silent                  proactive                     history
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from data_build.drops import Dropped
from data_build.labelling.history import Probe, insert, model_probe, rule_probe
from data_build.records import Dialogue
from data_build.tasks.context import Planned, PlannerContext, behind
from data_build.tasks.in_scene import in_scene, least_of
from data_build.tasks.reactions import with_reactions
from data_build.tasks.session import Place

_TURNS = 2


def plan_multi_turn(ctx: PlannerContext) -> Planned:
    """A conversation of at least two turns."""
    several = ctx.pick(ctx.pools.dialogues, lambda d: len(d.turns) > 1, "dialogue of several turns")
    return anywhere(ctx, several)


def plan_facts(ctx: PlannerContext) -> Planned:
    """Questions of one turn, one after another, by one voice."""
    first = ctx.pick(ctx.pools.dialogues, _single, "question with an answer")
    joined = ctx.session(first, only=_single)
    notes = {"dialogues": joined.id.split("+")}
    return Planned(ctx.turns(joined), notes, least=1, language=first.language)


def plan_emotion(ctx: PlannerContext) -> Planned:
    """A conversation in which some reply is not in the normal tone."""
    moved = ctx.pick(
        ctx.pools.dialogues,
        lambda d: any(t.emotion != "normal" for t in d.turns),
        "dialogue with emotions",
    )
    return anywhere(ctx, moved)


def plan_over_background(ctx: PlannerContext) -> Planned:
    """A conversation with sounds behind it, any or those of a place."""
    planned = anywhere(ctx, ctx.any_of(ctx.pools.dialogues, "dialogue"))
    if planned.place is not None:
        return planned
    return replace(planned, items=(*planned.items, *behind(ctx.others())))


def anywhere(ctx: PlannerContext, dialogue: Dialogue) -> Planned:
    """A conversation in no place, or in one."""
    place = ctx.place_by_chance(talk=[dialogue])
    planned = with_mixins(ctx, dialogue, place)
    return with_reactions(ctx, planned if place is None else in_scene(ctx, planned, place))


def with_mixins(ctx: PlannerContext, dialogue: Dialogue, place: Place | None = None) -> Planned:
    """The dialogue as items, with history probe, silent and proactive sounds by chance.

    Without sounds in a ``place``, which brings its own: any others would not belong there.

    What a dialogue or a split does not give (no fact to ask for, no harmless sound) is left out;
    the notes say what went in.

    Raises:
        Dropped: if the dialogue cannot be spoken well enough.
    """
    chances, mixed_in = ctx.config.mixins, list[str]()
    taken = ctx.session(dialogue, place)
    notes: dict[str, Any] = {"dialogue": taken.id, "mixed_in": mixed_in}
    point = min(len(taken.turns), _TURNS)  # so many turns make a conversation
    if ctx.chance(chances.history):
        try:
            probe = probe_of(ctx, taken)
        except Dropped:
            pass  # nothing to ask about in this dialogue
        else:
            taken = ended_by(taken, probe)
            point = len(taken.turns)
            mixed_in.append("history")
            notes["probe"] = vars(probe)
    items = list(ctx.turns(taken))
    if place is None and ctx.chance(chances.silent) and len(ctx.pools.benign):
        sound = ctx.sound(ctx.pools.benign, "harmless sound")
        # Before the last item, so that a probe stays the end of its stream.
        items.insert(int(ctx.rng.integers(len(items))), sound)
        mixed_in.append("silent")
    if place is None and ctx.chance(chances.proactive) and len(ctx.pools.alarms):
        alarm = ctx.sound(ctx.pools.alarms, "sound that calls for help")
        items.insert(int(ctx.rng.integers(len(items))), alarm)
        mixed_in.append("proactive")
    least = least_of(items, point)
    return Planned(tuple(items), notes, least=least, language=dialogue.language)


def probe_of(ctx: PlannerContext, dialogue: Dialogue) -> Probe:
    """A late question about the dialogue, by rule or by the chat model of the recipe.

    Raises:
        Dropped: if there is nothing fair to ask.
        ServerGone: if the server of the chat model has stopped answering.
    """
    if ctx.resources.probes is None:
        return rule_probe(dialogue, ctx.rng, ctx.words.speaking(dialogue.language))
    return model_probe(dialogue, ctx.resources.probes, ctx.rng)


def ended_by(dialogue: Dialogue, probe: Probe) -> Dialogue:
    """The dialogue up to the probe, which is its last turn."""
    return insert(replace(dialogue, turns=dialogue.turns[: probe.at]), probe)


def _single(dialogue: Dialogue) -> bool:
    return len(dialogue.turns) == 1
