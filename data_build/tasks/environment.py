"""An assistant that knows what goes on around: speech inside planned scenes of sounds."""

from __future__ import annotations

from typing import Any

import numpy as np

from data_build.drops import Drop, Dropped
from data_build.labelling.history import ROUNDS_BETWEEN, heard_first
from data_build.pools.pools import Library
from data_build.records import Dialogue, Item, PlannedReply
from data_build.scenes.source import CuratedScene
from data_build.tasks.config import AbilitiesConfig
from data_build.tasks.dialogues import leading, spoken_turns
from data_build.tasks.drawing import Planned, asked, draw, phrase, pick
from data_build.tasks.mixins import (
    alarm_item,
    ended_by,
    intervention_of,
    noted,
    probe_of,
    scattered,
    with_mixins,
)
from data_build.tasks.wording import as_sentence, described, sound_name

_WHERE = ("Where do you think I am?", "What kind of place is this?")
_LAST = ("What was the last thing you heard?", "What did we just hear?")


def plan_chat(library: Library, config: AbilitiesConfig, rng: np.random.Generator) -> Planned:
    """A conversation inside a scene; its sounds come between the turns and behind them."""
    scene = _scene(library, rng)
    dialogue = draw(library.dialogues, "dialogue", rng)
    talk = with_mixins(library, config, dialogue, rng)
    front, rest = _tracks(scene)
    # The last turn stays last: a probe needs to be asked late.
    items = (*scattered(talk.items[:-1], front, rng), talk.items[-1])
    return Planned((*items, *rest), {**talk.notes, "scene": scene.provenance()}, talk.whole)


def plan_question(library: Library, config: AbilitiesConfig, rng: np.random.Generator) -> Planned:
    """A scene, then a question about it: what came first, what came last, or where one is."""
    scene = _scene(library, rng)
    front, rest = _tracks(scene)
    probe = heard_first(scene.scene.sentence, [sound_name(i.clip) for i in front], rng)
    if not isinstance(probe, Drop) and rng.random() < 0.5:
        at, question, answer = probe
        front, kind = front[:at], "first"
    elif rng.random() < 0.5:
        question, kind, clip = phrase(_LAST, rng), "last", front[-1].clip
        answer = described(clip)
    else:
        question, kind = phrase(_WHERE, rng), "where"
        answer = as_sentence(f"You seem to be {scene.scene.location}")
    item = asked(library, question, rng, PlannedReply(answer))
    notes = {"asked": question, "about": kind, "scene": scene.provenance()}
    return Planned((*front, item, *rest), notes, whole=True)


def plan_warning(library: Library, config: AbilitiesConfig, rng: np.random.Generator) -> Planned:
    """A sound that calls for help between the turns of a conversation, and one that does not."""
    dialogue = leading(draw(library.dialogues, "dialogue", rng), config, rng)
    turns = spoken_turns(library, config, dialogue, rng)
    alarm = draw(library.alarms, "sound that calls for help", rng)
    harmless = draw(library.benign, "harmless sound", rng)
    extra = [alarm_item(alarm), Item(harmless, sound_name(harmless))]
    order = [extra[int(i)] for i in rng.permutation(2)]
    # Early enough to be in the stream, however long the conversation is.
    items = (turns[0], *scattered(turns[1:2], order, rng), *turns[2:])
    notes = {"dialogue": dialogue.id, "category": intervention_of(alarm).category}
    return Planned(items, notes)


def plan_recall(library: Library, config: AbilitiesConfig, rng: np.random.Generator) -> Planned:
    """A long conversation that ends with a question only an attentive listener can answer."""

    def long(dialogue: Dialogue) -> bool:
        return len(dialogue.turns) >= ROUNDS_BETWEEN

    dialogue = pick(library.dialogues, long, "dialogue of three turns or more", rng)
    probe = probe_of(library, dialogue, rng)
    if isinstance(probe, Drop):
        raise Dropped(probe)
    notes: dict[str, Any] = {"dialogue": dialogue.id}
    noted(notes, "history", probe)
    turns = spoken_turns(library, config, ended_by(dialogue, probe), rng)
    sound = draw(library.sounds, "sound", rng)
    return Planned((*turns, Item(sound, sound_name(sound), "background")), notes, whole=True)


def _scene(library: Library, rng: np.random.Generator) -> CuratedScene:
    scene, _ = library.scenes.scene(f"{int(rng.integers(1 << 62)):016x}", rng)
    return scene


def _tracks(scene: CuratedScene) -> tuple[list[Item], list[Item]]:
    """Foreground items, and those behind."""
    items = scene.items()
    front = [item for item in items if item.track == "foreground"]
    return front, [item for item in items if item.track != "foreground"]
