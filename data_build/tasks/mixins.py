"""What is mixed into conversations, so that they teach more than question and answer.

::

    turn  turn  (harmless sound)  turn  (alarm: a word at once)  turn  late question
                   silent                  proactive                     history
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from data_build.drops import Dropped
from data_build.labelling.history import Probe, insert, rule_probe
from data_build.labelling.history_llm import model_probe
from data_build.records import Clip, Dialogue, Intervention, Item, PlannedReply
from data_build.tasks.context import Planned, PlannerContext
from data_build.tasks.wording import sound_name


def with_mixins(ctx: PlannerContext, dialogue: Dialogue) -> Planned:
    """The dialogue as items, with history probe, silent and proactive sounds by chance.

    What a dialogue or a split does not give (no fact to ask for, no harmless sound) is left out;
    the notes say what went in.

    Raises:
        Dropped: if the dialogue cannot be spoken well enough.
    """
    chances, mixed_in = ctx.config.mixins, list[str]()
    notes: dict[str, Any] = {"dialogue": dialogue.id, "mixed_in": mixed_in}
    taken = ctx.leading(dialogue)
    whole = False
    if ctx.chance(chances.history):
        try:
            probe = probe_of(ctx, dialogue)
        except Dropped:
            pass  # nothing to ask about in this dialogue
        else:
            taken, whole = ended_by(dialogue, probe), True
            mixed_in.append("history")
            notes["probe"] = vars(probe)
    items = list(ctx.turns(taken))
    if ctx.chance(chances.silent) and len(ctx.pools.benign):
        sound = ctx.sound(ctx.pools.benign, "harmless sound")
        # Before the last item, so that a probe stays the end of its stream.
        items.insert(int(ctx.rng.integers(len(items))), sound)
        mixed_in.append("silent")
    if ctx.chance(chances.proactive) and len(ctx.pools.alarms):
        alarm = alarm_item(ctx.any_of(ctx.pools.alarms, "sound that calls for help"))
        items.insert(int(ctx.rng.integers(len(items))), alarm)
        mixed_in.append("proactive")
    return Planned(tuple(items), notes, whole)


def probe_of(ctx: PlannerContext, dialogue: Dialogue) -> Probe:
    """A late question about the dialogue, by rule or by the chat model of the recipe.

    Raises:
        Dropped: if there is nothing fair to ask.
        ServerGone: if the server of the chat model has stopped answering.
    """
    if ctx.makers.probes is None:
        return rule_probe(dialogue, ctx.rng)
    return model_probe(dialogue, ctx.makers.probes, ctx.rng)


def ended_by(dialogue: Dialogue, probe: Probe) -> Dialogue:
    """The dialogue up to the probe, which is its last turn."""
    return insert(replace(dialogue, turns=dialogue.turns[: probe.at]), probe)


def alarm_item(clip: Clip) -> Item:
    """A sound that the intervention policy answers, with its answer."""
    warning = intervention_of(clip)
    return Item(clip, sound_name(clip), replies=(PlannedReply(warning.text, warning.emotion),))


def intervention_of(clip: Clip) -> Intervention:
    """What the policy says to a clip of the pool of alarms."""
    if clip.intervention is None:
        raise RuntimeError(f"{clip.id} lies among the alarms without an intervention")
    return clip.intervention
