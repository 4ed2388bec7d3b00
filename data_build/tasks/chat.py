"""Conversation by voice: dialogues of a text corpus, spoken turn by turn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from data_build.pools.pools import Library
from data_build.records import Dialogue
from data_build.tasks.config import AbilitiesConfig
from data_build.tasks.dialogues import spoken_turns
from data_build.tasks.drawing import Planned, draw, how_many, pick
from data_build.tasks.mixins import with_mixins
from data_build.tasks.transcription import behind


def plan_multi_turn(library: Library, config: AbilitiesConfig, rng: np.random.Generator) -> Planned:
    """A conversation of at least two turns."""
    dialogue = pick(library.dialogues, lambda d: len(d.turns) > 1, "dialogue of several turns", rng)
    return with_mixins(library, config, dialogue, rng)


def plan_facts(library: Library, config: AbilitiesConfig, rng: np.random.Generator) -> Planned:
    """Questions of one turn, one after another, by one voice."""
    first = pick(library.dialogues, _single, "question with an answer", rng)
    turns, ids = list(first.turns), [first.id]
    for _ in range(how_many(config.dialogue.turns, rng) - 1):
        more = pick(
            library.dialogues,
            lambda d: _single(d) and d.language == first.language,
            "question with an answer", rng,
        )  # fmt: skip
        if more.id not in ids:
            turns += more.turns
            ids.append(more.id)
    joined = replace(first, id="+".join(ids), turns=tuple(turns))
    return Planned(spoken_turns(library, config, joined, rng), {"dialogues": ids})


def plan_emotion(library: Library, config: AbilitiesConfig, rng: np.random.Generator) -> Planned:
    """A conversation in which some reply is not in the normal tone."""
    dialogue = pick(
        library.dialogues,
        lambda d: any(t.emotion != "normal" for t in d.turns),
        "dialogue with emotions", rng,
    )  # fmt: skip
    return with_mixins(library, config, dialogue, rng)


def plan_over_background(
    library: Library, config: AbilitiesConfig, rng: np.random.Generator
) -> Planned:
    """A conversation with sounds behind it."""
    planned = with_mixins(library, config, draw(library.dialogues, "dialogue", rng), rng)
    return replace(planned, items=(*planned.items, *behind(library, config, rng)))


def _single(dialogue: Dialogue) -> bool:
    return len(dialogue.turns) == 1
