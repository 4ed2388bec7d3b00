"""A spoken instruction that governs what deserves a reply afterwards."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from data_build.pools.pools import Library
from data_build.records import Item, PlannedReply
from data_build.tasks.config import AbilitiesConfig
from data_build.tasks.dialogues import leading, spoken_turns
from data_build.tasks.drawing import Planned, asked, draw, how_many, phrase, pick
from data_build.tasks.mixins import scattered
from data_build.tasks.wording import sound_name

_WATCH = ("Tell me when you hear this: {}.", "Let me know as soon as you hear this: {}.")
_QUIET = ("Please be quiet for now.", "Do not answer me for a while.")
_GO_ON = ("You can talk again.", "Please answer me again.")


def plan_alert(library: Library, config: AbilitiesConfig, rng: np.random.Generator) -> Planned:
    """One kind of sound is to be reported; the same sounds mean nothing where another was named."""
    target = draw(library.sounds, "sound", rng)
    name = sound_name(target)
    other = pick(library.sounds, lambda c: sound_name(c) != name, "sound of another name", rng)
    instructed = rng.random() >= config.sounds.uninstructed_share
    named = name if instructed else sound_name(other)
    said = phrase(_WATCH, rng).format(named)
    request = asked(library, said, rng, PlannedReply("I will tell you."))
    heard = Item(target, name, replies=(PlannedReply(f"That was it: {name}."),))
    if not instructed:
        heard = replace(heard, replies=())
    others = [
        pick(library.sounds, lambda c: sound_name(c) not in (name, named), "other sound", rng)
        for _ in range(how_many(config.sounds.others, rng))
    ]
    times = [heard] * how_many((1, 2), rng)
    items = scattered(times, [Item(c, sound_name(c)) for c in others], rng)
    return Planned((request, *items), {"watched": named, "target": name})


def plan_hold(library: Library, config: AbilitiesConfig, rng: np.random.Generator) -> Planned:
    """Turns are answered, not answered, and answered again, as the user asks."""
    first, second = (draw(library.dialogues, "dialogue", rng) for _ in range(2))
    held = replace(first, id=f"{first.id}+{second.id}", turns=(first.turns[0], second.turns[-1]))
    unanswered, answered = spoken_turns(library, config, held, rng)
    quiet = asked(library, phrase(_QUIET, rng), rng, PlannedReply("All right."))
    go_on = asked(library, phrase(_GO_ON, rng), rng, PlannedReply("I am back."))
    items = (quiet, replace(unanswered, replies=()), go_on, answered)
    return Planned(items, {"dialogues": [first.id, second.id]}, whole=True)


def plan_carry_out(library: Library, config: AbilitiesConfig, rng: np.random.Generator) -> Planned:
    """Instructions of a text corpus, with somebody else's talk between them."""
    dialogue = leading(draw(library.dialogues, "dialogue", rng), config, rng)
    turns = spoken_turns(library, config, dialogue, rng)
    by = turns[0].clip.speaker
    talk = []
    for _ in range(int(rng.integers(0, 3))):
        clip = library.spoken(draw(library.speech, "speech", rng), rng)
        if clip.speaker != by:
            talk.append(Item(clip, "somebody else"))
    return Planned(scattered(turns, talk, rng), {"dialogue": dialogue.id})
