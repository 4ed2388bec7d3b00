"""What is mixed into conversations, so that they teach more than question and answer.

::

    turn  turn  (harmless sound)  turn  (alarm: a word at once)  turn  late question
                   silent                  proactive                     history
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from data_build.drops import Drop
from data_build.labelling.history import Probe, insert, rule_probe
from data_build.labelling.history_llm import model_probes
from data_build.pools.pools import Library
from data_build.records import Clip, Dialogue, Intervention, Item, PlannedReply
from data_build.tasks.config import AbilitiesConfig
from data_build.tasks.dialogues import leading, spoken_turns
from data_build.tasks.drawing import Planned, draw
from data_build.tasks.wording import sound_name


def with_mixins(
    library: Library, config: AbilitiesConfig, dialogue: Dialogue, rng: np.random.Generator
) -> Planned:
    """The dialogue as items, with history probe, silent and proactive sounds by chance.

    What a dialogue or a library does not give (no fact to ask for, no harmless sound) is left out;
    the notes say what went in.

    Raises:
        Dropped: if the dialogue cannot be spoken well enough.
    """
    chances = config.mixins
    notes: dict[str, Any] = {"dialogue": dialogue.id, "mixed_in": []}
    taken = leading(dialogue, config, rng)
    whole = False
    if rng.random() < chances.history:
        probe = probe_of(library, dialogue, rng)
        if not isinstance(probe, Drop):
            taken, whole = ended_by(dialogue, probe), True
            noted(notes, "history", probe)
    items = list(spoken_turns(library, config, taken, rng))
    if rng.random() < chances.silent and len(library.benign):
        clip = draw(library.benign, "harmless sound", rng)
        # Before the last item, so that a probe stays the end of its stream.
        items.insert(int(rng.integers(len(items))), Item(clip, sound_name(clip)))
        notes["mixed_in"].append("silent")
    if rng.random() < chances.proactive and len(library.alarms):
        alarm = alarm_item(draw(library.alarms, "sound that calls for help", rng))
        items.insert(int(rng.integers(len(items))), alarm)
        notes["mixed_in"].append("proactive")
    return Planned(tuple(items), notes, whole)


def probe_of(library: Library, dialogue: Dialogue, rng: np.random.Generator) -> Probe | Drop:
    """A history probe, by rule or by the chat model of the recipe.

    Raises:
        ServerGone: if the server of the chat model has stopped answering.
    """
    if library.probes is None:
        return rule_probe(dialogue, rng)
    (found,) = model_probes([dialogue], library.probes, int(rng.integers(1 << 31)))
    return found


def ended_by(dialogue: Dialogue, probe: Probe) -> Dialogue:
    """The dialogue up to the probe, which is its last turn."""
    return insert(replace(dialogue, turns=dialogue.turns[: probe.at]), probe)


def noted(notes: dict[str, Any], name: str, probe: Probe) -> None:
    notes.setdefault("mixed_in", []).append(name)
    notes["probe"] = {
        "question": probe.question, "answer": probe.answer, "value": probe.value,
        "round": probe.at, "source_round": probe.source_round, "made_by": probe.made_by,
    }  # fmt: skip


def alarm_item(clip: Clip) -> Item:
    """A sound that the intervention policy answers, with its answer."""
    warning = intervention_of(clip)
    reply = PlannedReply(warning.text, warning.emotion)
    return Item(clip, sound_name(clip), replies=(reply,))


def intervention_of(clip: Clip) -> Intervention:
    """What the policy says to a clip of the pool of alarms."""
    if clip.intervention is None:
        raise RuntimeError(f"{clip.id} lies among the alarms without an intervention")
    return clip.intervention


def scattered(
    items: Sequence[Item], among: Sequence[Item], rng: np.random.Generator
) -> tuple[Item, ...]:
    """``items`` in their order, ``among`` anywhere between them in theirs."""
    places = np.sort(rng.integers(len(items) + 1, size=len(among)))
    out: list[Item] = []
    for number, item in enumerate([*items, None]):
        out += [other for other, place in zip(among, places, strict=True) if place == number]
        if item is not None:
            out.append(item)
    return tuple(out)
