"""An instruction early in the stream governs what later deserves an answer: count a sound."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from data_build.pools.pools import Library
from data_build.records import Item, PlannedReply
from data_build.tasks.config import AbilitiesConfig
from data_build.tasks.drawing import Planned, any_cue, cue_item
from soundflow.errors import UserError


def plan_counting(library: Library, config: AbilitiesConfig, rng: np.random.Generator) -> Planned:
    """The instruction, then the sound one to n times, with silent cues between.

    In a share of the streams a silent cue stands in for the instruction: then the same sounds
    deserve nothing.

    Raises:
        UserError: if the sound to count, or the instruction, is not in the library.
    """
    counting = config.counting
    counted = next((c for c in library.cues if c.config.name == counting.sound), None)
    if counted is None or library.instruction is None:
        raise UserError(f"counting: no take of {counting.sound!r} or of the instruction")
    silent = [c for c in library.cues if c.config.reply is None and c is not counted]
    instructed = not silent or rng.random() >= counting.uninstructed_share
    first = library.instruction if instructed else any_cue(silent, "cue without a reply", rng)
    items: list[Item] = [cue_item(library, first, rng)]
    for number in range(int(rng.integers(1, len(counting.words) + 1))):
        if silent and rng.random() < counting.distractor_share:
            items.append(cue_item(library, any_cue(silent, "cue without a reply", rng), rng))
        sound = cue_item(library, counted, rng, replies=False)
        if instructed:
            sound = replace(sound, replies=(PlannedReply(counting.words[number]),))
        items.append(sound)
    return Planned(tuple(items), {"instructed": instructed})
