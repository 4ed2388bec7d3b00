"""A dialogue in text as items of a stream: spoken by one voice, answered turn by turn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from data_build.pools.pools import Library
from data_build.records import Dialogue, Item, PlannedReply
from data_build.tasks.config import AbilitiesConfig
from data_build.tasks.drawing import how_many
from data_build.tasks.wording import shortened

TURN = "user turn"


def spoken_turns(
    library: Library, config: AbilitiesConfig, dialogue: Dialogue, rng: np.random.Generator
) -> tuple[Item, ...]:
    """Every turn as an item that is answered at its end.

    Raises:
        Dropped: if the dialogue cannot be spoken well enough.
    """
    spoken = library.speaker.converse(dialogue, rng)
    limit = config.dialogue.max_reply_words
    return tuple(
        Item(t.clip, TURN, replies=(PlannedReply(shortened(t.assistant, limit), t.emotion),))
        for t in spoken
    )


def leading(dialogue: Dialogue, config: AbilitiesConfig, rng: np.random.Generator) -> Dialogue:
    """The first few turns, as many as a stream is to have."""
    return replace(dialogue, turns=dialogue.turns[: how_many(config.dialogue.turns, rng)])
